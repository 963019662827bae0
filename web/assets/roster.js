/**
 * Who is in the room and what is on air, from the room's snapshot and the events after it.
 * Pure functions: the same events give the same roster on every page.
 * @module
 */

const SCREEN = '-screen';
const MESSAGES = 300; // older ones are out of sight, and a page may stay open for days
const STATES = 200; // whoever may send messages may send any number of these

/** Kind of the messages by which pages tell each other that a microphone or a camera is off. */
export const STATE_KIND = 'meet.state';

/**
 * @typedef {object} Publication
 * @property {string} publication its name
 * @property {string} session public id of its publisher's session
 * @property {string} [identity]
 * @property {string} [name] of its publisher, to show to people
 * @property {string} whep where to play it
 * @property {{audio: boolean, video: boolean}} muted by a moderator
 *
 * @typedef {object} RoomSession
 * @property {string} session public id
 * @property {string} role
 * @property {string} [publication]
 * @property {string} [identity]
 * @property {string} [name]
 * @property {string} [cause] why it left
 *
 * @typedef {object} RoomEvent
 * @property {number} seq
 * @property {string} time
 * @property {string} type
 * @property {any} data
 *
 * @typedef {object} Room what a page knows
 * @property {boolean} known a snapshot has come
 * @property {boolean} ended
 * @property {boolean} locked
 * @property {RoomSession[]} sessions by when they joined
 * @property {Publication[]} publications by when they started
 * @property {RoomEvent[]} messages oldest first
 * @property {Record<string, {state: string, cause: string | null}>} quality by session
 * @property {Record<string, {name: string, microphone: boolean, camera: boolean}>} states what people say of themselves, by their key
 */

/** @returns {Room} */
export function emptyRoom() {
  return { known: false, ended: false, locked: false, sessions: [], publications: [], messages: [], quality: {}, states: {} };
}

/** @template T @param {T[]} list @param {keyof T} key @param {T} item @returns {T[]} with the item in its old place or at the end */
function put(list, key, item) {
  const at = list.findIndex((other) => other[key] === item[key]);
  return at < 0 ? [...list, item] : list.with(at, item);
}

/** @template T @param {T[]} list @param {keyof T} key @param {unknown} value @returns {T[]} */
const without = (list, key, value) => list.filter((other) => other[key] !== value);

/** @param {any} value @returns {any[]} */
const array = (value) => (Array.isArray(value) ? value : []);

/** @param {any} data @returns {Publication} */
function publicationOf(data) {
  return { ...data, muted: { audio: Boolean(data.muted?.audio), video: Boolean(data.muted?.video) } };
}

/** @param {RoomEvent} event @returns {boolean} */
const isChat = (event) => event.data?.kind === 'chat' && typeof event.data.text === 'string';

/** @param {any} body */
const stateOf = (body) => ({
  name: typeof body?.name === 'string' ? body.name.slice(0, 60) : '', microphone: body?.microphone !== false, camera: body?.camera !== false,
});

/** @param {Room['states']} states @param {RoomEvent} event a message @returns {Room['states']} */
function withState(states, { data }) {
  const body = data?.body;
  const key = data?.identity || body?.publication;
  if (data?.kind !== STATE_KIND || typeof key !== 'string') return states;
  const { [key]: _, ...others } = states;
  const entries = [...Object.entries(others), [key, stateOf(body)]];
  return Object.fromEntries(entries.slice(-STATES));
}

/**
 * The room after an event. What this version of the page does not know changes nothing.
 * @param {Room} room
 * @param {RoomEvent} event
 * @returns {Room}
 */
