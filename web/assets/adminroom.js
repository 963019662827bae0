/**
 * One room on the operator's page: its line, and what is in it while it is unfolded.
 * @module
 */
import { $, bitrateText, msText, percentText, setText, show } from './ui.js';

/**
 * @typedef {object} Acts what a reader can do to a room; each resolves once it is done, or was called off
 * @property {(locked: boolean) => Promise<void>} lock
 * @property {() => Promise<void>} end
 * @property {(publication: string | null) => Promise<void>} program
 * @property {(publication: string, muted: {audio: boolean, video: boolean}) => Promise<void>} mute
 * @property {(session: string, who: string) => Promise<void>} kick
 * @property {() => void} unfold was folded or unfolded
 */

/** @param {number} n @param {string} word */
const count = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;

/** @param {ParentNode} within @param {string} selector @returns {any} */
const find = (within, selector) => within.querySelector(selector);

/** @param {string} id of a template @returns {HTMLElement} */
const stamp = (id) => /** @type {any} */ ($(id)).content.firstElementChild.cloneNode(true);

/** @param {HTMLElement} pill @param {string} tone @param {string} text */
function drawPill(pill, tone, text) {
  if (pill.dataset.tone !== tone) pill.dataset.tone = tone;
  setText(find(pill, '.text'), text);
}

/** @param {HTMLButtonElement} button @param {boolean} pressed @param {string} text */
function drawToggle(button, pressed, text) {
  button.setAttribute('aria-pressed', String(pressed));
  setText(button, text);
}

/** Runs an act once at a time; the button shows that it runs. @param {HTMLButtonElement} button @param {() => Promise<void>} act */
function onClick(button, act) {
  button.addEventListener('click', async () => {
    if (button.disabled) return;
    button.disabled = true;
    try {
      await act();
    } finally {
      button.disabled = false;
    }
  });
}

/**
 * Keeps one element for each item, in order, so that focus and selection stay where they are.
 * @template T
 */
class Lines {
  /** @type {Map<string, HTMLElement & {item?: T}>} */
  #lines = new Map();
  #list;
  #begin;
  #draw;

  /**
   * @param {HTMLElement} list
   * @param {(key: string) => HTMLElement} begin makes an element
   * @param {(line: any, item: T) => void} draw
   */
  constructor(list, begin, draw) {
    this.#list = list;
    this.#begin = begin;
    this.#draw = draw;
  }

  /** @param {T[]} items @param {(item: T) => string} keyOf */
  update(items, keyOf) {
    const keys = new Set(items.map(keyOf));
    for (const [key, line] of this.#lines) {
      if (keys.has(key)) continue;
      line.remove();
      this.#lines.delete(key);
    }
    items.forEach((item, i) => {
      const key = keyOf(item);
      let line = this.#lines.get(key);
      if (!line) {
        line = this.#begin(key);
        this.#lines.set(key, line);
      }
      line.item = item;
      this.#draw(line, item);
      if (this.#list.children[i] !== line) this.#list.insertBefore(line, this.#list.children[i] ?? null);
    });
  }
}

/** The element of one room. */
export class RoomView {
  #acts;
  #room = /** @type {any} */ ({});
  #publications;
  #sessions;

