/**
 * A connection to the gateway that stays up: opens a session, watches it, comes back
 * after a loss, waits when nobody is on air, stops when the gateway says no.
 * whip.js and whep.js say what is sent and received.
 * @module
 */
import { Backoff } from './backoff.js';
import { Problem, wordsFor, wordsForLoss, wordsForStatus } from './problem.js';
import { mediaAddresses } from './sdp.js';
import { openSession } from './session.js';
import { watch } from './watch.js';

const STABLE_MS = 10000; // connected this long: the next loss starts with a short wait again
const MAX_TAKEOVERS = 3; // two publishers that replace each other must not do so for ever
const GOODBYE_MS = 300; // after the gateway's own goodbye: drained viewers come back spread out

const OUTDONE = {
  title: 'The gateway keeps ending this publication.',
  detail: 'Another publisher of the same name may be taking its place.',
  next: 'Stop the other one or choose another publication name, then go live again.',
};

/**
 * @typedef {'idle' | 'connecting' | 'connected' | 'interrupted' | 'waiting' | 'retrying' | 'refused' | 'stopped'} State
 *
 * @typedef {object} Change detail of a "state" event
 * @property {State} state
 * @property {import('./problem.js').Words} [words] for waiting, retrying and refused
 * @property {number} [retryMs] until the next attempt, for waiting and retrying
 * @property {Problem} [problem] the gateway's own word, for refused
 */

/**
 * What support and tests read of a page, through window.sluice.session. Times are
 * milliseconds; those in history count from the start of the page (performance.now()).
 * @typedef {object} Facts
 * @property {number} attempts RTCPeerConnections made so far
 * @property {number} t0 performance.now() just before the newest new RTCPeerConnection
 * @property {number | null} answerMs from t0 to the answer
 * @property {number | null} connectedMs from t0 to ICE and DTLS being up
 * @property {number | null} firstFrameMs from t0 to the first frame handed to the screen
 * @property {number} presentedFrames frames handed to the screen in this attempt
 * @property {string} state as shown on the page
 * @property {{at: number, state: string, detail: string}[]} history newest last, 200 at most
 */

/** @returns {Facts} */
export function newFacts() {
  return { attempts: 0, t0: 0, answerMs: null, connectedMs: null, firstFrameMs: null, presentedFrames: 0, state: 'idle', history: [] };
}

/**
 * @param {Facts} facts
 * @param {string} state
 * @param {string} [detail]
 */
export function note(facts, state, detail = '') {
  facts.history.push({ at: Math.round(performance.now()), state, detail });
  if (facts.history.length > 200) facts.history.shift();
}

/** Fires "state" events with a Change as detail. */
export class Connection extends EventTarget {
  #options;
  #stop = new AbortController();
  #wake = () => {};
  #running = false;
  /** @type {import('./session.js').Session | null} */
  #session = null;
  /** @type {RTCPeerConnection | null} the newest, also while it connects */
  pc = null;
  /** @type {State} */
  state = 'idle';
  /** What the gateway last said is wrong with the session, or why it ended; '' when it said nothing. */
  cause = '';
  /** Answer in force, '' when there is none. */
  answer = '';
  facts = newFacts();

  /**
   * @param {object} options
   * @param {string} options.url endpoint
   * @param {'viewer' | 'publisher'} options.role
   * @param {() => string} options.token asked at each attempt
   * @param {(pc: RTCPeerConnection) => void} options.prepare adds the transceivers
   * @param {() => RTCIceServer[]} [options.iceServers] known before the answer, asked at each attempt
   * @param {(sdp: string) => string} [options.offered] last change to the offer
   * @param {(sdp: string) => string} [options.answered] last change to the answer
   */
  constructor(options) {
    super();
    this.#options = { offered: (sdp) => sdp, answered: (sdp) => sdp, iceServers: () => [], ...options };
  }

