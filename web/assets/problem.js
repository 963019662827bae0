/**
 * What went wrong, in words: RFC 9457 problem documents and everything that can
 * happen to a connection, each with the next step.
 * @module
 */

/** A refusal by the gateway, or no answer at all (status 0). */
export class Problem extends Error {
  /**
   * @param {object} facts
   * @param {number} facts.status HTTP status; 0 when there was no response
   * @param {string} [facts.name] last part of the problem type, such as "not-live"
   * @param {string} [facts.title]
   * @param {string} [facts.detail]
   * @param {number} [facts.retryAfterMs] 0 when the gateway did not say
   */
  constructor({ status, name = '', title = '', detail = '', retryAfterMs = 0 }) {
    super(title || detail || `HTTP status ${status}`);
    this.name = 'Problem';
    this.status = status;
    this.problem = name;
    this.title = title;
    this.detail = detail;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * @param {string | null} value Retry-After: seconds or an HTTP date (RFC 9110 section 10.2.3)
 * @param {number} now milliseconds since 1970
 * @returns {number} milliseconds, 0 when absent or senseless, at most five minutes
 */
export function retryAfterMs(value, now = Date.now()) {
  if (!value) return 0;
  const wait = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(wait) && wait > 0 ? Math.min(wait, 300000) : 0;
}

/**
 * @param {Response} response anything but a success
 * @returns {Promise<Problem>}
 */
export async function problemOf(response) {
  const facts = { status: response.status, retryAfterMs: retryAfterMs(response.headers.get('Retry-After')) };
  const type = response.headers.get('Content-Type') ?? '';
  const body = await response.text().catch(() => ''); // the status alone is worth telling
  if (!/^application\/(problem\+)?json/i.test(type)) return new Problem(facts);
  try {
    const document = JSON.parse(body);
    const text = (value) => (typeof value === 'string' ? value : '');
    return new Problem({
      ...facts,
      name: text(document.type).split('/').pop() ?? '',
      title: text(document.title),
      detail: text(document.detail),
    });
  } catch {
    return new Problem(facts);
  }
}

/**
 * @typedef {object} Words
 * @property {string} title one line
 * @property {string} detail why, as far as it is known
 * @property {string} next what the reader can do
 * @property {boolean} [askToken] a token field belongs beside it
 */

/**
 * @param {Problem} problem
 * @param {'viewer' | 'publisher'} role
 * @returns {Words}
 */
export function wordsFor(problem, role) {
  const own = byName(problem, role) ?? byStatus(problem, role);
  // The gateway's detail is for whoever writes a client or runs the room. It stands where
  // this page has nothing to say in words for its readers.
  return { ...own, detail: own.detail || problem.detail };
}

/** @returns {Words | undefined} */
function byName({ problem }, role) {
  switch (problem) {
    case 'not-live':
      return { title: 'Nobody is on air yet.', detail: 'The picture starts by itself.', next: '' };
    case 'publication-busy':
      return {
        title: 'Somebody is already publishing here.',
        detail: 'This room has a live publication of the same name.',
        next: 'Choose another publication name, or try again when the other one has stopped.',
      };
    case 'sdp-no-common-codec':
      return role === 'viewer'
        ? {
          title: 'This browser cannot play the codec on air.',
          detail: '',
          next: 'Try another browser, or ask the publisher to send H264 or VP8.',
        }
        : {
          title: 'The gateway takes none of the offered codecs.',
          detail: '',
          next: 'Choose another codec and start again.',
        };
    default:
      return undefined;
  }
}

/** @returns {Words} */
function byStatus({ status, title }, role) {
  const doing = role === 'viewer' ? 'watch' : 'publish';
  if (status === 0) {
    return {
      title: 'The gateway does not answer.',
      detail: 'The network is down, or the gateway is restarting.',
      next: 'This page keeps trying.',
    };
  }
  if (status === 401) {
    return {
      title: `A token or a password is needed to ${doing} here.`,
      detail: 'This room is not open to everybody, or what you entered is not known.',
      next: 'Enter the token or the password that you were given.',
      askToken: true,
    };
  }
  if (status === 403) {
    return {
      title: `This token does not allow you to ${doing} here.`,
      detail: 'It may be for another room, or it has expired.',
      next: 'Enter another token, or ask for one for this room.',
      askToken: true,
    };
  }
  if (status === 404) {
    return {
      title: 'There is no such room.',
      detail: 'The name in the address is not a room, or it is not for you.',
      next: 'Check the address. If you were given a token, enter it.',
      askToken: true,
    };
  }
  if (status === 409) return { title: title || 'The room does not take this now.', detail: '', next: 'Try again in a moment.' };
  if (status === 422) return { title: title || 'The gateway refused the offer.', detail: '', next: 'Try another browser.' };
  if (status === 429) return { title: 'Too many attempts.', detail: '', next: 'This page tries again by itself.' };
  if (status === 503) {
    return {
      title: 'There is no place left at the moment.',
      detail: 'The room is full, or the gateway is full or closing.',
      next: 'This page tries again by itself.',
    };
  }
  if (status >= 500) {
    return { title: title || 'The gateway has a problem.', detail: `It answered with status ${status}.`, next: 'This page tries again by itself.' };
  }
  return { title: title || 'The gateway refused.', detail: `It answered with status ${status}.`, next: 'Reload the page to try again.' };
}

/**
 * What the gateway says is wrong with a session.
 * @param {any} status as Session.status() gives it
 * @returns {Words | null} null when nothing is, as far as it knows
 */
export function wordsForStatus(status) {
  const advice = status?.advice;
  if (typeof advice?.title !== 'string' || typeof advice?.next !== 'string' || advice.title === '') return null;
  return { title: advice.title, detail: '', next: advice.next };
}

/**
 * Why a connection was lost, for the reader.
 * @param {string} cause as given by watch()
 * @param {string[]} addresses where the gateway said its media is
 * @returns {Words}
 */
export function wordsForLoss(cause, addresses) {
  switch (cause) {
    case 'ended':
      return { title: 'The gateway ended the session.', detail: '', next: 'Joining again.' };
    case 'unreachable':
      return {
        title: 'The media address cannot be reached.',
        detail: addresses.length
          ? `The gateway answered, but nothing comes back from ${addresses.join(', ')}.`
          : 'The gateway answered without an address for media.',
        next: 'A firewall may block it: try another network, or ask the operator to run “sluice doctor”.',
      };
    case 'encryption':
      return {
        title: 'The encrypted connection could not be made.',
        detail: 'Something between this browser and the gateway changes packets, or the gateway has restarted.',
        next: 'Trying again.',
      };
    default:
      return { title: 'The connection was lost.', detail: 'The network went away for some seconds.', next: 'Trying again.' };
  }
}
