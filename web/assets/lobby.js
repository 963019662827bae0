/**
 * Before the call: name, password, devices, and how the reader looks and sounds.
 * @module
 */
import { Level } from './capture.js';
import { NONE, canChooseSpeaker, devices, remember, remembered } from './media.js';
import { $, setText, show } from './ui.js';

const LEVEL_MS = 66;

/** @typedef {import('./media.js').Choice} Choice */

/** What is chosen, where it is shown. The fields stay the same in the lobby and in the dialog of the call. */
export class Lobby {
  #media;
  #level = new Level();
  /** @type {(choice: Choice) => void} */
  #onSpeaker;

  /**
   * @param {import('./media.js').Media} media
   * @param {URLSearchParams} query ?name=, ?video=none, ?audio=0
   * @param {(choice: Choice) => void} onSpeaker another speaker was chosen
   */
  constructor(media, query, onSpeaker) {
    this.#media = media;
    this.#onSpeaker = onSpeaker;
    const before = remembered();
    $('name').value = query.get('name') ?? before.name;
    choose($('camera'), query.get('video') === 'none' ? NONE : before.camera, 'camera');
    choose($('microphone'), query.get('audio') === '0' ? NONE : before.microphone, 'microphone');
    choose($('speaker'), before.speaker, 'speaker');
    media.addEventListener('change', () => this.#onMedia());
    for (const id of ['camera', 'microphone']) $(id).addEventListener('change', () => this.#onDevice());
    $('speaker').addEventListener('change', () => {
      remember(this.choice);
      this.#onSpeaker(this.choice);
    });
    $('retry-media').addEventListener('click', () => this.#media.open(this.choice));
    for (const which of /** @type {const} */ (['microphone', 'camera'])) {
      $(`lobby-${which}`).addEventListener('click', () => this.#media.switch(which, !this.#media[which]));
    }
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.list());
    setInterval(() => this.#drawLevel(), LEVEL_MS);
  }

  /** @returns {Choice} */
  get choice() {
    return { name: $('name').value.trim(), camera: $('camera').value, microphone: $('microphone').value, speaker: $('speaker').value };
  }

  /** How loud the reader is: 0 to 1, linear. */
  get loudness() {
    if (!this.#media.microphone) return 0;
    const now = this.#level.now();
    return now > 0 ? 10 ** (3 * (now - 1)) : 0; // the meter's 60 dB
  }

  async open() {
    // The list comes after: until one device is allowed, browsers tell neither names nor ids, and what
    // is remembered would not be found in it.
    await this.#media.open(this.choice);
    await this.list();
  }

  async list() {
    const { videoinput, audioinput, audiooutput } = await devices();
    fill($('camera'), videoinput, 'Default camera', 'No camera');
    fill($('microphone'), audioinput, 'Default microphone', 'No microphone');
    fill($('speaker'), audiooutput, 'Default speaker');
    show($('speaker-field'), canChooseSpeaker() && audiooutput.length > 0);
  }

  async #onDevice() {
    remember(this.choice);
    await this.#media.open(this.choice);
    await this.list();
  }

  #onMedia() {
    const { stream, words, busy } = this.#media;
    const video = /** @type {HTMLVideoElement} */ ($('preview'));
    const picture = this.#media.track('video');
    // An element that waits for a stream without tracks keeps the page from ever being loaded.
    const source = stream.getTracks().length ? stream : null;
    if (video.srcObject !== source) {
      video.srcObject = source;
      video.play().catch(() => {}); // muted: browsers start it without a click
      this.#level.listen(stream);
    }
    this.#drawPlaceholder(busy ? { title: 'Starting the camera', detail: '', next: 'Your browser may ask you to allow it.' } : words, Boolean(picture) && this.#media.camera);
    show($('retry-media'), Boolean(words) && !busy);
    for (const [which, kind, name] of /** @type {const} */ ([['microphone', 'audio', 'Microphone'], ['camera', 'video', 'Camera']])) {
      const there = this.#media.track(kind) !== undefined;
      const on = there && this.#media[which];
      const button = $(`lobby-${which}`);
      button.disabled = !there;
      button.setAttribute('aria-pressed', String(!on));
      setText(button.querySelector('.label'), there ? `${name} ${on ? 'on' : 'off'}` : `No ${name.toLowerCase()}`);
    }
    setText($('devices-words'), words ? [words.title, words.detail, words.next].filter(Boolean).join(' ') : '');
  }

  /** @param {Partial<import('./problem.js').Words> | null} words @param {boolean} picture */
  #drawPlaceholder(words, picture) {
    const own = this.#media.track('audio')
      ? { title: this.#media.track('video') ? 'Your camera is off.' : 'No camera', detail: 'The others hear you and see your initials.', next: '' }
      : { title: 'Nothing is sent.', detail: 'You see and hear the others.', next: '' };
    const shown = words ?? own;
    show($('placeholder'), !picture);
    setText($('notice-title'), shown.title ?? '');
    setText($('notice-detail'), shown.detail ?? '');
    setText($('notice-next'), words && words !== own && !this.#media.busy ? `${shown.next ?? ''} You can join without it.`.trim() : shown.next ?? '');
  }

  #drawLevel() {
    if (document.hidden || $('lobby').hidden) return;
    const value = this.#media.microphone ? this.#level.now() : 0;
    $('level').style.clipPath = `inset(0 ${(100 - 100 * value).toFixed(1)}% 0 0)`;
    $('meter').setAttribute('aria-valuenow', String(Math.round(value * 100)));
  }
}

/** Selects a value before there is a list. @param {HTMLSelectElement} select @param {string} value @param {string} what */
function choose(select, value, what) {
  const text = value === NONE ? `No ${what}` : `${value ? 'Last used' : 'Default'} ${what}`;
  select.replaceChildren(new Option(text, value));
  select.value = value;
}

/** @param {HTMLSelectElement} select @param {{id: string, label: string}[]} list @param {string} first @param {string} [none] */
function fill(select, list, first, none) {
  const chosen = select.value;
  const options = [new Option(first, ''), ...list.map(({ id, label }, i) => new Option(label || `${first.replace('Default ', '')} ${i + 1}`, id))];
  if (none) options.push(new Option(none, NONE));
  select.replaceChildren(...options);
  select.value = options.some((option) => option.value === chosen) ? chosen : '';
}
