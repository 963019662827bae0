/**
 * From RTCStatsReport to the handful of figures a person wants. Pure functions:
 * rates come from the difference of two snapshots.
 * @module
 */

/** Milliseconds between 1900 (NTP) and 1970. */
const NTP_OFFSET_MS = 2208988800000;

/**
 * @typedef {object} Flow figures of one direction, null where unknown
 * @property {number} at milliseconds, as the browser stamped them
 * @property {Record<string, any> | null} video
 * @property {Record<string, any> | null} audio
 * @property {number | null} rttMs
 * @property {string | null} transport such as "UDP, direct"
 * @property {string | null} remote address of the gateway
 * @property {number | null} availableBitrate estimate for sending, bit/s
 */

/** @param {RTCStatsReport | Map<string, any>} report @returns {any[]} */
const all = (report) => [...report.values()];

/** @param {any} now @param {any} then @param {string} key @returns {number} growth, never negative */
const grown = (now, then, key) => Math.max(0, (now?.[key] ?? 0) - (then?.[key] ?? 0));

/** @param {number} part @param {number} whole @returns {number | null} */
const ratio = (part, whole) => (whole > 0 ? part / whole : null);

/** @param {any} stat @param {any[]} list @returns {string | null} "H264" */
function codecOf(stat, list) {
  return list.find((other) => other.id === stat.codecId)?.mimeType?.split('/')[1] ?? null;
}

/** @param {any[]} list @returns {any} the candidate pair in use */
function selectedPair(list) {
  const transport = list.find((s) => s.type === 'transport' && s.selectedCandidatePairId);
  const named = transport && list.find((s) => s.id === transport.selectedCandidatePairId);
  return named ?? list.find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded');
}

/** @param {any[]} list */
function path(list) {
  const pair = selectedPair(list);
  const local = pair && list.find((s) => s.id === pair.localCandidateId);
  const remote = pair && list.find((s) => s.id === pair.remoteCandidateId);
  const protocol = (local?.relayProtocol ?? local?.protocol ?? '').toUpperCase();
  return {
    rttMs: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    transport: local ? `${protocol}, ${local.candidateType === 'relay' ? 'relayed' : 'direct'}` : null,
    remote: remote?.address ? `${remote.address}:${remote.port}` : null,
    availableBitrate: pair?.availableOutgoingBitrate ?? null,
  };
}

/** @param {any} now @param {any} then @returns {number | null} bit/s */
function bitrate(now, then, key) {
  const seconds = then ? (now.timestamp - then.timestamp) / 1000 : 0;
  return seconds > 0 ? (8 * grown(now, then, key)) / seconds : null;
}

/**
 * How far the picture is behind what happens. The true figure needs synchronised clocks on both sides:
 * it is taken only when believable; else it is what this side adds: half a round trip and the buffer.
 * @param {any} stat inbound-rtp
 * @param {number | null} bufferMs
 * @param {number | null} rttMs
 * @param {number} now milliseconds since 1970
 * @returns {number | null}
 */
export function delayBehindLive(stat, bufferMs, rttMs, now) {
  const playing = stat.estimatedPlayoutTimestamp;
  if (playing > 0) {
    const behind = now - (playing > NTP_OFFSET_MS ? playing - NTP_OFFSET_MS : playing);
    if (behind > 0 && behind < 10000) return behind;
  }
  return bufferMs === null ? null : bufferMs + (rttMs ?? 0) / 2;
}

/**
 * @param {RTCStatsReport | Map<string, any>} report
 * @param {RTCStatsReport | Map<string, any> | null} before an earlier one of the same connection
 * @param {number} [now] milliseconds since 1970
 * @returns {Flow}
 */
