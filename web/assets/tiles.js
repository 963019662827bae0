/**
 * The pictures of a call on the page: one tile for each publication.
 * @module
 */
import { grid, stage } from './layout.js';
import { $, setText, show } from './ui.js';

/**
 * @typedef {object} View what a tile shows
 * @property {string} id publication, or "self"
 * @property {string} name
 * @property {string} [person] whose it is, where that is not the name
 * @property {'camera' | 'screen'} kind
 * @property {boolean} own it shows what the reader sends
 * @property {boolean} microphone on
 * @property {boolean} picture on
 * @property {{audio: boolean, video: boolean}} muted by a moderator
 * @property {boolean} speaking
 * @property {import('./quality.js').Grade | null} grade null: not known
 */

/** @param {string} name @returns {string} two letters at most */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : ''].map((word) => [...(word ?? '')][0] ?? '');
  return letters.join('').toUpperCase() || '?';
}

/** @param {View} view @returns {string} what a moderator took away */
export function noteOf({ muted }) {
  if (muted.audio && muted.video) return 'silenced and hidden by a moderator';
  if (muted.audio) return 'silenced by a moderator';
  return muted.video ? 'hidden by a moderator' : '';
}

/**
 * Which tile takes the stage: the one that the reader enlarged, else the newest screen of somebody else.
 * @param {View[]} views
 * @param {string} pinned
 * @returns {string} id, '' for none
 */
export function onStage(views, pinned) {
  if (views.some((view) => view.id === pinned)) return pinned;
  return views.findLast((view) => view.kind === 'screen' && !view.own)?.id ?? '';
}

/** Keeps tiles from one draw to the next: a video that moves in the document would stop. */
export class Tiles {
  #area = $('tiles');
  /** @type {Map<string, HTMLElement>} */
  #tiles = new Map();
  /** @type {View[]} */
  #views = [];
  #pinned = '';
  #sink = '';
  #onBlocked;

  /** @param {() => void} onBlocked the browser plays no sound before a click */
  constructor(onBlocked) {
    this.#onBlocked = onBlocked;
    new ResizeObserver(() => this.#place()).observe(this.#area);
  }

  /** @param {string} id @returns {HTMLVideoElement} */
  video(id) {
    return /** @type {HTMLVideoElement} */ (this.#tile(id).querySelector('video'));
  }

  /** @param {string} id */
  #tile(id) {
    let tile = this.#tiles.get(id);
    if (tile) return tile;
    tile = /** @type {HTMLElement} */ ($('tile').content.firstElementChild.cloneNode(true));
    const video = /** @type {HTMLVideoElement} */ (tile.querySelector('video'));
    const showPicture = () => { tile.dataset.frames = String(video.videoWidth > 0); };
    for (const type of ['resize', 'loadeddata', 'emptied']) video.addEventListener(type, showPicture);
    // Autoplay of a stream that was not muted may be refused until the first click.
    video.addEventListener('loadedmetadata', () => { video.play().catch((error) => { if (error.name === 'NotAllowedError') this.#onBlocked(); }); });
    showPicture();
    this.#useSpeaker(video);
    // The button is for the keyboard and the mouse; a finger has the whole tile. Both are this click.
    tile.addEventListener('click', (event) => {
      const button = /** @type {Element} */ (event.target).closest('.pin') !== null;
      if (!button && window.matchMedia('(hover: hover)').matches) return;
      this.#pinned = this.#stageId() === id ? '' : id;
      this.draw(this.#views);
    });
    this.#tiles.set(id, tile);
    this.#area.append(tile);
    return tile;
  }

  /** @param {View[]} views in the order of the page */
  draw(views) {
    this.#views = views;
    const ids = new Set(views.map((view) => view.id));
    for (const [id, tile] of this.#tiles) {
      if (ids.has(id)) continue;
      /** @type {HTMLVideoElement} */ (tile.querySelector('video')).srcObject = null;
      tile.remove();
      this.#tiles.delete(id);
    }
    const stageId = this.#stageId();
    for (const view of views) this.#drawOne(view, view.id === stageId);
    this.#place();
  }

  /** @param {View} view @param {boolean} large */
  #drawOne(view, large) {
    const tile = this.#tile(view.id);
    const part = (selector) => /** @type {HTMLElement} */ (tile.querySelector(selector));
    const { own, kind } = view;
    const data = {
      kind, own: String(own), stage: String(large), speaking: String(view.speaking),
      picture: String(view.picture && !view.muted.video),
    };
    for (const [key, value] of Object.entries(data)) if (tile.dataset[key] !== value) tile.dataset[key] = value;
    const name = kind === 'screen' ? `${view.name}${own ? 'r screen' : ', screen'}` : view.name;
    setText(part('.tile-name'), name);
    setText(part('.avatar'), initials(view.person ?? view.name));
    setText(part('.tile-note'), noteOf(view));
    part('.tile-muted').toggleAttribute('hidden', (view.microphone && !view.muted.audio) || kind === 'screen');
    const pin = part('.pin');
    pin.setAttribute('aria-pressed', String(large));
    pin.setAttribute('aria-label', `Enlarge: ${name}`);
    pin.title = large ? 'Back to the grid' : 'Enlarge';
    const video = this.video(view.id);
    if (own !== video.muted) video.muted = own;
    video.setAttribute('aria-label', `Picture of ${name}`);
    const bars = part('.bars');
    show(bars, view.grade !== null);
    if (view.grade) {
      bars.dataset.bars = String(view.grade.bars);
      bars.setAttribute('aria-label', `Connection: ${view.grade.text}`);
      bars.title = `Connection: ${view.grade.text}`;
    }
  }

  #stageId() {
    return onStage(this.#views, this.#pinned);
  }

  /** Puts the tiles where the layout says. */
  #place() {
    const { clientWidth: width, clientHeight: height } = this.#area;
    const stageId = this.#stageId();
    const others = this.#views.filter((view) => view.id !== stageId);
    const plan = stageId ? stage(others.length, width, height) : null;
    const boxes = plan?.others ?? grid(others.length, width, height);
    const bottom = Math.max(0, ...boxes.map((box) => box.y + box.height));
    this.#area.dataset.scroll = String(bottom > height + 1);
    others.forEach((view, i) => put(this.#tile(view.id), boxes[i]));
    if (plan) put(this.#tile(stageId), plan.stage);
  }

  /** @param {string} id of an output device, '' for the default one */
  speak(id) {
    this.#sink = id;
    for (const tile of this.#tiles.values()) this.#useSpeaker(/** @type {any} */ (tile.querySelector('video')));
  }

  /** @param {any} video */
  #useSpeaker(video) {
    if (video.setSinkId && (video.sinkId ?? '') !== this.#sink) video.setSinkId(this.#sink).catch(() => {}); // unplugged: the default one plays
  }

  /** Plays what the browser has held back; to be called by a click. */
  unblock() {
    for (const tile of this.#tiles.values()) /** @type {HTMLVideoElement} */ (tile.querySelector('video')).play().catch(() => {});
  }
}

/** @param {HTMLElement} tile @param {import('./layout.js').Box | undefined} box */
function put(tile, box) {
  if (!box) return;
  tile.style.transform = `translate(${box.x}px, ${box.y}px)`;
  tile.style.width = `${box.width}px`;
  tile.style.height = `${box.height}px`;
  tile.dataset.size = box.width < 180 ? 'small' : box.width < 320 ? 'medium' : 'large';
}
