/**
 * The few places where a page reads or changes SDP itself. Pure functions.
 * @module
 */

const EOL = '\r\n';

/** @param {string} sdp @returns {string[]} its lines, without line ends */
const linesOf = (sdp) => sdp.split(/\r\n|\r|\n/).filter((line) => line !== '');

/** @param {string[]} lines @returns {string} */
const joined = (lines) => lines.join(EOL) + EOL;

/** @param {string} sdp @param {string} name @returns {string} value of the first a=name: line, or '' */
export function attribute(sdp, name) {
  const prefix = `a=${name}:`;
  return linesOf(sdp).find((line) => line.startsWith(prefix))?.slice(prefix.length) ?? '';
}

/**
 * The body of the PATCH that asks for an ICE restart (RFC 9725 section 4.3.3):
 * new credentials, and the first section to say which bundle they are for.
 * No candidates: the gateway is ICE-lite and learns our address from checks.
 * @param {string} offer an offer made with iceRestart
 * @returns {string}
 */
export function restartFragment(offer) {
  const all = linesOf(offer);
  const media = all.find((line) => line.startsWith('m='));
  const lines = [`a=ice-ufrag:${attribute(offer, 'ice-ufrag')}`, `a=ice-pwd:${attribute(offer, 'ice-pwd')}`];
  if (media) lines.push(media, `a=mid:${attribute(offer, 'mid')}`);
  return joined(lines);
}

/**
 * The answer that belongs to a restarted session: the old answer with the
 * credentials, and the candidates if there are any, of the gateway's fragment.
 * @param {string} answer the answer in force
 * @param {string} fragment body of the 200 to the PATCH
 * @returns {string}
 */
export function answerAfterRestart(answer, fragment) {
  const ufrag = attribute(fragment, 'ice-ufrag');
  const pwd = attribute(fragment, 'ice-pwd');
  if (!ufrag || !pwd) throw new Error('the fragment has no ICE credentials');
  const candidates = linesOf(fragment).filter((line) => /^a=(candidate:|end-of-candidates)/.test(line));
  const result = [];
  let placed = false;
  for (const line of linesOf(answer)) {
    if (line.startsWith('a=ice-ufrag:')) result.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith('a=ice-pwd:')) result.push(`a=ice-pwd:${pwd}`);
    else if (candidates.length && /^a=(candidate:|end-of-candidates)/.test(line)) {
      if (!placed) result.push(...candidates); // once, where the old ones stood
      placed = true;
    } else result.push(line);
  }
  return joined(result);
}

/**
 * Asks for stereo Opus. Chromium decodes one channel unless its own description says
 * stereo=1, and sends one channel unless the other side's says so.
 * @param {string} sdp offer or answer
 * @returns {string}
 */
export function withStereo(sdp) {
  const lines = linesOf(sdp);
  const opus = new Set();
  for (const line of lines) {
    const map = /^a=rtpmap:(\d+) opus\/48000\/2$/i.exec(line);
    if (map) opus.add(map[1]);
  }
  return joined(lines.map((line) => {
    const format = /^a=fmtp:(\d+) /.exec(line);
    if (!format || !opus.has(format[1]) || /[ ;]stereo=/.test(line)) return line;
    return `${line};stereo=1;sprop-stereo=1`;
  }));
}

/**
 * Where an answer says the gateway's media is: what a firewall has to let through.
 * @param {string} answer
 * @returns {string[]} like "192.0.2.1 UDP 8189", each once
 */
export function mediaAddresses(answer) {
  const found = new Set();
  for (const line of linesOf(answer)) {
    const parts = /^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) /.exec(line);
    if (parts) found.add(`${parts[2]} ${parts[1].toUpperCase()} ${parts[3]}`);
  }
  return [...found];
}

/**
 * Kinds that an answer rejected (port 0): no codec in common, most often.
 * @param {string} answer
 * @returns {string[]} "audio", "video"
 */
export function rejectedKinds(answer) {
  return linesOf(answer)
    .map((line) => /^m=(audio|video) 0 /.exec(line)?.[1])
    .filter((kind) => kind !== undefined);
}