  /** @param {string} name @param {string} base @param {Acts} acts */
  constructor(name, base, acts) {
    this.#acts = acts;
    this.element = stamp('room-template');
    this.element.dataset.room = name;
    const at = (selector) => find(this.element, selector);
    setText(at('.fold .name'), name);
    at('.watch').href = `${base}play/${encodeURIComponent(name)}`;
    at('.meet').href = `${base}meet/${encodeURIComponent(name)}`;
    for (const [selector, words] of [['.watch', 'Watch'], ['.meet', 'Meet in'], ['.end-room', 'End']]) {
      at(selector).setAttribute('aria-label', `${words} ${name}`);
    }
    at('.fold').addEventListener('click', () => this.fold(this.unfolded));
    onClick(at('.lock'), () => acts.lock(!this.#room.locked));
    onClick(at('.end-room'), () => acts.end());
    this.#publications = new Lines(at('.publications'), (key) => this.#beginPublication(key), (line, p) => this.#drawPublication(line, p));
    this.#sessions = new Lines(at('.sessions'), (key) => this.#beginSession(key), drawSession);
  }

  get unfolded() {
    return find(this.element, '.fold').getAttribute('aria-expanded') === 'true';
  }

  /** @param {boolean} folded */
  fold(folded) {
    find(this.element, '.fold').setAttribute('aria-expanded', String(!folded));
    show(find(this.element, '.room-body'), !folded);
    if (!folded) this.#acts.unfold();
  }

  /** @param {any} room */
  drawRoom(room) {
    this.#room = room;
    const at = (selector) => find(this.element, selector);
    drawPill(at('.pill.live'), room.live ? 'live' : '', room.live ? 'Live' : 'Off air');
    const facts = [count(room.publications ?? 0, 'publication'), count(room.viewers ?? 0, 'viewer')];
    if (room.program) facts.push(`program: ${room.program}`);
    setText(at('.facts'), facts.join(', '));
    drawToggle(at('.lock'), Boolean(room.locked), room.locked ? 'Locked' : 'Lock');
    at('.lock').setAttribute('aria-label', `Lock ${room.name}`);
  }

  /** @param {any[]} publications @param {any[]} sessions */
  drawBody(publications, sessions) {
    this.#publications.update(publications, (p) => p.name);
    show(find(this.element, '.none-published'), publications.length === 0);
    this.#sessions.update(sessions, (s) => s.id);
    show(find(this.element, '.none-there'), sessions.length === 0);
    const troubled = sessions.filter((s) => s.cause).length;
    show(find(this.element, '.trouble'), troubled > 0);
    setText(find(this.element, '.trouble .text'), `${troubled} in trouble`);
  }

  /** @param {string} name */
  #beginPublication(name) {
    const line = /** @type {any} */ (stamp('publication-template'));
    setText(find(line, '.name'), name);
    onClick(find(line, '.program'), () => this.#acts.program(this.#room.program === name ? null : name));
    for (const kind of ['audio', 'video']) {
      onClick(find(line, `.${kind}`), () => {
        const muted = { audio: Boolean(line.item.muted?.audio), video: Boolean(line.item.muted?.video) };
        return this.#acts.mute(name, { ...muted, [kind]: !muted[kind] });
      });
    }
    return line;
  }

  /** @param {any} line @param {any} p */
  #drawPublication(line, p) {
    setText(find(line, '.identity'), p.identity ?? '');
    drawPill(find(line, '.pill.live'), p.live ? 'live' : 'warn', p.live ? 'Live' : 'Silent');
    setText(find(line, '.what'), (p.tracks ?? []).map(trackText).join(' · '));
    drawToggle(find(line, '.program'), this.#room.program === p.name, this.#room.program === p.name ? 'On program' : 'Program');
    drawToggle(find(line, '.audio'), Boolean(p.muted?.audio), p.muted?.audio ? 'Sound muted' : 'Mute sound');
    drawToggle(find(line, '.video'), Boolean(p.muted?.video), p.muted?.video ? 'Picture muted' : 'Mute picture');
  }

  /** @param {string} id */
  #beginSession(id) {
    const line = /** @type {any} */ (stamp('session-template'));
    line.dataset.session = id;
    onClick(find(line, '.kick'), () => this.#acts.kick(id, whoIs(line.item)));
    return line;
  }
}

/** @param {any} s */
const whoIs = (s) => s.name || s.identity || (s.role === 'publisher' ? `publisher of ${s.publication || 'main'}` : `viewer ${String(s.id).slice(-6)}`);

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {any} line @param {any} s */
function drawSession(line, s) {
  setText(find(line, '.who .name'), whoIs(s));
  setText(find(line, '.identity'), [s.role === 'publisher' ? `publishes ${s.publication || 'main'}` : `watches ${s.publication || 'the program'}`, s.name && s.identity].filter(Boolean).join(', '));
  find(line, '.kick').setAttribute('aria-label', `Kick ${whoIs(s)}`);
  const tone = s.cause ? 'bad' : { live: 'live', connecting: 'warn' }[s.state] ?? '';
  drawPill(find(line, '.pill.state'), tone, capital(s.cause ? s.cause.replaceAll('-', ' ') : s.state));
  setText(find(line, '.what'), figuresOf(s));
  show(find(line, '.why'), Boolean(s.cause));
  if (!s.cause) return;
  setText(find(line, '.cause'), s.advice?.title ?? '');
  setText(find(line, '.next'), s.advice?.next ?? '');
  find(line, '.more').href = `problems/${encodeURIComponent(s.cause)}`;
}

/** @param {any} s */
function figuresOf(s) {
  const stats = s.stats ?? {};
  const facts = [stats.rtt_ms ? `${msText(stats.rtt_ms)} away` : '', `${percentText(stats.loss)} lost`];
  if (s.role === 'publisher') facts.push(bitrateText(stats.bitrate));
  else facts.push(`${msText(stats.jitter_ms)} jitter`);
  facts.push(s.transport?.toUpperCase() ?? '', `since ${new Date(s.since).toLocaleTimeString()}`);
  return facts.filter(Boolean).join(' · ');
}

/** @param {any} t */
function trackText(t) {
  const layers = (t.layers ?? []).map((l) => {
    const size = l.width ? `${l.width}×${l.height}` : '';
    const rate = l.width && l.fps ? `${Math.round(l.fps)}/s` : '';
    return [l.rid, size, rate, bitrateText(l.bitrate), l.active ? '' : '(off)'].filter(Boolean).join(' ');
  });
  return [t.codec, layers.join(', ')].filter(Boolean).join(' ');
}

