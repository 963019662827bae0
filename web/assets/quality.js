/**
 * How good a connection is, as bars and as a word. Pure functions.
 * @module
 */

/**
 * @typedef {object} Grade
 * @property {0 | 1 | 2 | 3} bars
 * @property {string} text one word or two
 */

/** @type {Grade} */
export const UNKNOWN_GRADE = { bars: 3, text: 'Measuring' };
/** @type {Grade} */
export const LOST_GRADE = { bars: 0, text: 'Reconnecting' };

/**
 * @param {import('./stats.js').Flow | null} flow
 * @param {boolean} connected
 * @returns {Grade}
 */
export function grade(flow, connected) {
  if (!connected) return LOST_GRADE;
  if (!flow || (!flow.video && !flow.audio)) return UNKNOWN_GRADE;
  const loss = Math.max(flow.video?.loss ?? 0, flow.audio?.loss ?? 0);
  const rtt = flow.rttMs ?? 0;
  if (loss >= 0.1 || rtt >= 800) return { bars: 1, text: 'Poor' };
  if (loss >= 0.03 || rtt >= 350) return { bars: 2, text: 'Fair' };
  return { bars: 3, text: 'Good' };
}

/** @param {Grade[]} grades @returns {Grade} the worst one; of none: unknown */
export function worst(grades) {
  return grades.length ? grades.reduce((a, b) => (b.bars < a.bars ? b : a)) : UNKNOWN_GRADE;
}
