/**
 * Waiting times between attempts: exponential, with jitter, so that a thousand
 * pages that lost the same gateway do not come back in the same instant.
 * @module
 */

/** Gives one waiting time after another. */
export class Backoff {
  #firstMs;
  #maxMs;
  #factor;
  #random;
  #nextMs;

  /**
   * @param {object} [options]
   * @param {number} [options.firstMs] the first wait, in milliseconds
   * @param {number} [options.maxMs] the longest wait that the growth leads to
   * @param {number} [options.factor] growth from one wait to the next
   * @param {() => number} [options.random] 0 to 1; a test puts its own here
   */
  constructor({ firstMs = 500, maxMs = 15000, factor = 2, random = Math.random } = {}) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#factor = factor;
    this.#random = random;
    this.#nextMs = firstMs;
  }

  /**
   * @param {number} [atLeastMs] what the gateway asked for with Retry-After: never undercut
   * @returns {number} milliseconds to wait
   */
  next(atLeastMs = 0) {
    const spread = 0.5 + this.#random(); // half to one and a half
    const wait = this.#nextMs * spread;
    this.#nextMs = Math.min(this.#nextMs * this.#factor, this.#maxMs);
    // Jitter goes on top of the gateway's figure: everybody was told the same one.
    return Math.round(Math.max(wait, atLeastMs + (atLeastMs > 0 ? wait * 0.3 : 0)));
  }

  /** Starts over: the last attempt went well. */
  reset() {
    this.#nextMs = this.#firstMs;
  }
}
