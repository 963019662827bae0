/**
 * The page /admin: every room, who is in it, how they fare, and what an operator can do about it.
 * @module
 */
import { AdminAPI } from './adminapi.js';
import { RoomView } from './adminroom.js';
import { $, Token, place, setText, show } from './ui.js';

const REFRESH_MS = 1000;
/** So many rooms are unfolded by themselves. */
const UNFOLDED = 3;

const { base } = place('');
const token = new Token('admin');
const api = new AdminAPI(base, () => token.value);

/** @type {Map<string, RoomView>} */
const views = new Map();

// ---- acts ----------------------------------------------------------------------

/** Does something to a room, tells when it could not be done, and looks again. @param {() => Promise<unknown>} act */
async function doing(act) {
  try {
    await act();
    show($('notice'), false);
  } catch (error) {
    tell(error);
  }
  await refresh();
}

/** @param {any} error */
function tell(error) {
  setText($('notice'), [error?.title, error?.detail].filter(Boolean).join(' ') || 'That could not be done.');
  show($('notice'), true);
}

/** @param {string} title @param {string} detail @param {string} yes @returns {Promise<boolean>} */
function sure(title, detail, yes) {
  const dialog = /** @type {HTMLDialogElement} */ ($('sure'));
  setText($('sure-title'), title);
  setText($('sure-detail'), detail);
  setText($('sure-yes'), yes);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

/** @param {string} room @returns {import('./adminroom.js').Acts} */
function actsOn(room) {
  return {
    lock: (locked) => doing(() => api.change(room, { locked })),
    end: async () => {
      if (await sure(`End ${room}?`, 'Everybody in it is turned out, and its settings are gone.', 'End the room')) await doing(() => api.end(room));
    },
    program: (publication) => doing(() => api.change(room, { program: publication })),
    mute: (publication, muted) => doing(() => api.mute(room, publication, muted)),
    kick: async (session, who) => {
      if (await sure(`Kick ${who}?`, 'The session ends at once. Who has a token of the room cannot come back with it.', 'Kick')) await doing(() => api.kick(room, session));
    },
    unfold: () => { refresh(); },
  };
}

// ---- what is shown ------------------------------------------------------------------

/** @param {any[]} rooms */
function drawRooms(rooms) {
  const names = new Set(rooms.map((room) => room.name));
  for (const [name, view] of views) {
    if (names.has(name)) continue;
    view.element.remove();
    views.delete(name);
  }
  const list = $('rooms');
  rooms.forEach((room, i) => {
    let view = views.get(room.name);
    if (!view) {
      view = new RoomView(room.name, base, actsOn(room.name));
      views.set(room.name, view);
      if (views.size <= UNFOLDED) view.fold(false);
    }
    view.drawRoom(room);
    if (list.children[i] !== view.element) list.insertBefore(view.element, list.children[i] ?? null);
  });
  const sum = (key) => String(rooms.reduce((n, room) => n + (Number(room[key]) || 0), 0));
  setText($('sum-rooms'), String(rooms.length));
  setText($('sum-live'), String(rooms.filter((room) => room.live).length));
  setText($('sum-publications'), sum('publications'));
  setText($('sum-viewers'), sum('viewers'));
  show($('empty'), rooms.length === 0);
}

/** @param {string} name @param {RoomView} view */
async function drawBody(name, view) {
  try {
    const [publications, sessions] = await Promise.all([api.publications(name), api.sessions(name)]);
    view.drawBody(publications, sessions);
  } catch (error) {
    if (error?.status !== 404) throw error; // the room went while it was asked for
  }
}

/** @param {'live' | 'warn' | 'bad'} tone @param {string} text */
function drawState(tone, text) {
  $('state').dataset.tone = tone;
  setText($('state-text'), text);
}

/** @param {any} error */
function drawProblem(error) {
  const refused = error?.status === 401 || error?.status === 403;
  drawState('bad', refused ? 'No access' : 'No answer');
  show($('ask'), refused);
  show($('board'), !refused);
  if (!refused) return;
  setText($('ask-title'), error.status === 401 ? 'This page needs a token.' : 'This token may not see rooms.');
  setText($('ask-detail'), 'It must have the grant “admin” on the rooms that are to be shown. It is kept until this tab is closed.');
}

let asking = false;
let again = false; // somebody wants to see what is there now, not a moment ago

async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    do {
      again = false;
      drawRooms(await api.rooms());
      await Promise.all([...views].filter(([, view]) => view.unfolded).map(([name, view]) => drawBody(name, view)));
      show($('ask'), false);
      show($('board'), true);
      drawState('live', 'Live');
    } while (again);
  } catch (error) {
    drawProblem(error);
  } finally {
    asking = false;
  }
}

// ---- a new room -------------------------------------------------------------------------

const dialog = /** @type {HTMLDialogElement} */ ($('room-dialog'));

$('new-room').addEventListener('click', () => {
  /** @type {HTMLFormElement} */ ($('room-form')).reset();
  show($('room-problem'), false);
  dialog.showModal();
});
$('room-cancel').addEventListener('click', () => dialog.close());
$('room-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = $('room-name').value.trim();
  const password = $('room-password').value;
  try {
    await api.create({ ...(name ? { name } : {}), ...(password ? { password } : {}), wait: $('room-wait').checked });
    dialog.close();
  } catch (error) {
    setText($('room-problem'), [error?.title, error?.detail].filter(Boolean).join(' '));
    show($('room-problem'), true);
  }
  await refresh();
});

// ---- start ------------------------------------------------------------------------------

$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token.value = $('token').value;
  refresh();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MS);
refresh();
