/**
 * Cameras, microphones, screens, and how loud it is.
 * @module
 */

/**
 * @typedef {object} Wish what to capture
 * @property {'camera' | 'screen' | 'none'} source
 * @property {boolean} audio
 * @property {string} cameraId "" for the browser's choice
 * @property {string} microphoneId "" for the browser's choice
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} fps
 * @property {boolean} [voice] false: the microphone does not stand in for a screen without sound
 */

/** @returns {boolean} whether this page may ask for cameras at all */
export function canCapture() {
  return Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);
}

/** @returns {boolean} */
export function canShareScreen() {
  return Boolean(window.isSecureContext && navigator.mediaDevices?.getDisplayMedia);
}

/**
 * @param {Wish} wish
 * @returns {Promise<MediaStream>} one video track and one audio track at most
 */
export async function capture(wish) {
  return wish.source === 'screen' ? captureScreen(wish) : captureCamera(wish);
}

/** @param {Wish} wish */
async function captureCamera(wish) {
  const video = wish.source === 'camera' && {
    width: { ideal: wish.width },
    height: { ideal: wish.height },
    frameRate: { ideal: wish.fps },
    ...(wish.cameraId ? { deviceId: { exact: wish.cameraId } } : {}),
  };
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio: wish.audio && microphone(wish) });
  for (const track of stream.getVideoTracks()) track.contentHint = 'motion';
  return stream;
}

/** @param {Wish} wish */
async function captureScreen(wish) {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { frameRate: { ideal: wish.fps }, width: { max: wish.width }, height: { max: wish.height } },
    audio: wish.audio,
  });
  // Text has to stay sharp: rather fewer frames than a blurred screen.
  for (const track of stream.getVideoTracks()) track.contentHint = 'detail';
  // The screen's own sound if the reader shared it; else the microphone, if there is one.
  if (wish.audio && wish.voice !== false && stream.getAudioTracks().length === 0) {
    try {
      const voice = await navigator.mediaDevices.getUserMedia({ audio: microphone(wish) });
      for (const track of voice.getAudioTracks()) stream.addTrack(track);
    } catch {
      // A screen without sound is still worth showing; the page says that there is none.
    }
  }
  return stream;
}

/** @param {Wish} wish @returns {MediaTrackConstraints | true} */
function microphone(wish) {
  return wish.microphoneId ? { deviceId: { exact: wish.microphoneId } } : true;
}

/**
 * Why capturing failed, in words.
 * @param {unknown} error
 * @param {Wish['source']} source
 * @returns {import('./problem.js').Words}
 */
export function wordsForCapture(error, source) {
  const what = source === 'screen' ? 'screen' : source === 'camera' ? 'camera or microphone' : 'microphone';
  switch (error instanceof Error ? error.name : '') {
    case 'NotAllowedError':
      return source === 'screen'
        ? { title: 'No screen was chosen.', detail: '', next: 'Press the button and choose a screen, a window or a tab.' }
        : {
          title: `The ${what} is not allowed.`,
          detail: 'You, or a setting of this browser or system, said no.',
          next: 'Allow it with the icon beside the address, then try again.',
        };
    case 'NotFoundError':
    case 'OverconstrainedError':
      return { title: `No ${what} was found.`, detail: '', next: 'Plug one in, or choose another source.' };
    case 'NotReadableError':
    case 'AbortError':
      return { title: `The ${what} does not start.`, detail: 'Another program may be using it.', next: 'Close that program and try again.' };
    case 'InvalidStateError':
      return { title: 'Ready to share.', detail: 'Browsers share a screen only after a click.', next: 'Press the button and choose a screen, a window or a tab.' };
    default:
      return { title: `The ${what} does not start.`, detail: error instanceof Error ? error.message : String(error), next: '' };
  }
}

/** What the page says where browsers hide cameras from it. */
export const INSECURE = {
  title: 'This address is not secure.',
  detail: 'Browsers open the camera, the microphone and the screen only to pages over https, or on localhost.',
  next: 'Open this page with https, or publish with OBS or ffmpeg. The operator sets --tls-cert and --tls-key, or puts a proxy with TLS in front.',
};

/** Measures how loud a stream is. */
export class Level {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  #samples = new Float32Array(1024);

  /** @param {MediaStream | null} stream null or one without sound: silence */
  listen(stream) {
    this.#source?.disconnect();
    this.#source = null;
    if (!stream || stream.getAudioTracks().length === 0) return;
    this.#context ??= new AudioContext();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: this.#samples.length });
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** @returns {number} 0 to 1 over the 60 dB that matter */
  now() {
    if (!this.#source || !this.#analyser) return 0;
    if (this.#context?.state === 'suspended') this.#context.resume().catch(() => {}); // until the first click
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const decibels = 10 * Math.log10(power + 1e-9);
    return Math.min(1, Math.max(0, (decibels + 60) / 60));
  }
}
