/**
 * What the page shows of a call: the tiles, and the figures behind them.
 * @module
 */
import { grade } from './quality.js';
import { isScreen, people } from './roster.js';
import { Speaker } from './speaker.js';
import { received, sent } from './stats.js';

const NOT_MUTED = { audio: false, video: false };

/** Ids of the tiles that show what the reader sends; no publication has such a name. */
export const SELF = { camera: ':camera', screen: ':screen' };

/**
 * @typedef {object} Own what the reader sends
 * @property {string} name
 * @property {string} key among people()
 * @property {boolean} microphone
 * @property {boolean} picture
 * @property {boolean} sharing
 * @property {(publication: string) => boolean} isOwn
 */

/**
 * The tiles of a call: the reader first, the others as they came.
 * @param {import('./roster.js').Room} room
 * @param {Own} own
 * @param {{speaking: string | null, grades: Map<string, import('./quality.js').Grade>}} seen
 * @returns {import('./tiles.js').View[]}
 */
export function viewsOf(room, own, { speaking, grades }) {
  const common = (id) => ({ id, speaking: id === speaking, grade: grades.get(id) ?? null });
  const mine = (which) => {
    const publication = room.publications.find((p) => own.isOwn(p.publication) && isScreen(p.publication) === (which === 'screen'));
    return { ...common(SELF[which]), name: 'You', person: own.name, kind: which, own: true, muted: publication?.muted ?? NOT_MUTED };
  };
  const views = [{ ...mine('camera'), microphone: own.microphone, picture: own.picture }];
  if (own.sharing) views.push({ ...mine('screen'), microphone: true, picture: true });
  for (const one of people(room)) {
    for (const kind of /** @type {const} */ (['camera', 'screen'])) {
      const publication = one[kind];
      if (!publication || own.isOwn(publication.publication)) continue;
      const on = kind === 'screen' ? { microphone: true, picture: true } : { microphone: one.microphone, picture: one.picture };
      views.push({ ...common(publication.publication), name: one.name, kind, own: false, muted: publication.muted, ...on });
    }
  }
  return views;
}

/**
 * The list of people.
 * @param {import('./roster.js').Room} room
 * @param {Own} own
 * @param {import('./tiles.js').View[]} views
 */
export function peopleOf(room, own, views) {
  const others = people(room).filter((one) => one.key !== own.key).map((one) => {
    const names = [one.camera, one.screen].map((publication) => publication?.publication);
    const quality = room.quality[one.camera?.session ?? ''];
    const note = quality?.cause ? `their side: ${quality.cause.replaceAll('-', ' ')}` : '';
    return { key: one.key, name: one.name, own: false, views: views.filter((view) => names.includes(view.id)), note };
  });
  return [{ key: own.key, name: own.name, own: true, views: views.filter((view) => view.own), note: '' }, ...others];
}

/** Measures a call: who speaks, and how good each connection is. */
export class Gauge {
  #speaker = new Speaker();
  /** @type {WeakMap<RTCPeerConnection, RTCStatsReport>} */
  #before = new WeakMap();
  /** @type {string | null} id of a tile */
  speaking = null;
  /** @type {Map<string, import('./quality.js').Grade>} by id of a tile */
  grades = new Map();

  /**
   * @param {import('./call.js').Call} call
   * @param {number} own how loud the reader is
   * @param {Record<string, {audio: boolean}>} [muted] by publication
   * @returns {boolean} whether somebody else speaks now
   */
  listen(call, own) {
    const levels = new Map([[SELF.camera, call.camera?.state === 'connected' ? own : 0]]);
    for (const [name, { pc }] of call.players) {
      if (!isScreen(name)) levels.set(name, levelOf(pc));
    }
    const before = this.speaking;
    this.speaking = this.#speaker.update(levels, performance.now());
    return before !== this.speaking;
  }

  /** @param {import('./call.js').Call} call */
  async measure(call) {
    const all = [...call.players].map(([name, player]) => ({ id: name, connection: player, figures: received }));
    if (call.camera) all.push({ id: SELF.camera, connection: call.camera, figures: sent });
    if (call.screen) all.push({ id: SELF.screen, connection: call.screen, figures: sent });
    const grades = await Promise.all(all.map(async ({ id, connection, figures }) => {
      const { pc, state } = connection;
      const connected = state === 'connected';
      // The first seconds of a connection are no loss of one.
      if (!connected && connection.facts.connectedMs === null && connection.facts.attempts <= 1) return [id, grade(null, true)];
      const report = connected && pc ? await pc.getStats().catch(() => null) : null;
      if (!report || !pc) return [id, grade(null, connected)];
      const flow = figures(report, this.#before.get(pc) ?? null);
      this.#before.set(pc, report);
      return [id, grade(flow, true)];
    }));
    this.grades = new Map(/** @type {any} */ (grades));
  }
}

/** @param {RTCPeerConnection | null} pc @returns {number} how loud what arrives is: 0 to 1, linear */
function levelOf(pc) {
  const receiver = pc?.getReceivers().find((one) => one.track.kind === 'audio');
  const [source] = receiver?.getSynchronizationSources() ?? [];
  // A source is remembered for ten seconds after its last packet.
  const fresh = source && performance.timeOrigin + performance.now() - source.timestamp < 1000;
  return fresh ? source.audioLevel ?? 0 : 0;
}