export function received(report, before, now = Date.now()) {
  const list = all(report);
  const way = path(list);
  /** @type {Flow} */
  const flow = { at: 0, video: null, audio: null, ...way };
  for (const stat of list.filter((s) => s.type === 'inbound-rtp')) {
    const old = before?.get(stat.id);
    const emitted = grown(stat, old, 'jitterBufferEmittedCount');
    const buffer = ratio(grown(stat, old, 'jitterBufferDelay') * 1000, emitted);
    const lost = grown(stat, old, 'packetsLost');
    flow.at = stat.timestamp;
    flow[stat.kind] = {
      codec: codecOf(stat, list),
      bitrate: bitrate(stat, old, 'bytesReceived'),
      packets: stat.packetsReceived ?? 0,
      lost: stat.packetsLost ?? 0,
      loss: ratio(lost, lost + grown(stat, old, 'packetsReceived')),
      jitterMs: stat.jitter === undefined ? null : stat.jitter * 1000,
      bufferMs: buffer,
      delayMs: delayBehindLive(stat, buffer, way.rttMs, now),
      width: stat.frameWidth ?? null,
      height: stat.frameHeight ?? null,
      fps: stat.framesPerSecond ?? null,
      framesReceived: stat.framesReceived ?? 0,
      framesDecoded: stat.framesDecoded ?? 0,
      framesDropped: stat.framesDropped ?? 0,
      keyframes: stat.keyFramesDecoded ?? 0,
      keyframeRequests: (stat.pliCount ?? 0) + (stat.firCount ?? 0),
      nacks: stat.nackCount ?? 0,
      repaired: stat.retransmittedPacketsReceived ?? null,
      freezes: stat.freezeCount ?? 0,
      frozenMs: (stat.totalFreezesDuration ?? 0) * 1000,
      decodeMs: ratio(grown(stat, old, 'totalDecodeTime') * 1000, grown(stat, old, 'framesDecoded')),
      concealed: ratio(grown(stat, old, 'concealedSamples'), grown(stat, old, 'totalSamplesReceived')),
    };
  }
  return flow;
}

/**
 * @param {RTCStatsReport | Map<string, any>} report
 * @param {RTCStatsReport | Map<string, any> | null} before
 * @returns {Flow}
 */
export function sent(report, before) {
  const list = all(report);
  /** @type {Flow} */
  const flow = { at: 0, video: null, audio: null, ...path(list) };
  for (const stat of list.filter((s) => s.type === 'outbound-rtp')) {
    const old = before?.get(stat.id);
    const back = list.find((s) => s.type === 'remote-inbound-rtp' && s.localId === stat.id);
    flow.at = stat.timestamp;
    flow[stat.kind] = {
      codec: codecOf(stat, list),
      bitrate: bitrate(stat, old, 'bytesSent'),
      targetBitrate: stat.targetBitrate ?? null,
      packets: stat.packetsSent ?? 0,
      loss: back?.fractionLost ?? null,
      jitterMs: back?.jitter === undefined ? null : back.jitter * 1000,
      width: stat.frameWidth ?? null,
      height: stat.frameHeight ?? null,
      fps: stat.framesPerSecond ?? null,
      framesEncoded: stat.framesEncoded ?? 0,
      keyframes: stat.keyFramesEncoded ?? 0,
      keyframeRequests: (stat.pliCount ?? 0) + (stat.firCount ?? 0),
      nacks: stat.nackCount ?? 0,
      repaired: stat.retransmittedPacketsSent ?? null,
      limited: stat.qualityLimitationReason ?? null,
      encoder: stat.encoderImplementation ?? null,
      encodeMs: ratio(grown(stat, old, 'totalEncodeTime') * 1000, grown(stat, old, 'framesEncoded')),
    };
    if (back?.roundTripTime !== undefined) flow.rttMs = back.roundTripTime * 1000;
  }
  return flow;
}

/**
 * Why there is no picture, as far as this side can know.
 * @param {Flow} flow
 * @param {string[]} rejected kinds that the answer rejected
 * @returns {import('./problem.js').Words}
 */
export function whyNoPicture(flow, rejected) {
  const video = flow.video;
  if (rejected.includes('video')) {
    return {
      title: 'This browser cannot play the video on air.',
      detail: 'It has no decoder for the codec of the publisher.',
      next: 'Try another browser, or ask the publisher to send H264 or VP8.',
    };
  }
  if (video && video.packets > 0) {
    if (video.framesDecoded > 0) {
      return { title: 'The picture is about to appear.', detail: 'Frames are decoded but not shown yet.', next: 'If it stays dark, tap the picture.' };
    }
    if (video.framesReceived > 0 && video.keyframeRequests === 0) {
      return {
        title: 'Video arrives, but this browser does not decode it.',
        detail: `The codec is ${video.codec ?? 'unknown'}; its profile may not be supported here.`,
        next: 'Try another browser, or ask the publisher to send H264 Constrained Baseline or VP8.',
      };
    }
    return {
      title: 'Waiting for a keyframe.',
      detail: 'Video arrives, but it can only start at a complete picture, and the publisher sends one seldom.',
      next: 'It starts by itself. Publishers: set the keyframe interval to 2 seconds or less.',
    };
  }
  if (flow.audio && flow.audio.packets > 0) {
    return { title: 'Sound only.', detail: 'The publisher sends no video at the moment.', next: '' };
  }
  return {
    title: 'Connected, but nothing arrives yet.',
    detail: 'The publisher is silent, or has just left.',
    next: 'The picture starts by itself.',
  };
}