  /** Connects and stays connected until stop(). Does nothing while running. */
  start() {
    if (this.#running) return this.retryNow();
    this.#running = true;
    const stop = new AbortController();
    this.#stop = stop;
    this.#run(stop.signal).finally(() => { if (this.#stop === stop) this.#running = false; });
    return undefined;
  }

  /** Ends a wait between two attempts. */
  retryNow() {
    this.#wake();
  }

  /**
   * What the gateway says is wrong with the session.
   * @returns {Promise<import('./problem.js').Words | null>} null when all is well, or nobody knows
   */
  async why() {
    const session = this.#session;
    const status = /** @type {any} */ (await session?.status());
    if (session !== this.#session) return null;
    this.cause = typeof status?.cause === 'string' ? status.cause : '';
    return wordsForStatus(status);
  }

  /**
   * There is a newer token: the session in force takes it, too.
   * @param {string} token
   */
  async refresh(token) {
    await this.#session?.refresh(token);
  }

  /** Tells the gateway that the session is over, and no more: for who has many to end and little time. stop() follows. */
  goodbye() {
    this.#session?.close();
  }

  /** Ends the session and tells the gateway. Also right in a pagehide listener. */
  stop() {
    this.#session?.close();
    this.#stop.abort();
    this.pc?.close();
    this.#set('stopped');
    this.#running = false;
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    const lost = new Backoff({ firstMs: 500, maxMs: 15000 });
    const idle = new Backoff({ firstMs: 1000, maxMs: 4000, factor: 1.5 });
    let takeovers = 0; // short sessions in a row that the gateway ended
    while (!signal.aborted) {
      this.#set('connecting');
      const began = performance.now();
      const outcome = await this.#attempt(signal);
      if (signal.aborted) return;
      if (outcome.refused) {
        this.#set('refused', { words: outcome.words, problem: outcome.problem });
        return;
      }
      const stable = performance.now() - began > STABLE_MS;
      if (stable) lost.reset();
      takeovers = outcome.goodbye && !stable ? takeovers + 1 : 0;
      if (takeovers > MAX_TAKEOVERS && this.#options.role === 'publisher') {
        this.#set('refused', { words: OUTDONE });
        return;
      }
      if (!outcome.waiting) idle.reset();
      let wait = outcome.waiting ? idle.next(outcome.afterMs) : lost.next(outcome.afterMs);
      if (outcome.goodbye) wait = Math.min(wait, GOODBYE_MS * (1 + Math.random()));
      this.#set(outcome.waiting ? 'waiting' : 'retrying', { words: outcome.words, retryMs: wait });
      await this.#sleep(wait, signal);
    }
  }

  /**
   * One session, from the offer to its loss.
   * @param {AbortSignal} signal
   */
  async #attempt(signal) {
    const facts = this.facts;
    Object.assign(facts, { answerMs: null, connectedMs: null, firstFrameMs: null, presentedFrames: 0 });
    facts.attempts++;
    facts.t0 = performance.now();
    const since = () => Math.round(performance.now() - facts.t0);
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: this.#options.iceServers() });
    this.pc = pc;
    this.answer = '';
    let session = null;
    try {
      this.#options.prepare(pc);
      const offer = await pc.createOffer();
      const sdp = this.#options.offered(offer.sdp ?? '');
      // The offer goes out before it is set. The gateway is ICE-lite and needs no candidate of
      // ours, and this way gathering begins with the TURN servers that the answer brings.
      session = await openSession(this.#options.url, sdp, { token: this.#options.token(), signal });
      this.#session = session;
      facts.answerMs = since();
      if (signal.aborted) return {};
      useServers(pc, session.iceServers);
      await pc.setLocalDescription({ type: 'offer', sdp });
      session.answer = this.#options.answered(session.answer);
      await pc.setRemoteDescription({ type: 'answer', sdp: session.answer });
      this.answer = session.answer;
      const cause = await watch(pc, session, {
        signal,
        onUp: () => {
          facts.connectedMs ??= since();
          this.#set('connected');
        },
        onTrouble: () => this.#set('interrupted'),
        onChange: () => note(facts, 'transport', `ice ${pc.iceConnectionState}, connection ${pc.connectionState}`),
      });
      note(facts, 'lost', cause);
      if (cause === 'ended') session.ended();
      const own = wordsForLoss(cause, mediaAddresses(session.answer));
      // Without a network there is nobody to ask.
      const words = cause === 'network' || cause === 'stopped' ? null : await this.why();
      return { words: words ? { ...words, detail: own.detail } : own, goodbye: cause === 'ended' && facts.connectedMs !== null };
    } catch (error) {
      return this.#judge(error);
    } finally {
      session?.close();
      pc.close();
    }
  }

  /** What follows from an error: give up, wait for a publisher, or try again. */
  #judge(error) {
    if (!(error instanceof Problem)) {
      const detail = error instanceof Error ? error.message : String(error);
      note(this.facts, 'error', detail);
      return {
        refused: true,
        words: { title: 'This browser could not set up the connection.', detail, next: 'Update the browser or try another one.' },
      };
    }
    note(this.facts, 'problem', `${error.status} ${error.problem}`);
    const words = wordsFor(error, this.#options.role);
    const conflict = error.status === 409;
    const viewer = this.#options.role === 'viewer';
    // A publisher that lost its network may meet its own old session for a moment.
    const ownGhost = conflict && !viewer && this.facts.history.some((entry) => entry.state === 'connected');
    const waiting = conflict && viewer;
    const passing = error.status === 0 || error.status === 408 || error.status === 429 || error.status >= 500;
    return { refused: !waiting && !ownGhost && !passing, waiting, words, problem: error, afterMs: error.retryAfterMs };
  }

  /** @param {State} state @param {Partial<Change>} [more] */
  #set(state, more = {}) {
    this.state = state;
    note(this.facts, state, more.words?.title);
    this.dispatchEvent(new CustomEvent('state', { detail: { state, ...more } }));
  }

  /** @param {number} ms @param {AbortSignal} signal */
  #sleep(ms, signal) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        window.removeEventListener('online', done);
        this.#wake = () => {};
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      window.addEventListener('online', done);
      this.#wake = done;
    });
  }
}

/** @param {RTCPeerConnection} pc @param {RTCIceServer[]} servers */
function useServers(pc, servers) {
  if (servers.length === 0) return;
  try {
    pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
  } catch (error) {
    console.warn('sluice: the TURN servers of the answer were not usable', error);
  }
}