export function reduce(room, event) {
  const data = event.data ?? {};
  switch (event.type) {
    case 'snapshot':
      return {
        ...emptyRoom(),
        known: true,
        locked: Boolean(data.locked),
        sessions: array(data.sessions),
        publications: array(data.publications).map(publicationOf),
        messages: array(data.messages).filter(isChat).slice(-MESSAGES),
        // The history may have lost what this page has heard itself.
        states: array(data.messages).reduce(withState, room.states),
      };
    case 'session.joined':
      return { ...room, sessions: put(room.sessions, 'session', data) };
    case 'session.left': {
      const { [data.session]: _, ...quality } = room.quality;
      return { ...room, sessions: without(room.sessions, 'session', data.session), quality };
    }
    case 'publication.started':
      return { ...room, publications: put(room.publications, 'publication', publicationOf(data)) };
    case 'publication.muted': {
      const { muted } = publicationOf(data);
      return { ...room, publications: room.publications.map((p) => (p.publication === data.publication ? { ...p, muted } : p)) };
    }
    case 'publication.stopped':
      return { ...room, publications: without(room.publications, 'publication', data.publication) };
    case 'quality.changed':
      return { ...room, quality: { ...room.quality, [data.session]: { state: data.state, cause: data.cause ?? null } } };
    case 'room.changed':
      return { ...room, locked: Boolean(data.locked) };
    case 'message':
      if (isChat(event)) return { ...room, messages: [...room.messages, event].slice(-MESSAGES) };
      return { ...room, states: withState(room.states, event) };
    case 'room.ended':
      return { ...room, ended: true, sessions: [], publications: [] };
    default:
      return room;
  }
}

/** @param {string} publication @returns {boolean} */
export const isScreen = (publication) => publication.endsWith(SCREEN);

/** @param {string} publication of somebody's camera @returns {string} that of their screen */
export const screenOf = (publication) => publication + SCREEN;

/** @param {string} publication @returns {string} that of the camera of whose screen it is, or itself */
const cameraOf = (publication) => (isScreen(publication) ? publication.slice(0, -SCREEN.length) : publication);

/**
 * What to call somebody of whom only the publication is known: the number that makes the names of
 * this page's publications unique is left out.
 * @param {string} publication
 * @returns {string}
 */
export const labelOf = (publication) => cameraOf(publication).replace(/-\d{6}$/, '') || publication;

/**
 * @typedef {object} Person somebody in the call
 * @property {string} key stays the same while they are here
 * @property {string} name
 * @property {Publication | null} camera
 * @property {Publication | null} screen
 * @property {string[]} sessions public ids
 * @property {boolean} microphone on, as they say
 * @property {boolean} picture on, as they say
 */

/**
 * Everybody in the room, by when they came. One person has a session for everything they send and
 * see; the identity ties these together, and where there is none the publication's name does. Viewers
 * without an identity are nobody in particular and are left out.
 * @param {Room} room
 * @returns {Person[]}
 */
export function people(room) {
  /** @type {Map<string, Person>} */
  const found = new Map();
  const person = (identity, publication) => {
    const key = identity || cameraOf(publication);
    let one = found.get(key);
    if (!one) found.set(key, one = { key, name: '', camera: null, screen: null, sessions: [], microphone: true, picture: true });
    return one;
  };
  for (const session of room.sessions) {
    if (!session.identity && session.role !== 'publisher') continue;
    const one = person(session.identity, session.publication ?? '');
    one.name ||= session.name ?? '';
    one.sessions.push(session.session);
  }
  for (const publication of room.publications) {
    const one = person(publication.identity, publication.publication);
    one.name ||= publication.name ?? '';
    if (isScreen(publication.publication)) one.screen ??= publication;
    else one.camera ??= publication;
  }
  return [...found.values()].map((one) => ({
    ...one,
    // The gateway's word goes first: it knows the names of those who joined with a token.
    name: one.name || room.states[one.key]?.name || labelOf(one.key),
    microphone: room.states[one.key]?.microphone ?? true,
    picture: room.states[one.key]?.camera ?? true,
  }));
}

/**
 * Who wrote a message.
 * @param {RoomEvent} message
 * @returns {string}
 */
export function authorOf({ data }) {
  const said = typeof data.body?.name === 'string' ? data.body.name.slice(0, 60) : '';
  return data.name || said || (data.identity ? labelOf(data.identity) : '') || 'Guest';
}

/**
 * What changed between two moments, in words to be read out.
 * @param {Person[]} before
 * @param {Person[]} after
 * @param {string} own key of the reader
 * @returns {string[]}
 */
export function changes(before, after, own) {
  const said = [];
  const old = new Map(before.map((one) => [one.key, one]));
  for (const one of after) {
    const then = old.get(one.key);
    old.delete(one.key);
    if (one.key === own) continue;
    if (!then) said.push(`${one.name} joined.`);
    if (one.screen && !then?.screen) said.push(`${one.name} shares a screen.`);
    if (!one.screen && then?.screen) said.push(`${one.name} no longer shares a screen.`);
  }
  for (const one of old.values()) if (one.key !== own) said.push(`${one.name} left.`);
  return said;
}
