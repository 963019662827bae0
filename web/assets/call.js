/**
 * A call: publishes what the reader sends, plays everything else in the room, and follows the room's
 * events. It knows nothing of the page but the video elements that it is given.
 * @module
 */
import { Problem, problemOf } from './problem.js';
import { RoomEvents } from './roomevents.js';
import { STATE_KIND, emptyRoom, people, reduce } from './roster.js';
import { bearer } from './session.js';
import { Player } from './whep.js';
import { Publisher } from './whip.js';
import { ownPublications, reachable } from './membership.js';
import { WORDS, wordsForEnd, wordsForRefusal } from './callwords.js';

const MESSAGE_TIMEOUT_MS = 8000;
const TELL_MS = 400; // at most, until newcomers are told what is switched off
const RENEWED_MS = 10000; // refused again so soon after a renewal: it does not help

/**
 * Fires "room" after each change of the room, "up" and "down" of the event stream, "publishing" with {which, change} when a publication of the reader's changes,
 * and "ended" with Words as detail: then nothing goes on.
 */
export class Call extends EventTarget {
  #membership;
  #base;
  #name;
  #video;
  #events;
  #own;
  #over = false;
  #renewedAt = -Infinity;
  #state = { microphone: true, camera: true };
  #telling = 0;
  /** @type {import('./roster.js').Room} */
  room = emptyRoom();
  /** @type {Map<string, Player>} by publication */
  players = new Map();
  /** @type {Publisher | null} */
  camera = null;
  /** @type {Publisher | null} */
  screen = null;

  /**
   * @param {object} options
   * @param {import('./membership.js').Membership} options.membership after join()
   * @param {string} options.base
   * @param {string} options.name of the reader
   * @param {(publication: string) => HTMLVideoElement} options.video gives the element of a publication
   */
  constructor({ membership, base, name, video }) {
    super();
    this.#membership = membership;
    this.#base = base;
    this.#name = name;
    this.#video = video;
    this.#own = ownPublications(membership.whip, membership.identity);
    this.#events = new RoomEvents(membership.events, () => membership.token);
    this.#listen();
  }

  /** @returns {string} key of the reader among people() */
  get key() {
    const mine = this.room.publications.find((p) => p.publication === this.#own.camera.name);
    return mine && !mine.identity ? mine.publication : this.#membership.identity;
  }

  /** Public id of the session that publishes the reader's camera, '' when there is none. */
  get session() {
    return this.room.publications.find((p) => p.publication === this.#own.camera.name)?.session ?? '';
  }

  /** @param {string} publication @returns {boolean} whether it is the reader's */
  isOwn(publication) {
    return publication === this.#own.camera.name || publication === this.#own.screen.name;
  }

  /** @param {import('./roster.js').RoomEvent} message @returns {boolean} whether the reader wrote it */
  isMine({ data }) {
    return data.identity ? data.identity === this.#membership.identity : data.body?.publication === this.#own.camera.name;
  }

  start() {
    this.#events.start();
  }

  #listen() {
    const events = this.#events;
    events.addEventListener('event', (event) => this.#onEvent(/** @type {CustomEvent} */ (event).detail));
    for (const type of ['up', 'down']) events.addEventListener(type, () => this.dispatchEvent(new Event(type)));
    events.addEventListener('refused', (event) => this.#onRefused(/** @type {CustomEvent} */ (event).detail, () => events.start()));
    this.#membership.addEventListener('renewed', () => this.#onRenewed());
    this.#membership.addEventListener('lost', (event) => this.#end(wordsForRefusal(/** @type {CustomEvent} */ (event).detail)));
  }

  /** @param {import('./roster.js').RoomEvent} event */
  #onEvent(event) {
    if (this.#over) return;
    const words = this.#endOf(event);
    const before = this.room;
    this.room = reduce(before, event);
    if (words) return this.#end(words);
    this.#play();
    this.#tellNewcomers(before);
    this.dispatchEvent(new Event('room'));
    return undefined;
  }

  /** @param {import('./roster.js').RoomEvent} event @returns {import('./problem.js').Words | null} why it ends the call */
  #endOf({ type, data }) {
    if (type === 'room.ended') return WORDS.ended;
    if (type !== 'session.left') return null;
    const mine = data.identity ? data.identity === this.#membership.identity : data.role === 'publisher' && this.isOwn(data.publication);
    return mine ? wordsForEnd(data.cause) : null;
  }

  // ---- playing --------------------------------------------------------------------

  /** Plays what is on air and not the reader's own; stops what no longer is. */
  #play() {
    const wanted = new Map(this.room.publications.filter((p) => !this.isOwn(p.publication)).map((p) => [p.publication, p]));
    for (const name of this.players.keys()) if (!wanted.has(name)) this.#stopPlaying(name);
    for (const [name, publication] of wanted) if (!this.players.has(name)) this.#startPlaying(name, publication);
  }

  /** @param {string} name @param {import('./roster.js').Publication} publication */
  #startPlaying(name, publication) {
    const player = new Player({
      url: reachable(publication.whep, this.#base),
      token: () => this.#membership.token,
      iceServers: () => this.#membership.iceServers,
      video: this.#video(name),
      counting: false,
    });
    this.players.set(name, player);
    player.addEventListener('state', (event) => {
      const { state, problem } = /** @type {CustomEvent} */ (event).detail;
      if (this.players.get(name) !== player) return;
      if (state === 'refused' && problem) this.#onRefused(problem, () => player.start());
      this.dispatchEvent(new Event('room'));
    });
    player.start();
  }

  /** @param {string} name */
  #stopPlaying(name) {
    const player = this.players.get(name);
    this.players.delete(name);
    player?.stop();
  }

