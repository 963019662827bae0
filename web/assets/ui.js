/**
 * What the pages have in common: where they are, the token, small widgets, figures as text.
 * Text goes into the page by textContent alone; there is no HTML made here.
 * @module
 */

/** Names that rooms and publications may have. */
export const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

/**
 * @template {HTMLElement} [T=any]
 * @param {string} id
 * @returns {T}
 */
export function $(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {any} */ (element);
}

/**
 * Where this page is. The base ends with a slash; it is not "/" when a proxy puts the
 * gateway below a path.
 * @param {string} page "play" or "publish"; "" for the list
 * @param {Location | URL} [location]
 * @returns {{base: string, room: string, query: URLSearchParams}}
 */
export function place(page, location = window.location) {
  const query = new URLSearchParams(location.search);
  if (!page) return { base: new URL('.', location.href.split(/[?#]/)[0]).href, room: '', query };
  const mark = location.pathname.lastIndexOf(`/${page}/`);
  const base = location.origin + location.pathname.slice(0, mark + 1);
  return { base, room: safeDecode(location.pathname.slice(mark + page.length + 2)), query };
}

/** @param {string} text */
function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The endpoint of a room.
 * @param {string} base @param {'whip' | 'whep'} protocol @param {string} room @param {string} publication "" for the default
 */
export function endpoint(base, protocol, room, publication) {
  const url = `${base}${protocol}/${encodeURIComponent(room)}`;
  return publication ? `${url}/${encodeURIComponent(publication)}` : url;
}

/**
 * Keeps a token for as long as the tab is open. It comes from the reader or from the URL's
 * fragment (#token=…), which no server sees; there it is removed, so that a copied address has none.
 */
export class Token {
  #key;
  #value = '';

  /** @param {string} name what the token is for, such as "play:room" */
  constructor(name) {
    this.#key = `sluice.token:${name}`;
    try {
      this.#value = sessionStorage.getItem(this.#key) ?? '';
    } catch {
      // Storage may be forbidden, in a frame for one: then it lasts as long as the page.
    }
    const fragment = new URLSearchParams(location.hash.slice(1));
    const given = fragment.get('token');
    if (given === null) return;
    this.value = given;
    fragment.delete('token');
    const rest = fragment.toString();
    history.replaceState(history.state, '', location.pathname + location.search + (rest ? `#${rest}` : ''));
  }

  get value() {
    return this.#value;
  }

  set value(token) {
    this.#value = token.trim().replace(/^Bearer\s+/i, '');
    try {
      if (this.#value) sessionStorage.setItem(this.#key, this.#value);
      else sessionStorage.removeItem(this.#key);
    } catch {
      // See the constructor.
    }
  }
}

/**
 * Shows or hides.
 * @param {HTMLElement} element @param {boolean} visible
 */
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/**
 * Sets text only when it differs: a live region is read out at each change.
 * @param {HTMLElement} element @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {string} tag @param {string} [className] @param {string} [text] @returns {HTMLElement}
 */
export function make(tag, className = '', text = '') {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/**
 * A button that copies, and says so for two seconds.
 * @param {HTMLButtonElement} button @param {() => string} text
 */
export function copyOnClick(button, text) {
  const label = button.querySelector('.label') ?? button;
  const before = label.textContent;
  let timer = 0;
  button.addEventListener('click', async () => {
    const done = await copy(text());
    label.textContent = done ? 'Copied' : 'Select and copy by hand';
    clearTimeout(timer);
    timer = window.setTimeout(() => { label.textContent = before; }, 2000);
  });
}

/** @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard outside a secure context: the old way, from a field out of sight.
    const field = /** @type {HTMLTextAreaElement} */ (make('textarea', 'visually-hidden'));
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}

/**
 * Writes rows of figures, keeping the elements so that a reader's selection survives.
 * @param {HTMLElement} list a dl @param {[string, string][]} rows
 */
export function writeRows(list, rows) {
  while (list.children.length > rows.length) list.lastElementChild?.remove();
  rows.forEach(([name, value], i) => {
    let row = /** @type {HTMLElement | undefined} */ (list.children[i]);
    if (!row) {
      row = make('div');
      row.append(make('dt'), make('dd'));
      list.append(row);
    }
    setText(/** @type {HTMLElement} */ (row.children[0]), name);
    setText(/** @type {HTMLElement} */ (row.children[1]), value);
  });
}

const UNKNOWN = '–';

/** @param {number | null | undefined} bits per second */
export function bitrateText(bits) {
  if (bits === null || bits === undefined) return UNKNOWN;
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(bits >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.round(bits / 1000)} kbit/s`;
}

/** @param {number | null | undefined} ms */
export function msText(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  return ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`;
}

/** @param {number | null | undefined} part 0 to 1 */
export function percentText(part) {
  if (part === null || part === undefined) return UNKNOWN;
  return `${(part * 100).toFixed(part > 0 && part < 0.1 ? 1 : 0)} %`;
}

/** @param {any} video @returns {string} "1280 × 720" */
export function sizeText(video) {
  return video?.width ? `${video.width} × ${video.height}` : UNKNOWN;
}

/** @param {unknown} value */
export function plainText(value) {
  return value === null || value === undefined || value === '' ? UNKNOWN : String(value);
}

/** @param {number} ms until the next attempt @returns {string} */
export function secondsText(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return `${seconds} second${seconds === 1 ? '' : 's'}`;
}
