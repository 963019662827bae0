/**
 * Being a member of a room: the token that join gives, kept fresh for as long as the call lasts.
 * @module
 */
import { Backoff } from './backoff.js';
import { Problem, problemOf } from './problem.js';
import { screenOf } from './roster.js';
import { bearer } from './session.js';

const JOIN_TIMEOUT_MS = 10000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * A name for the publications and the identity of somebody: letters of their name that may stand in
 * one, and a number that makes it unique in the room.
 * @param {string} name as they write it
 * @param {() => number} [random] 0 to 1
 * @returns {string}
 */
export function identityFor(name, random = Math.random) {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const slug = plain.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 30).replace(/-+$/, '');
  return `${slug || 'guest'}-${String(Math.floor(random() * 1e6)).padStart(6, '0')}`;
}

/**
 * An address that the gateway gave, as this page can reach it. A gateway behind a proxy that was not
 * told its public address gives one that leads elsewhere; its paths are right all the same. Addresses
 * of other nodes, which the policy of the page allows, are of no concern here: join never gives one.
 * @param {string} url absolute, or relative to the base
 * @param {string} base of this page
 * @returns {string}
 */
export function reachable(url, base) {
  const given = new URL(url, base);
  if (given.origin === new URL(base).origin) return given.href;
  const path = /\/(whip|whep|v1)\/.*$/.exec(given.pathname)?.[0] ?? given.pathname;
  return new URL(path.slice(1) + given.search, base).href;
}

/**
 * Where somebody's camera and screen are published. The address that join gives names the room, and
 * the publication when the gateway chose one.
 * @param {string} whip
 * @param {string} identity
 * @returns {{camera: {name: string, url: string}, screen: {name: string, url: string}}}
 */
export function ownPublications(whip, identity) {
  const url = new URL(whip);
  const [before, after] = url.pathname.split('/whip/');
  const [room, given] = after.split('/');
  const at = (name) => ({ name, url: new URL(`${before}/whip/${room}/${name}`, url).href });
  const name = given ? decodeURIComponent(given) : identity;
  return { camera: at(name), screen: at(screenOf(name)) };
}

/**
 * When to renew a token: well before its end, also when the page's clock is wrong.
 * @param {number} lifeMs from now to its end
 * @returns {number} milliseconds from now
 */
export const renewAfter = (lifeMs) => Math.min(Math.max(lifeMs * 0.75, 1000), LONGEST_TIMER_MS);

/**
 * Fires "renewed" when there is a newer token, and "lost" with a Problem as detail when the room does
 * not take this page any longer.
 */
export class Membership extends EventTarget {
  #base;
  #url;
  #body;
  #password;
  #given;
  #timer = 0;
  #stopped = false;
  /** @type {Promise<void> | null} */
  #renewing = null;
  token = '';
  identity = '';
  whip = '';
  events = '';
  /** @type {RTCIceServer[]} */
  iceServers = [];

  /**
   * @param {object} options
   * @param {string} options.base
   * @param {string} options.room
   * @param {string} options.name
   * @param {string} options.identity
   * @param {string} options.password '' for none
   * @param {string} options.token that the reader was given; '' for none
   */
  constructor({ base, room, name, identity, password, token }) {
    super();
    this.#base = base;
    this.#url = `${base}v1/rooms/${encodeURIComponent(room)}/join`;
    this.#body = { identity, name };
    this.#password = password;
    this.#given = token;
  }

  /** Where messages are sent. */
  get messages() {
    return new URL('messages', this.events).href;
  }

  /** @throws {Problem} */
  async join() {
    const sent = Date.now();
    const response = await this.#post();
    if (response.status !== 201) throw await problemOf(response);
    const answer = await response.json();
    this.token = answer.token ?? '';
    this.identity = answer.identity ?? this.#body.identity;
    this.whip = reachable(answer.whip, this.#base);
    this.events = reachable(answer.events, this.#base);
    this.iceServers = Array.isArray(answer.ice_servers) ? answer.ice_servers : [];
    const lifeMs = Date.parse(answer.expires) - (Date.parse(response.headers.get('Date') ?? '') || sent);
    this.#arm(Number.isFinite(lifeMs) && lifeMs > 0 ? renewAfter(lifeMs) : LONGEST_TIMER_MS);
  }

  async #post() {
    // The room's own token opens the door again without the password: that costs the gateway much to check.
    const body = this.#password && !this.token ? { ...this.#body, password: this.#password } : this.#body;
    try {
      return await fetch(this.#url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...bearer(this.token || this.#given) },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(JOIN_TIMEOUT_MS), cache: 'no-store', credentials: 'omit', referrerPolicy: 'no-referrer',
      });
    } catch {
      throw new Problem({ status: 0 });
    }
  }

  /** @param {number} ms */
  #arm(ms) {
    clearTimeout(this.#timer);
    this.#timer = this.#stopped ? 0 : window.setTimeout(() => this.renew(), ms);
  }

  /** Gets a newer token, at once. Asked for again while that is under way: the same attempt. */
  renew() {
    this.#renewing ??= this.#renew().finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  async #renew() {
    const backoff = new Backoff({ firstMs: 1000, maxMs: 15000 });
    while (!this.#stopped) {
      try {
        await this.join();
        if (!this.#stopped) this.dispatchEvent(new Event('renewed'));
        return;
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem({ status: 0 });
        if ([400, 401, 403, 404, 410].includes(problem.status)) {
          // The token has ended, while the page slept for one: the way in that it had at first may still be open.
          if (this.token && problem.status !== 404) this.token = '';
          else {
            if (!this.#stopped) this.dispatchEvent(new CustomEvent('lost', { detail: problem }));
            return;
          }
        }
        await new Promise((resolve) => { setTimeout(resolve, backoff.next(problem.retryAfterMs)); });
      }
    }
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
