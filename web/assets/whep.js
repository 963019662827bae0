/**
 * Playing: a WHEP session whose tracks go to a video element.
 * @module
 */
import { Connection } from './connection.js';
import { withStereo } from './sdp.js';

/**
 * Fires the events of Connection, and "frame" at the first frame of each session.
 */
export class Player extends Connection {
  #video;
  #shown = 0; // the attempt whose stream the element has
  #fresh = false; // it has had that stream since the last frame
  #counting;
  #before = 0; // frames of the element before the session's first one
  #armed = false; // the next frame calls back

  /**
   * @param {object} options
   * @param {string} options.url /whep/{room} or /whep/{room}/{publication}
   * @param {() => string} options.token
   * @param {HTMLVideoElement} options.video
   * @param {() => RTCIceServer[]} [options.iceServers]
   * @param {boolean} [options.counting] keep facts.presentedFrames; false: the first frame of a session is all that is
   *     looked for. Each frame that calls back costs the page a turn of its main thread: too much with many videos.
   */
  constructor({ url, token, video, iceServers = () => [], counting = true }) {
    super({
      url,
      token,
      iceServers,
      role: 'viewer',
      offered: withStereo,
      prepare: (pc) => this.#prepare(pc),
    });
    this.#video = video;
    this.#counting = counting;
    this.#countFrames();
  }

  /** @param {RTCPeerConnection} pc */
  #prepare(pc) {
    const stream = new MediaStream();
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addEventListener('track', ({ track }) => {
      stream.addTrack(track);
      // The last picture of the old session stays until the new one has tracks.
      if (this.#video.srcObject !== stream) {
        this.#video.srcObject = stream;
        this.#shown = this.facts.attempts;
        this.#fresh = true;
        this.#arm();
        this.dispatchEvent(new Event('media'));
      }
    });
  }

  /** Counts what reaches the screen; browsers without the callback tell the first frame only. */
  #countFrames() {
    const video = this.#video;
    if (!('requestVideoFrameCallback' in HTMLVideoElement.prototype)) {
      video.addEventListener('playing', () => this.#firstFrame());
      return;
    }
    this.#arm();
  }

  #arm() {
    if (this.#armed || !('requestVideoFrameCallback' in HTMLVideoElement.prototype)) return;
    this.#armed = true;
    this.#video.requestVideoFrameCallback((_, { presentedFrames }) => {
      this.#armed = false;
      if (this.#fresh) this.#before = presentedFrames - 1;
      this.#fresh = false;
      const shown = this.#shown === this.facts.attempts;
      if (shown) {
        this.facts.presentedFrames = presentedFrames - this.#before;
        this.#firstFrame();
      }
      if (this.#counting || !shown) this.#arm();
    });
  }

  #firstFrame() {
    if (this.facts.firstFrameMs !== null) return;
    this.facts.firstFrameMs = Math.round(performance.now() - this.facts.t0);
    this.dispatchEvent(new Event('frame'));
  }
}
