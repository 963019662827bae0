/**
 * The page /: what is on air, a form to name a room, settings for other programs.
 * @module
 */
import { problemOf } from './problem.js';
import { bearer } from './session.js';
import { $, NAME, Token, copyOnClick, endpoint, make, place, setText, show } from './ui.js';

const REFRESH_MS = 2000;

const { base } = place('');
const token = new Token('rooms');

/** @param {string} page @param {string} room */
const pageURL = (page, room) => `${base}${page}/${encodeURIComponent(room)}`;

// ---- rooms ----------------------------------------------------------------------

/**
 * @typedef {object} Room as much of it as this page reads
 * @property {string} name
 * @property {boolean} live
 * @property {number} [publications]
 * @property {number} [viewers]
 */

/** @returns {Promise<Room[]>} live ones, by name */
async function fetchRooms() {
  /** @type {Room[]} */
  const rooms = [];
  let next = '';
  do { // a list of many rooms comes in parts; ten of them are more than anybody reads
    const url = new URL('v1/rooms', base);
    if (next) url.searchParams.set('cursor', next);
    const response = await fetch(url, { headers: { Accept: 'application/json', ...bearer(token.value) }, credentials: 'omit' });
    if (!response.ok) throw await problemOf(response);
    const list = await response.json();
    rooms.push(...(Array.isArray(list.items) ? list.items : []));
    next = typeof list.next === 'string' ? list.next : '';
  } while (next && rooms.length < 500);
  return rooms.filter((room) => room.live && NAME.test(room.name)).sort((a, b) => a.name.localeCompare(b.name));
}

/** @type {Map<string, HTMLElement>} kept between refreshes, with the focus in them */
const rows = new Map();

/** @param {Room[]} rooms */
function drawRooms(rooms) {
  const names = new Set(rooms.map((room) => room.name));
  for (const [name, row] of rows) {
    if (!names.has(name)) {
      row.remove();
      rows.delete(name);
    }
  }
  rooms.forEach((room, i) => {
    let row = rows.get(room.name);
    if (!row) {
      row = makeRow(room.name);
      rows.set(room.name, row);
    }
    const list = $('rooms');
    if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null);
    setText(/** @type {HTMLElement} */ (row.querySelector('.facts')), factsOf(room));
  });
  setText($('rooms-note'), rooms.length ? `${rooms.length} room${rooms.length === 1 ? '' : 's'}` : '');
  empty(rooms.length ? null : {
    title: 'Nobody is on air.',
    detail: 'Name a room above and publish from this browser, or use OBS or ffmpeg with the settings below.',
  });
}

/** @param {Room} room */
function factsOf(room) {
  const count = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;
  const facts = [count(room.viewers ?? 0, 'viewer')];
  if ((room.publications ?? 1) > 1) facts.push(count(room.publications ?? 0, 'publication'));
  return facts.join(', ');
}

/** @param {string} name */
function makeRow(name) {
  const row = make('li', 'card room-row');
  const pill = make('span', 'pill');
  pill.dataset.tone = 'live';
  pill.append(make('span', 'dot'), document.createTextNode('Live'));
  const links = [['play', 'Watch', 'primary'], ['publish', 'Publish', 'secondary'], ['meet', 'Meet', 'secondary']].map(([page, text, tone]) => {
    const link = /** @type {HTMLAnchorElement} */ (make('a', `button ${tone}`, text));
    link.href = pageURL(page, name);
    link.setAttribute('aria-label', `${text}: ${name}`);
    return link;
  });
  row.append(pill, make('span', 'name', name), make('span', 'facts'), ...links);
  return row;
}

/** @param {{title: string, detail: string} | null} words @param {boolean} [askToken] */
function empty(words, askToken = false) {
  show($('empty'), words !== null);
  show($('token-form'), askToken);
  if (!words) return;
  setText($('empty-title'), words.title);
  setText($('empty-detail'), words.detail);
}

/** @param {any} error */
function drawProblem(error) {
  const status = error?.status ?? 0;
  if (status === 401 || status === 403) {
    drawRooms([]);
    empty({
      title: status === 401 ? 'The list of rooms needs a token.' : 'This token may not see the list of rooms.',
      detail: 'Only a token with the grant “admin” lists every room. To watch or publish, open the room by its name above.',
    }, true);
    return;
  }
  if (rows.size > 0) { // what was there a moment ago is better than nothing
    setText($('rooms-note'), 'The gateway does not answer. Trying again.');
    return;
  }
  const unknown = status === 404 || status === 501;
  empty({
    title: unknown ? 'This gateway does not list its rooms.' : 'The gateway does not answer.',
    detail: unknown ? 'Open a room by its name above.' : error?.title || 'Trying again every few seconds.',
  });
}

let busy = false;

async function refresh() {
  if (document.hidden || busy) return;
  busy = true;
  try {
    drawRooms(await fetchRooms());
  } catch (error) {
    drawProblem(error);
  } finally {
    busy = false;
  }
}

// ---- other programs -----------------------------------------------------------------

const chosenRoom = () => (NAME.test($('name').value.trim()) ? $('name').value.trim() : 'my-room');
const whipURL = () => endpoint(base, 'whip', chosenRoom(), '');

/** Zero latency, baseline, a keyframe every second: see docs for what each costs. */
function ffmpegCommand() {
  return [
    'ffmpeg -re -i input.mp4',
    '-c:v libx264 -profile:v baseline -bf 0',
    '-preset veryfast -tune zerolatency',
    '-pix_fmt yuv420p -b:v 2500k',
    '-force_key_frames "expr:gte(t,n_forced)"',
    '-c:a libopus -ar 48000 -ac 2 -b:a 96k',
    '-f whip -authorization "YOUR_TOKEN"',
    `"${whipURL()}"`,
  ].join(' \\\n  ');
}

function drawTools() {
  setText($('obs-url'), whipURL());
  setText($('ffmpeg'), ffmpegCommand());
}

// ---- start ------------------------------------------------------------------------------

$('go').addEventListener('submit', (event) => {
  event.preventDefault();
  const asked = event.submitter?.value ?? '';
  const page = ['play', 'meet'].includes(asked) ? asked : 'publish';
  location.href = pageURL(page, $('name').value.trim());
});
$('name').addEventListener('input', drawTools);
$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token.value = $('token').value;
  refresh();
});
copyOnClick($('copy-obs'), whipURL);
copyOnClick($('copy-ffmpeg'), ffmpegCommand);
document.addEventListener('visibilitychange', refresh);
setInterval(refresh, REFRESH_MS);
drawTools();
refresh();
