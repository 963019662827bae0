/**
 * The event stream of a room: server-sent events, read by fetch because EventSource cannot send a
 * token, and resumed where they broke off. The first event is a snapshot; after it nothing is missing.
 * @module
 */
import { Backoff } from './backoff.js';
import { Problem, problemOf } from './problem.js';
import { bearer } from './session.js';

const SILENT_MS = 45000; // the gateway writes something more often than that
const OPEN_MS = 10000;

/** Cuts a text/event-stream into its events (HTML standard, section 9.2.6). */
export class StreamParser {
  #rest = '';
  #data = /** @type {string[]} */ ([]);
  #event = '';
  /** Of the newest event: what Last-Event-ID asks for. */
  id = '';
  /** Milliseconds that the gateway asks to wait before the next attempt; 0: it did not. */
  retryMs = 0;

  /** @param {string} text @returns {{event: string, data: string, id: string}[]} events that it completes */
  feed(text) {
    const events = [];
    // A line may end with CR, LF or both; a CR at the very end may be one half of a pair.
    const all = this.#rest + text;
    const held = all.endsWith('\r') ? 1 : 0;
    const lines = all.slice(0, all.length - held).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + all.slice(all.length - held);
    for (const line of lines) {
      if (line !== '') this.#field(line);
      else if (this.#data.length) {
        events.push({ event: this.#event || 'message', data: this.#data.join('\n'), id: this.id });
        this.#reset();
      } else this.#reset();
    }
    return events;
  }

  #reset() {
    this.#data = [];
    this.#event = '';
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
}

/**
 * @param {{event: string, data: string}} raw
 * @returns {import('./roster.js').RoomEvent | null} null for what is no event of a room
 */
export function roomEvent({ data }) {
  try {
    const event = JSON.parse(data);
    return typeof event?.type === 'string' ? event : null;
  } catch {
    return null;
  }
}

/**
 * Fires "event" with a RoomEvent as detail, "up" when the stream is open, "down" when it broke off,
 * and "refused" with a Problem as detail when the gateway says no: then it has stopped.
 */
export class RoomEvents extends EventTarget {
  #url;
  #token;
  #stop = new AbortController();
  #parser = new StreamParser();
  #wake = () => {};

  /** @param {string} url @param {() => string} token asked at each attempt */
  constructor(url, token) {
    super();
    this.#url = url;
    this.#token = token;
  }

  start() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop.abort();
    this.#wake();
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    const backoff = new Backoff({ firstMs: 300, maxMs: 8000 });
    while (!signal.aborted) {
      let askedMs = this.#parser.retryMs;
      try {
        await this.#read(signal, () => backoff.reset());
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem({ status: 0 });
        if (signal.aborted) return;
        const final = [401, 403, 404, 410].includes(problem.status);
        if (final) {
          this.dispatchEvent(new CustomEvent('refused', { detail: problem }));
          return;
        }
        askedMs = Math.max(askedMs, problem.retryAfterMs);
      }
      if (signal.aborted) return;
      this.dispatchEvent(new Event('down'));
      await this.#sleep(backoff.next(askedMs));
    }
  }

  /** @param {AbortSignal} signal @param {() => void} opened */
  async #read(signal, opened) {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    let timer = setTimeout(abort, OPEN_MS);
    signal.addEventListener('abort', abort);
    window.addEventListener('offline', abort);
    try {
      const last = this.#parser.id;
      const response = await fetch(this.#url, {
        headers: { Accept: 'text/event-stream', ...bearer(this.#token()), ...(last ? { 'Last-Event-ID': last } : {}) },
        signal: attempt.signal, cache: 'no-store', credentials: 'omit', referrerPolicy: 'no-referrer',
      });
      if (!response.ok || !response.body) throw await problemOf(response);
      // What was cut off in the middle of an event comes again.
      this.#parser = Object.assign(new StreamParser(), { id: last });
      opened();
      this.dispatchEvent(new Event('up'));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        clearTimeout(timer);
        timer = setTimeout(abort, SILENT_MS);
        const { done, value } = await reader.read();
        if (done || signal.aborted) return;
        this.#tell(value);
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      window.removeEventListener('offline', abort);
      attempt.abort();
    }
  }

  /** @param {string} text */
  #tell(text) {
    for (const raw of this.#parser.feed(text)) {
      const event = roomEvent(raw);
      if (event) this.dispatchEvent(new CustomEvent('event', { detail: event }));
    }
  }

  /** @param {number} ms */
  #sleep(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        window.removeEventListener('online', done);
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      window.addEventListener('online', done);
      this.#wake = done;
    });
  }
}
