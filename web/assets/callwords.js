/**
 * What the call page says when joining fails and when a call ends.
 * @module
 */
import { wordsFor } from './problem.js';

/** @type {Record<string, import('./problem.js').Words>} */
export const WORDS = {
  left: { title: 'You left the call.', detail: '', next: '' },
  ended: { title: 'The room was ended.', detail: 'A moderator ended it for everybody.', next: '' },
  kicked: { title: 'You were removed from the call.', detail: 'A moderator ended your session.', next: '' },
  revoked: { title: 'Your access to this room was withdrawn.', detail: '', next: 'Ask whoever invited you.' },
  locked: { title: 'The room is locked.', detail: 'A moderator lets nobody in at the moment.', next: 'Ask for it to be opened, then try again.' },
  password: { title: 'A password is needed here.', detail: '', next: 'Enter the password that you were given.' },
  wrong: { title: 'You cannot enter with this.', detail: 'The password is wrong, or the room is not for you.', next: 'Check the password and try again.' },
  limited: { title: 'Too many attempts.', detail: '', next: 'Wait a minute, then try again.' },
  expired: { title: 'Your time in this room is over.', detail: 'The token that let you in has ended.', next: 'Join again, with a new token if you were given one.' },
};

/**
 * Why a session of the reader's ended, when that ends the call.
 * @param {string | undefined} cause
 * @returns {import('./problem.js').Words | null} null: it comes back by itself
 */
export function wordsForEnd(cause) {
  switch (cause) {
    case 'kicked': return WORDS.kicked;
    case 'token-revoked': return WORDS.revoked;
    case 'room-ended': return WORDS.ended;
    default: return null;
  }
}

/**
 * Why the room does not take somebody any longer who was in it.
 * @param {import('./problem.js').Problem} problem
 * @returns {import('./problem.js').Words}
 */
export function wordsForRefusal(problem) {
  if (problem.problem === 'room-locked') return WORDS.locked;
  if (problem.problem.includes('revoked')) return WORDS.revoked;
  if (problem.status === 404 || problem.status === 410) return WORDS.ended;
  return problem.status === 401 || problem.status === 403 ? WORDS.expired : wordsFor(problem, 'viewer');
}

/**
 * Why joining failed, and whether a password is to be asked for.
 * @param {import('./problem.js').Problem} problem
 * @param {boolean} tried a password was sent
 * @returns {import('./problem.js').Words & {askPassword: boolean}}
 */
export function wordsForJoin(problem, tried) {
  if (problem.problem === 'room-locked') return { ...WORDS.locked, askPassword: false };
  if (problem.status === 401 || problem.status === 403) return { ...(tried ? WORDS.wrong : WORDS.password), askPassword: true };
  if (problem.status === 429) return { ...WORDS.limited, askPassword: tried };
  const words = problem.status === 400 || problem.status === 422
    ? { title: problem.title || 'The gateway refused.', detail: problem.detail, next: 'Check your name and try again.' }
    : { ...wordsFor(problem, 'viewer'), next: 'Try again.' };
  return { ...words, askToken: false, askPassword: false };
}
