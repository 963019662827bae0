/**
 * Publishing: a WHIP session that sends the tracks of a MediaStream.
 * @module
 */
import { Connection } from './connection.js';
import { withStereo } from './sdp.js';

/**
 * @typedef {object} Sending how the picture is sent
 * @property {string} codec "" for the browser's own choice, else such as "H264"
 * @property {number} maxBitrate bit/s; 0 for the browser's own limit
 * @property {number} maxFramerate frames per second; 0 for that of the source
 * @property {boolean} stereo Opus with two channels
 */

/** Sends one audio and one video track at most. */
export class Publisher extends Connection {
  /** @type {MediaStream} */
  #stream;
  /** @type {Sending} */
  #sending;

  /**
   * @param {object} options
   * @param {string} options.url /whip/{room} or /whip/{room}/{publication}
   * @param {() => string} options.token
   * @param {MediaStream} options.stream
   * @param {Sending} options.sending
   * @param {() => RTCIceServer[]} [options.iceServers]
   */
  constructor({ url, token, stream, sending, iceServers = () => [] }) {
    const munge = (sdp) => (sending.stereo ? withStereo(sdp) : sdp);
    super({ url, token, iceServers, role: 'publisher', offered: munge, answered: munge, prepare: (pc) => this.#prepare(pc) });
    this.#stream = stream;
    this.#sending = sending;
  }

  /** @param {RTCPeerConnection} pc */
  #prepare(pc) {
    const [audio] = this.#stream.getAudioTracks();
    const [video] = this.#stream.getVideoTracks();
    const common = { direction: /** @type {const} */ ('sendonly'), streams: [this.#stream] };
    // Both kinds are offered, with a track or without: one that is added on air needs no new session.
    pc.addTransceiver(audio ?? 'audio', common);
    const encoding = {};
    if (this.#sending.maxBitrate > 0) encoding.maxBitrate = this.#sending.maxBitrate;
    if (this.#sending.maxFramerate > 0) encoding.maxFramerate = this.#sending.maxFramerate;
    const transceiver = pc.addTransceiver(video ?? 'video', { ...common, sendEncodings: [encoding] });
    if (this.#sending.codec) preferCodec(transceiver, this.#sending.codec);
  }

  /**
   * Sends these tracks from now on, without a new session.
   * @param {MediaStream} stream a kind that it lacks is no longer sent
   */
  async replaceTracks(stream) {
    this.#stream = new MediaStream(stream.getTracks());
    if (this.pc?.signalingState === 'closed') return; // the next attempt has them
    for (const kind of ['audio', 'video']) {
      const track = stream.getTracks().find((t) => t.kind === kind) ?? null;
      await this.#sender(kind)?.replaceTrack(track);
    }
  }

  /** @param {string} kind @returns {RTCRtpSender | undefined} */
  #sender(kind) {
    // The receiver's track tells the kind also while nothing is sent.
    return this.pc?.getTransceivers().find((t) => t.receiver.track.kind === kind)?.sender;
  }

  /** @param {number} maxBitrate bit/s, from now on */
  async setBitrate(maxBitrate) {
    this.#sending.maxBitrate = maxBitrate;
    const sender = this.#sender('video');
    if (!sender || this.pc?.signalingState === 'closed') return;
    const parameters = sender.getParameters();
    if (parameters.encodings.length === 0) return;
    if (maxBitrate > 0) parameters.encodings[0].maxBitrate = maxBitrate;
    else delete parameters.encodings[0].maxBitrate;
    await sender.setParameters(parameters);
  }
}

/** @returns {string[]} video codecs this browser can send, such as "H264" */
export function sendableCodecs() {
  const codecs = globalThis.RTCRtpSender?.getCapabilities?.('video')?.codecs ?? [];
  const names = new Set(codecs.map((codec) => codec.mimeType.slice('video/'.length).toUpperCase()));
  return ['H264', 'VP8', 'VP9', 'AV1'].filter((name) => names.has(name));
}

/**
 * Offers one codec alone, with its helpers: a second one in the answer could be taken instead.
 * @param {RTCRtpTransceiver} transceiver
 * @param {string} name such as "H264"
 */
function preferCodec(transceiver, name) {
  const codecs = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const mine = codecs.filter((codec) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`);
  if (mine.length === 0) throw new Error(`This browser cannot send ${name}.`);
  const helpers = codecs.filter((codec) => /\/(rtx|red|ulpfec|flexfec-03)$/i.test(codec.mimeType));
  transceiver.setCodecPreferences([...mine, ...helpers]);
}
