/**
 * The control API as the operator's page uses it.
 * @module
 */
import { Problem, problemOf } from './problem.js';
import { bearer } from './session.js';

const TIMEOUT_MS = 8000;
/** Rooms in a list beyond which nobody looks through them. */
const MAX_ROOMS = 1000;

/** Calls the API with whatever token is in force. */
export class AdminAPI {
  #base;
  #token;

  /** @param {string} base of all URLs, with a slash @param {() => string} token '' for none */
  constructor(base, token) {
    this.#base = base;
    this.#token = token;
  }

  /** @returns {Promise<any[]>} all rooms, by name */
  rooms() {
    return this.#list('v1/rooms');
  }

  /** @param {string} room @returns {Promise<any[]>} */
  publications(room) {
    return this.#list(`${roomPath(room)}/publications`);
  }

  /** @param {string} room @returns {Promise<any[]>} */
  sessions(room) {
    return this.#list(`${roomPath(room)}/sessions`);
  }

  /** @param {{name?: string, password?: string, wait?: boolean}} room */
  create(room) {
    return this.#send('POST', 'v1/rooms', room);
  }

  /** @param {string} room @param {object} change */
  change(room, change) {
    return this.#send('PATCH', roomPath(room), change);
  }

  /** @param {string} room */
  end(room) {
    return this.#send('DELETE', roomPath(room));
  }

  /** @param {string} room @param {string} publication @param {{audio?: boolean, video?: boolean}} muted */
  mute(room, publication, muted) {
    return this.#send('PATCH', `${roomPath(room)}/publications/${encodeURIComponent(publication)}`, { muted });
  }

  /** @param {string} room @param {string} session its id */
  kick(room, session) {
    return this.#send('DELETE', `${roomPath(room)}/sessions/${encodeURIComponent(session)}`);
  }

  /** @param {string} path */
  async #list(path) {
    /** @type {any[]} */
    const items = [];
    let next = '';
    do {
      const page = await this.#send('GET', next ? `${path}?cursor=${encodeURIComponent(next)}` : path);
      items.push(...(Array.isArray(page?.items) ? page.items : []));
      next = typeof page?.next === 'string' ? page.next : '';
    } while (next && items.length < MAX_ROOMS);
    return items;
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} null without a body */
  async #send(method, path, body) {
    /** @type {Response} */
    let response;
    try {
      response = await fetch(new URL(path, this.#base), {
        method,
        headers: { Accept: 'application/json', ...(body ? { 'Content-Type': 'application/json' } : {}), ...bearer(this.#token()) },
        body: body ? JSON.stringify(body) : undefined,
        credentials: 'omit',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new Problem({ status: 0, title: 'The gateway does not answer.' });
    }
    if (!response.ok) throw await problemOf(response);
    return response.status === 204 ? null : response.json();
  }
}

/** @param {string} room */
const roomPath = (room) => `v1/rooms/${encodeURIComponent(room)}`;