  // ---- publishing ------------------------------------------------------------------

  /**
   * Publishes the reader's camera or screen; again with other tracks: without a new session.
   * @param {'camera' | 'screen'} which
   * @param {MediaStream} stream
   * @param {{maxFramerate?: number, maxBitrate?: number}} [sending]
   */
  async publish(which, stream, { maxFramerate = 0, maxBitrate = 0 } = {}) {
    if (this.#over) return;
    const running = this[which];
    if (running && running.state !== 'refused') {
      await running.replaceTracks(stream);
      return;
    }
    const publisher = new Publisher({
      url: this.#own[which].url,
      token: () => this.#membership.token,
      iceServers: () => this.#membership.iceServers,
      stream,
      sending: { codec: '', maxBitrate, maxFramerate, stereo: which === 'screen' },
    });
    this[which] = publisher;
    publisher.addEventListener('state', (event) => {
      const change = /** @type {CustomEvent} */ (event).detail;
      if (this[which] !== publisher || this.#over) return;
      // A kick takes the token, too, and with it the events that would tell of it.
      const words = change.state === 'retrying' ? wordsForEnd(publisher.cause) : null;
      if (words) return this.#end(words);
      if (change.state === 'refused' && change.problem) this.#onRefused(change.problem, () => publisher.start());
      this.dispatchEvent(new CustomEvent('publishing', { detail: { which, change } }));
      return undefined;
    });
    publisher.start();
  }

  /** @param {'camera' | 'screen'} which */
  unpublish(which) {
    const publisher = this[which];
    this[which] = null;
    publisher?.stop();
  }

  // ---- messages ---------------------------------------------------------------------

  /** @param {string} text @throws {Problem} */
  say(text) {
    // The name is for rooms where the gateway knows none: its own word goes first.
    return this.#post({ kind: 'chat', text, body: { name: this.#name, publication: this.#own.camera.name } });
  }

  /** Tells the others what the reader switched on or off. @param {{microphone: boolean, camera: boolean}} state */
  tell(state) {
    const same = state.microphone === this.#state.microphone && state.camera === this.#state.camera;
    this.#state = { ...state };
    if (!same) this.#tellState();
  }

  #tellState() {
    // Nothing much is lost when it fails: silence and a black picture speak for themselves.
    this.#post({ kind: STATE_KIND, body: { publication: this.#own.camera.name, name: this.#name, ...this.#state } }).catch(() => {});
  }

  /**
   * Those who come later have not heard what is off, nor the reader's name where the gateway does not
   * tell it. Not all of a large room speak at once.
   * @param {import('./roster.js').Room} before
   */
  #tellNewcomers(before) {
    const mine = this.room.publications.find((p) => p.publication === this.#own.camera.name);
    const nameless = mine !== undefined && !mine.name;
    if (!nameless && this.#state.microphone && this.#state.camera) return;
    const known = new Set(people(before).map((one) => one.key));
    const fresh = people(this.room).filter((one) => !known.has(one.key));
    const me = fresh.some((one) => one.key === this.key);
    if (fresh.length === 0 || (me && !nameless)) return;
    clearTimeout(this.#telling);
    this.#telling = window.setTimeout(() => { if (!this.#over) this.#tellState(); }, Math.random() * TELL_MS);
  }

  /** @param {object} message @throws {Problem} */
  async #post(message) {
    const response = await fetch(this.#membership.messages, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...bearer(this.#membership.token) },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(MESSAGE_TIMEOUT_MS), cache: 'no-store', credentials: 'omit', referrerPolicy: 'no-referrer',
    }).catch(() => { throw new Problem({ status: 0 }); });
    if (!response.ok) throw await problemOf(response);
  }

  // ---- tokens and ends -----------------------------------------------------------------

  /**
   * Somebody refused the token: a newer one may help, once.
   * @param {Problem} problem @param {() => void} again
   */
  async #onRefused(problem, again) {
    if (this.#over || ![401, 403].includes(problem.status)) return undefined;
    const recent = performance.now() - this.#renewedAt < RENEWED_MS;
    if (recent) return this.#end(wordsForRefusal(problem));
    await this.#membership.renew();
    if (!this.#over) again();
    return undefined;
  }

  #onRenewed() {
    this.#renewedAt = performance.now();
    for (const connection of [this.camera, this.screen, ...this.players.values()]) connection?.refresh(this.#membership.token);
  }

  /** @param {import('./problem.js').Words} words */
  #end(words) {
    if (this.#over) return;
    this.stop();
    this.dispatchEvent(new CustomEvent('ended', { detail: words }));
  }

  /**
   * Leaves. Also right in a pagehide listener: every request outlives the page. They go first, for a browser
   * grants a page that closes little time, and closing connections takes some; before them the event
   * stream, which holds one of the few connections that a browser makes to a host.
   */
  stop() {
    this.#over = true;
    clearTimeout(this.#telling);
    this.#membership.stop();
    this.#events.stop();
    for (const connection of [this.camera, this.screen, ...this.players.values()]) connection?.goodbye();
    for (const which of /** @type {const} */ (['camera', 'screen'])) this.unpublish(which);
    for (const name of [...this.players.keys()]) this.#stopPlaying(name);
  }
}
