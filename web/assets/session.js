/**
 * The HTTP half of a WHIP or WHEP session: POST, PATCH, DELETE and what they answer.
 * @module
 */
import { Problem, problemOf } from './problem.js';

const POST_TIMEOUT_MS = 15000;
const PATCH_TIMEOUT_MS = 5000;
const STATUS_TIMEOUT_MS = 1500; // a word of explanation is worth no longer wait

/** A session on the gateway, known by its unguessable URL. */
export class Session {
  #token;
  #closed = false;

  /**
   * @param {string} url absolute
   * @param {string} answer SDP
   * @param {string} etag '' when the gateway gave none
   * @param {RTCIceServer[]} iceServers
   * @param {string} token '' for none
   */
  constructor(url, answer, etag, iceServers, token) {
    this.url = url;
    this.answer = answer;
    this.etag = etag;
    this.iceServers = iceServers;
    this.#token = token;
  }

  /**
   * Asks for an ICE restart (RFC 9725 section 4.3.3).
   * @param {string} fragment new credentials, application/trickle-ice-sdpfrag
   * @returns {Promise<string>} the gateway's fragment
   * @throws {Problem}
   */
  async restart(fragment) {
    const response = await send(this.url, PATCH_TIMEOUT_MS, undefined, {
      method: 'PATCH',
      // "*" and not the tag: a restart is meant for whatever ICE session is in force.
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*', ...bearer(this.#token) },
      body: fragment,
    });
    if (response.status !== 200) throw await problemOf(response);
    this.etag = response.headers.get('ETag') ?? '';
    return response.text();
  }

  /**
   * Asks the gateway how the session is, and why. It knows for a minute after the end, too.
   * @returns {Promise<unknown>} null when it does not answer, or not in that way
   */
  async status() {
    try {
      const response = await send(`${this.url}/status`, STATUS_TIMEOUT_MS, undefined, { headers: bearer(this.#token) });
      return response.ok ? await response.json() : null;
    } catch {
      return null; // no news
    }
  }

  /**
   * Puts a newer token in the place of the one that the session was made with, so that it lives on
   * when that one ends. Media is not touched.
   * @param {string} token
   * @returns {Promise<boolean>} whether the gateway agreed; a session without an owner has no token to renew
   */
  async refresh(token) {
    this.#token = token;
    try {
      const response = await send(`${this.url}/refresh`, PATCH_TIMEOUT_MS, undefined, { method: 'POST', headers: bearer(token) });
      return response.ok;
    } catch {
      return false; // the session tells by its end what that meant
    }
  }

  /** The gateway has ended the session by itself: close() has nothing left to do. */
  ended() {
    this.#closed = true;
  }

  /**
   * Ends the session, once. Safe while the page is going away: the request outlives it.
   * Nobody is told when it fails: the gateway notices the silence by itself.
   */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    fetch(this.url, { method: 'DELETE', headers: bearer(this.#token), keepalive: true, referrerPolicy: 'no-referrer' })
      .catch(() => {});
  }
}

/**
 * Opens a session.
 * @param {string} url endpoint, /whip/… or /whep/…
 * @param {string} offer SDP
 * @param {object} options
 * @param {string} options.token '' for none
 * @param {AbortSignal} options.signal ends the wait
 * @returns {Promise<Session>}
 * @throws {Problem} also when the network fails
 */
export async function openSession(url, offer, { token, signal }) {
  const response = await send(url, POST_TIMEOUT_MS, signal, {
    method: 'POST',
    headers: { 'Content-Type': 'application/sdp', ...bearer(token) },
    body: offer,
  });
  if (response.status !== 201) throw await problemOf(response);
  const answer = await response.text();
  // response.url is where redirects led: a relative Location counts from there.
  const location = new URL(response.headers.get('Location') ?? '', response.url).href;
  const servers = parseIceServers(response.headers.get('Link') ?? '');
  return new Session(location, answer, response.headers.get('ETag') ?? '', servers, token);
}

/**
 * @param {string} url
 * @param {number} timeoutMs
 * @param {AbortSignal | undefined} signal
 * @param {RequestInit} init
 */
async function send(url, timeoutMs, signal, init) {
  const timer = new AbortController();
  const stop = () => timer.abort();
  const timeout = setTimeout(stop, timeoutMs);
  signal?.addEventListener('abort', stop);
  try {
    if (signal?.aborted) stop();
    return await fetch(url, { ...init, signal: timer.signal, cache: 'no-store', credentials: 'omit', referrerPolicy: 'no-referrer' });
  } catch {
    throw new Problem({ status: 0 });
  } finally {
    clearTimeout(timeout);
    signal?.removeEventListener('abort', stop);
  }
}

/** @param {string} token @returns {Record<string, string>} */
export function bearer(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * Reads the STUN and TURN servers of a 201 (RFC 9725 section 4.6).
 * @param {string} header every Link of the response, joined by commas
 * @returns {RTCIceServer[]}
 */
export function parseIceServers(header) {
  const servers = [];
  const links = /<([^>]*)>((?:\s*;\s*[\w-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))?)*)/g;
  for (const [, target, rest] of header.matchAll(links)) {
    const params = {};
    for (const [, key, quoted, plain] of rest.matchAll(/;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))/g)) {
      params[key.toLowerCase()] ??= quoted !== undefined ? quoted.replace(/\\(.)/g, '$1') : plain;
    }
    if (!(params.rel ?? '').split(/\s+/).includes('ice-server')) continue;
    if (!/^(stun|turns?):/i.test(target)) continue;
    const server = { urls: target };
    if (params.username !== undefined) server.username = params.username;
    if (params.credential !== undefined) server.credential = params.credential;
    servers.push(server);
  }
  return servers;
}
