/**
 * Who is speaking, from how loud everybody is. Pure: time comes in with the levels.
 * @module
 */

const LOUD = 0.05; // linear, 1 is full scale: below it is breath and fans
const STEP = 1.4; // louder than who speaks now by this factor, to take over
const HOLD_MS = 800; // the highlight does not jump faster than this
const QUIET_MS = 2500; // nobody speaks any more
const RISE = 0.5; // weight of a new level that is louder
const FALL = 0.2; // and of one that is quieter: words have pauses

/** Decides who speaks. */
export class Speaker {
  /** @type {Map<string, number>} smoothed */
  #levels = new Map();
  #since = -Infinity; // when it changed last
  #heard = -Infinity; // when who speaks was loud last
  /** @type {string | null} */
  current = null;

  /**
   * @param {Map<string, number>} levels linear, 0 to 1, of everybody who is there
   * @param {number} now milliseconds
   * @returns {string | null} who speaks
   */
  update(levels, now) {
    for (const key of this.#levels.keys()) if (!levels.has(key)) this.#levels.delete(key);
    for (const [key, level] of levels) {
      const before = this.#levels.get(key) ?? 0;
      this.#levels.set(key, before + (level - before) * (level > before ? RISE : FALL));
    }
    if (this.current !== null && !levels.has(this.current)) this.#change(null, -Infinity);
    const [loudest, level] = this.#loudest();
    const mine = this.#levels.get(this.current ?? '') ?? 0;
    if (mine > LOUD) this.#heard = now;
    if (level > LOUD && loudest !== this.current && now - this.#since >= HOLD_MS && level > mine * STEP) {
      this.#change(loudest, now);
      this.#heard = now;
    } else if (this.current !== null && now - this.#heard > QUIET_MS) {
      this.#change(null, now);
    }
    return this.current;
  }

  /** @returns {[string | null, number]} */
  #loudest() {
    /** @type {[string | null, number]} */
    let best = [null, 0];
    for (const [key, level] of this.#levels) if (level > best[1]) best = [key, level];
    return best;
  }

  #change(key, now) {
    this.current = key;
    this.#since = now;
  }
}
