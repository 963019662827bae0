/**
 * The reader's own camera and microphone in a call: which ones, on or off, and why there are none.
 * @module
 */
import { INSECURE, canCapture, capture, wordsForCapture } from './capture.js';

const STORE = 'sluice.meet';
/** The choice of no device at all. */
export const NONE = 'off';

/**
 * @typedef {object} Choice what is remembered from one call to the next
 * @property {string} name
 * @property {string} camera device id, "" for the default one, NONE for none
 * @property {string} microphone
 * @property {string} speaker "" for the default one
 */

/** @returns {Choice} */
export function remembered() {
  const nothing = { name: '', camera: '', microphone: '', speaker: '' };
  try {
    const stored = JSON.parse(localStorage.getItem(STORE) ?? '{}');
    for (const key of Object.keys(nothing)) if (typeof stored?.[key] === 'string') nothing[key] = stored[key];
  } catch {
    // Storage may be forbidden, or hold something else.
  }
  return nothing;
}

/** @param {Choice} choice */
export function remember(choice) {
  try {
    localStorage.setItem(STORE, JSON.stringify(choice));
  } catch {
    // Then it is asked again.
  }
}

/**
 * What to try, one after another, when the devices that were asked for are not there.
 * @param {import('./capture.js').Wish} wish
 * @returns {import('./capture.js').Wish[]}
 */
export function attempts(wish) {
  const list = [wish];
  if (wish.cameraId || wish.microphoneId) list.push({ ...wish, cameraId: '', microphoneId: '' });
  if (wish.source === 'camera' && wish.audio) list.push({ ...wish, source: 'none', cameraId: '' }, { ...wish, audio: false, microphoneId: '' });
  return list;
}

/** Fires "change" when the stream, a switch or the reason for having none has changed. */
export class Media extends EventTarget {
  #size;
  #number = 0; // of the newest attempt
  stream = new MediaStream();
  /** @type {import('./problem.js').Words | null} why something is missing */
  words = null;
  microphone = true;
  camera = true;
  /** The stream is being asked for. */
  busy = false;

  /** @param {{width: number, height: number, fps: number}} size */
  constructor(size) {
    super();
    this.#size = size;
  }

  /** @param {'audio' | 'video'} kind @returns {MediaStreamTrack | undefined} */
  track(kind) {
    return this.stream.getTracks().find((track) => track.kind === kind && track.readyState === 'live');
  }

  /**
   * Opens the chosen devices in place of those that are open.
   * @param {Choice} choice
   */
  async open(choice) {
    const number = ++this.#number;
    /** @type {import('./capture.js').Wish} */
    const wish = {
      ...this.#size,
      source: choice.camera === NONE ? 'none' : 'camera',
      audio: choice.microphone !== NONE,
      cameraId: choice.camera === NONE ? '' : choice.camera,
      microphoneId: choice.microphone === NONE ? '' : choice.microphone,
    };
    this.busy = true;
    this.dispatchEvent(new Event('change'));
    const { stream, words } = await ask(wish);
    if (number !== this.#number) { // a later choice overtook this one
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    for (const track of this.stream.getTracks()) track.stop();
    this.busy = false;
    this.words = words;
    this.stream = stream;
    for (const track of stream.getTracks()) {
      track.addEventListener('ended', () => this.#onEnded(track));
    }
    this.#apply();
  }

  /** A device was unplugged. @param {MediaStreamTrack} track */
  #onEnded(track) {
    if (!this.stream.getTracks().includes(track)) return;
    this.stream.removeTrack(track);
    this.words = {
      title: track.kind === 'video' ? 'The camera is gone.' : 'The microphone is gone.', detail: '', next: 'Plug it in and choose it again.',
    };
    this.dispatchEvent(new Event('change'));
  }

  /** @param {'microphone' | 'camera'} which @param {boolean} on */
  switch(which, on) {
    this[which] = on;
    this.#apply();
  }

  #apply() {
    for (const track of this.stream.getTracks()) track.enabled = track.kind === 'audio' ? this.microphone : this.camera;
    this.dispatchEvent(new Event('change'));
  }

  close() {
    this.#number++;
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = new MediaStream();
  }
}

/**
 * @param {import('./capture.js').Wish} wish
 * @returns {Promise<{stream: MediaStream, words: import('./problem.js').Words | null}>} what there is, and why that is not all
 */
async function ask(wish) {
  if (wish.source === 'none' && !wish.audio) return { stream: new MediaStream(), words: null };
  if (!canCapture()) return { stream: new MediaStream(), words: INSECURE };
  let words = null;
  for (const attempt of attempts(wish)) {
    try {
      return { stream: await capture(attempt), words };
    } catch (error) {
      words ??= wordsForCapture(error, wish.source);
      const absent = error instanceof Error && ['NotFoundError', 'OverconstrainedError', 'NotReadableError'].includes(error.name);
      if (!absent) break; // who said no is not asked again for less
    }
  }
  return { stream: new MediaStream(), words };
}

/**
 * The devices by kind. Names are told only after the reader allowed one.
 * @returns {Promise<Record<'videoinput' | 'audioinput' | 'audiooutput', {id: string, label: string}[]>>}
 */
export async function devices() {
  const found = { videoinput: [], audioinput: [], audiooutput: [] };
  const all = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
  for (const { kind, deviceId, label } of all) {
    if (deviceId && deviceId !== 'default' && deviceId !== 'communications') found[kind]?.push({ id: deviceId, label });
  }
  return found;
}

/** @returns {boolean} whether this browser lets a page choose the speaker */
export const canChooseSpeaker = () => 'setSinkId' in HTMLMediaElement.prototype;
