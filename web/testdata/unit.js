/**
 * Unit tests of the pure modules. No runner and no build: e2e tests import this in Chromium.
 * @module
 */

const failures = [];
let checks = 0;

/** @param {string} what @param {unknown} got @param {unknown} want */
function equal(what, got, want) {
  checks++;
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) failures.push(`${what}: got ${a}, want ${b}`);
}

export const count = () => checks;

/** @param {string} assets URL with a slash at the end @returns {Promise<string[]>} failures */
export async function run(assets) {
  const load = (name) => import(assets + name);
  backoff(await load('backoff.js'));
  sdp(await load('sdp.js'));
  await problem(await load('problem.js'));
  links(await load('session.js'));
  stats(await load('stats.js'));
  texts(await load('ui.js'));
  layout(await load('layout.js'));
  roster(await load('roster.js'));
  speaker(await load('speaker.js'));
  quality(await load('quality.js'));
  stream(await load('roomevents.js'));
  membership(await load('membership.js'));
  media(await load('media.js'));
  callWords(await load('callwords.js'), await load('problem.js'));
  views(await load('callview.js'), await load('tiles.js'), await load('roster.js'));
  return failures;
}

function backoff({ Backoff }) {
  const steady = new Backoff({ firstMs: 100, maxMs: 350, random: () => 0.5 });
  equal('waits grow to the longest', [1, 2, 3, 4].map(() => steady.next()), [100, 200, 350, 350]);
  steady.reset();
  equal('waits start over', steady.next(), 100);
  const low = new Backoff({ firstMs: 100, random: () => 0 });
  equal('jitter goes down to a half', low.next(), 50);
  const asked = new Backoff({ firstMs: 100, random: () => 0.5 });
  equal('Retry-After is not undercut, and spread upwards', asked.next(5000), 5030);
}

const OFFER = [
  'v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111 63', 'c=IN IP4 0.0.0.0', 'a=ice-ufrag:abcd', 'a=ice-pwd:0123456789012345678901',
  'a=mid:0', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1', 'a=fmtp:63 111/111',
  'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=ice-ufrag:abcd', 'a=ice-pwd:0123456789012345678901', 'a=mid:1', 'a=rtpmap:96 VP8/90000', '',
].join('\r\n');

const ANSWER = [
  'v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=ice-ufrag:old', 'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host', 'a=candidate:2 1 tcp 1671430143 2001:db8::1 8189 typ host tcptype passive',
  'a=end-of-candidates', 'a=mid:0', 'm=video 0 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', '',
].join('\r\n');

function sdp(m) {
  equal('restart fragment', m.restartFragment(OFFER),
    'a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\n');
  const stereo = m.withStereo(OFFER);
  equal('stereo on Opus alone', stereo.match(/stereo=1/g).length, 2);
  equal('stereo line', stereo.includes('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n'), true);
  equal('stereo once', m.withStereo(stereo), stereo);
  const same = m.answerAfterRestart(ANSWER, 'a=ice-ufrag:new\r\na=ice-pwd:newnewnewnewnewnewnewnew\r\n');
  equal('restart keeps candidates when none came', same,
    ANSWER.replace('ufrag:old', 'ufrag:new').replace(/pwd:\S+/, 'pwd:newnewnewnewnewnewnewnew'));
  const moved = m.answerAfterRestart(ANSWER,
    'a=ice-ufrag:new\na=ice-pwd:newnewnewnewnewnewnewnew\na=candidate:1 1 udp 1 192.0.2.9 8189 typ host\n');
  equal('restart takes new candidates', m.mediaAddresses(moved), ['192.0.2.9 UDP 8189']);
  let refused = false;
  try {
    m.answerAfterRestart(ANSWER, 'a=mid:0\r\n');
  } catch {
    refused = true;
  }
  equal('a fragment without credentials is refused', refused, true);
  equal('addresses', m.mediaAddresses(ANSWER), ['192.0.2.1 UDP 8189', '2001:db8::1 TCP 8189']);
  equal('rejected kinds', m.rejectedKinds(ANSWER), ['video']);
  equal('nothing in nothing', [m.mediaAddresses(''), m.rejectedKinds(''), m.attribute('', 'mid')], [[], [], '']);
}

async function problem(m) {
  const now = Date.UTC(2026, 0, 1);
  equal('Retry-After', [null, '', '3', ' 7 ', 'soon', '-4', '99999', new Date(now + 2000).toUTCString()].map((v) => m.retryAfterMs(v, now)),
    [0, 0, 3000, 7000, 0, 0, 300000, 2000]);
  const json = { 'Content-Type': 'application/problem+json', 'Retry-After': '2' };
  const read = await m.problemOf(new Response('{"type":"https://x/problems/not-live","title":"T","detail":7}', { status: 409, headers: json }));
  equal('problem document', [read.status, read.problem, read.title, read.detail, read.retryAfterMs], [409, 'not-live', 'T', '', 2000]);
  const broken = await m.problemOf(new Response('{"ti', { status: 500, headers: json }));
  equal('broken document', [broken.status, broken.title], [500, '']);
  const list = await m.problemOf(new Response('null', { status: 500, headers: json }));
  equal('no document', [list.status, list.title], [500, '']);
  const html = await m.problemOf(new Response('<h1>Bad gateway</h1>', { status: 502, headers: { 'Content-Type': 'text/html' } }));
  equal('a proxy\'s page is not shown', [html.title, html.detail], ['', '']);
  for (const status of [0, 400, 401, 403, 404, 405, 409, 422, 429, 500, 503]) {
    for (const role of ['viewer', 'publisher']) {
      const words = m.wordsFor(new m.Problem({ status }), role);
      equal(`words for ${status} ${role}`, Boolean(words.title && words.next), true);
    }
  }
  equal('the gateway\'s detail fills in', m.wordsFor(new m.Problem({ status: 422, detail: 'D' }), 'viewer').detail, 'D');
  equal('our words are for people', m.wordsFor(new m.Problem({ status: 401, detail: 'Send Authorization: Bearer' }), 'viewer').detail.includes('Bearer'), false);
  const advice = { title: 'The video has B-frames.', next: 'Switch them off.', type: '/problems/b-frames' };
  equal('the gateway says why', m.wordsForStatus({ state: 'live', cause: 'b-frames', advice }), { title: advice.title, detail: '', next: advice.next });
  equal('and says nothing when all is well', [null, undefined, 'text', {}, { advice: null }, { advice: { title: 1 } }].map(m.wordsForStatus), Array(6).fill(null));
  equal('token asked for', [401, 403, 503].map((status) => Boolean(m.wordsFor(new m.Problem({ status }), 'viewer').askToken)), [true, true, false]);
}

function links(m) {
  const header = '<turn:t.example:3478?transport=udp>; rel="ice-server"; username="1:a,b"; credential="x\\"y"; credential-type="password", '
    + '<stun:s.example>;rel=ice-server, </x>; rel="urn:ietf:params:whep:ext:core:layer", <javascript:alert(1)>; rel="ice-server"';
  equal('ICE servers', m.parseIceServers(header), [
    { urls: 'turn:t.example:3478?transport=udp', username: '1:a,b', credential: 'x"y' },
    { urls: 'stun:s.example' },
  ]);
  equal('no ICE servers', m.parseIceServers(''), []);
  equal('bearer', [m.bearer(''), m.bearer('t')], [{}, { Authorization: 'Bearer t' }]);
}

function stats(m) {
  const snapshot = (timestamp, more) => new Map([
    ['in', { id: 'in', type: 'inbound-rtp', kind: 'video', timestamp, codecId: 'c', packetsReceived: 0, packetsLost: 0, bytesReceived: 0, ...more }],
    ['c', { id: 'c', type: 'codec', mimeType: 'video/H264' }],
    ['t', { id: 't', type: 'transport', selectedCandidatePairId: 'p' }],
    ['p', { id: 'p', type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', currentRoundTripTime: 0.02 }],
    ['l', { id: 'l', type: 'local-candidate', candidateType: 'relay', protocol: 'udp', relayProtocol: 'tls' }],
    ['r', { id: 'r', type: 'remote-candidate', address: '192.0.2.1', port: 8189 }],
  ]);
  const first = snapshot(1000, { packetsReceived: 10, bytesReceived: 1000, jitterBufferDelay: 1, jitterBufferEmittedCount: 10 });
  const second = snapshot(2000, { packetsReceived: 100, packetsLost: 10, bytesReceived: 126000, jitterBufferDelay: 2.5, jitterBufferEmittedCount: 40 });
  const flow = m.received(second, first, 0);
  equal('rates come from differences', [flow.video.bitrate, flow.video.loss, flow.video.bufferMs, flow.video.delayMs], [1e6, 0.1, 50, 60]);
  equal('path', [flow.video.codec, flow.rttMs, flow.transport, flow.remote], ['H264', 20, 'TLS, relayed', '192.0.2.1:8189']);
  equal('a first snapshot has no rate', m.received(first, null, 0).video.bitrate, null);
  equal('a counter that went back is no negative rate', m.received(first, second, 0).video.loss, null);
  const ntp = 2208988800000;
  equal('true delay', m.delayBehindLive({ estimatedPlayoutTimestamp: ntp + 5000 }, 40, 10, 5250), 250);
  equal('a clock that is off is not believed', m.delayBehindLive({ estimatedPlayoutTimestamp: ntp + 5000 }, 40, 10, 99000), 45);
  equal('unknown delay', m.delayBehindLive({}, null, 10, 0), null);
  const out = m.sent(new Map([
    ['o', { id: 'o', type: 'outbound-rtp', kind: 'video', timestamp: 1, bytesSent: 5, qualityLimitationReason: 'cpu' }],
    ['b', { id: 'b', type: 'remote-inbound-rtp', localId: 'o', fractionLost: 0.25, roundTripTime: 0.1 }],
  ]), null);
  equal('what the other side reports', [out.video.loss, out.rttMs, out.video.limited], [0.25, 100, 'cpu']);

  const why = (video, audio, rejected = []) => m.whyNoPicture({ video, audio }, rejected).title;
  equal('reasons', [
    why(null, null, ['video']),
    why(null, null),
    why(null, { packets: 9 }),
    why({ packets: 9, framesReceived: 0, framesDecoded: 0, keyframeRequests: 2 }, null),
    why({ packets: 9, framesReceived: 5, framesDecoded: 0, keyframeRequests: 0 }, null),
    why({ packets: 9, framesReceived: 5, framesDecoded: 5, keyframeRequests: 0 }, null),
  ], [
    'This browser cannot play the video on air.',
    'Connected, but nothing arrives yet.',
    'Sound only.',
    'Waiting for a keyframe.',
    'Video arrives, but this browser does not decode it.',
    'The picture is about to appear.',
  ]);
}

function texts(m) {
  const at = (url, page) => m.place(page, new URL(url));
  equal('place', [at('https://x/play/r', 'play'), at('https://x/sub/publish/r.1', 'publish')].map(({ base, room }) => [base, room]),
    [['https://x/', 'r'], ['https://x/sub/', 'r.1']]);
  equal('a room named like the page', at('https://x/play/play', 'play').room, 'play');
  equal('place of the list', at('https://x/sub/?a=b#c', '').base, 'https://x/sub/');
  equal('endpoint', [m.endpoint('https://x/', 'whep', 'r', ''), m.endpoint('https://x/', 'whip', 'r', 'p')], ['https://x/whep/r', 'https://x/whip/r/p']);
  equal('names', ['a', 'A.b_c-9', '.a', '', 'a/b', 'a b', 'x'.repeat(64), 'x'.repeat(65)].map((name) => m.NAME.test(name)),
    [true, true, false, false, false, false, true, false]);
  equal('figures', [m.bitrateText(1234567), m.bitrateText(64000), m.bitrateText(null), m.msText(12.4), m.msText(12345), m.percentText(0.012), m.percentText(0), m.secondsText(900), m.secondsText(4000)],
    ['1.2 Mbit/s', '64 kbit/s', '–', '12 ms', '12.3 s', '1.2 %', '0 %', '1 second', '4 seconds']);
}

// ---- the call page ---------------------------------------------------------------------

/** Whether boxes stay in the area and lie side by side. */
function sound(boxes, width, height) {
  const inside = boxes.every((b) => b.width > 0 && b.height > 0 && b.x >= 0 && b.y >= 0 && b.x + b.width <= width + 1 && b.y + b.height <= height + 1);
  const apart = boxes.every((a, i) => boxes.every((b, j) => i >= j
    || a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y));
  return inside && apart;
}

function layout({ grid, stage, fit, GAP }) {
  for (const [width, height] of [[1280, 700], [390, 640], [800, 800], [640, 360]]) {
    for (let count = 1; count <= 9; count++) {
      const boxes = grid(count, width, height);
      equal(`${count} tiles in ${width}x${height}`, [boxes.length, sound(boxes, width, height)], [count, true]);
      const { stage: large, others } = stage(count, width, height);
      equal(`stage and ${count} in ${width}x${height}`, sound([large, ...others], width, height), true);
      equal(`the stage is the largest of ${count} in ${width}x${height}`, others.every((b) => b.width * b.height < large.width * large.height), true);
    }
  }
  const columns = (count, width, height) => new Set(grid(count, width, height).slice(0, 3).map((b) => b.y)).size;
  equal('side by side on a wide screen', [columns(2, 1280, 600), columns(3, 2400, 400)], [1, 1]);
  equal('below each other on an upright one', columns(2, 390, 800), 2);
  const five = grid(5, 1280, 720);
  equal('the last row is in the middle', [five[3].y === five[4].y, five[3].x > five[0].x, Math.abs((five[3].x + five[4].x + five[4].width) - 1280) <= 2], [true, true, true]);
  equal('one tile fills what its shape allows', [grid(1, 1600, 900)[0].width, grid(1, 1600, 900)[0].height], [1600, 900]);
  equal('an area without room has no tiles', [grid(3, 0, 100), grid(0, 100, 100), stage(0, 100, 50).stage], [[], [], { x: 0, y: 0, width: 100, height: 50 }]);
  const many = fit(200, 400, 300, 16 / 9);
  equal('tiles do not become stamps: the page scrolls', [many.columns, many.width >= 96], [Math.floor((400 + GAP) / (96 + GAP)), true]);
}

/** Events as the gateway writes them. */
const say = (type, data, seq = 1) => ({ seq, time: '2026-01-01T10:00:00.000Z', room: 'r', type, data });
const aired = (publication, identity, name, more = {}) => ({
  publication, session: `s-${publication}`, identity, name, whep: `https://x/whep/r/${publication}`, muted: { audio: false, video: false }, ...more,
});
const after = (m, events, from = m.emptyRoom()) => events.reduce(m.reduce, from);

function roster(m) {
  const snapshot = say('snapshot', {
    sessions: [{ session: 's-ann-000001', role: 'publisher', publication: 'ann-000001', identity: 'ann-000001', name: 'Ann' }],
    publications: [aired('ann-000001', 'ann-000001', 'Ann')], program: null, locked: true,
    messages: [say('message', { id: 'm1', kind: 'chat', name: 'Ann', text: 'hello' }), say('message', { id: 'm2', kind: m.STATE_KIND, identity: 'ann-000001', body: { microphone: false } })],
  });
  const start = after(m, [snapshot]);
  equal('a snapshot is the room', [start.known, start.locked, start.publications.length, start.messages.length], [true, true, 1, 1]);
  equal('before one nothing is known', m.emptyRoom().known, false);
  equal('what people say of themselves', m.people(start).map((p) => [p.name, p.microphone, p.picture]), [['Ann', false, true]]);

  const more = after(m, [
    say('session.joined', { session: 's-ben-000002', role: 'publisher', publication: 'ben-000002', identity: 'ben-000002', name: 'Ben' }),
    say('publication.started', aired('ben-000002', 'ben-000002', 'Ben')),
    say('session.joined', { session: 'v1', role: 'viewer', publication: 'ann-000001', identity: 'ben-000002', name: 'Ben' }),
    say('session.joined', { session: 'v2', role: 'viewer', publication: 'ann-000001', identity: 'cat', name: 'Cat' }),
    say('session.joined', { session: 'v3', role: 'viewer', publication: 'ann-000001' }),
    say('publication.started', aired('ann-000001-screen', 'ann-000001', 'Ann')),
  ], start);
  equal('one person for all their sessions', m.people(more).map((p) => [p.key, p.camera?.publication ?? null, p.screen?.publication ?? null, p.sessions.length]), [
    ['ann-000001', 'ann-000001', 'ann-000001-screen', 1], ['ben-000002', 'ben-000002', null, 2], ['cat', null, null, 1],
  ]);
  equal('told to the others', m.changes(m.people(start), m.people(more), 'me'), ['Ann shares a screen.', 'Ben joined.', 'Cat joined.']);
  equal('not to oneself', m.changes(m.people(start), m.people(more), 'ben-000002'), ['Ann shares a screen.', 'Cat joined.']);
  const less = after(m, [
    say('publication.stopped', aired('ann-000001-screen')), say('publication.stopped', aired('ben-000002')),
    say('session.left', { session: 's-ben-000002', role: 'publisher', cause: 'deleted' }), say('session.left', { session: 'v1', role: 'viewer' }),
  ], more);
  equal('who left is gone', m.people(less).map((p) => [p.key, p.screen]), [['ann-000001', null], ['cat', null]]);
  equal('and that is told', m.changes(m.people(more), m.people(less), 'me'), ['Ann no longer shares a screen.', 'Ben left.']);

  const muted = after(m, [say('publication.muted', { publication: 'ben-000002', session: 'x', muted: { audio: true, video: false } })], more);
  const ben = muted.publications.find((p) => p.publication === 'ben-000002');
  equal('a mute changes nothing else', [ben.muted, ben.name, ben.whep], [{ audio: true, video: false }, 'Ben', 'https://x/whep/r/ben-000002']);
  equal('nothing that is not on air is muted', after(m, [say('publication.muted', { publication: 'none', muted: { audio: true } })], start).publications.length, 1);
  equal('quality comes and goes with the session', [
    after(m, [say('quality.changed', { session: 'v1', role: 'viewer', state: 'silent', cause: 'no-video' })], more).quality.v1.cause,
    after(m, [say('quality.changed', { session: 'v1', state: 'silent', cause: 'no-video' }), say('session.left', { session: 'v1' })], more).quality.v1,
  ], ['no-video', undefined]);
  equal('the end', [after(m, [say('room.ended')], more)].map((r) => [r.ended, r.publications.length, r.sessions.length]), [[true, 0, 0]]);
  equal('what is not known changes nothing', after(m, [say('recording.started', {})], start) === start, true);
  equal('a second snapshot replaces, but keeps what was said', [after(m, [say('snapshot', { sessions: [], publications: [], messages: [] })], start)]
    .map((r) => [r.publications.length, r.states['ann-000001'].microphone]), [[0, false]]);
  equal('twice the same session is one', after(m, [say('session.joined', snapshot.data.sessions[0])], start).sessions.length, 1);
  let flood = start;
  for (let i = 0; i < 400; i++) {
    flood = m.reduce(flood, say('message', { id: `c${i}`, kind: 'chat', text: 'x' }));
    flood = m.reduce(flood, say('message', { id: `s${i}`, kind: m.STATE_KIND, body: { publication: `p${i}` } }));
  }
  equal('nothing grows without bound', [flood.messages.length, Object.keys(flood.states).length], [300, 200]);
  equal('other kinds are no chat', after(m, [say('message', { id: 'z', kind: 'cursor', body: 1 }), say('message', { id: 'y', kind: m.STATE_KIND, body: null })], start).messages.length, 1);

  // A gateway that asks for no tokens knows no identities: publications stand for people.
  const open = after(m, [say('snapshot', {
    sessions: [{ session: 'a', role: 'publisher', publication: 'dora-123456' }, { session: 'b', role: 'viewer', publication: 'dora-123456' }],
    publications: [aired('dora-123456'), aired('dora-123456-screen')],
  })]);
  equal('people without identities', m.people(open).map((p) => [p.key, p.name, p.screen?.publication]), [['dora-123456', 'dora', 'dora-123456-screen']]);
  const named = m.reduce(open, say('message', { id: 'q', kind: m.STATE_KIND, body: { publication: 'dora-123456', name: 'Dora' } }));
  equal('who say their names', m.people(named).map((p) => p.name), ['Dora']);
  equal('labels', ['ann-000001', 'main', 'cam-2', 'ann-000001-screen', '-123456'].map(m.labelOf), ['ann', 'main', 'cam-2', 'ann', '-123456']);
  equal('authors', [{ name: 'A', body: { name: 'B' } }, { body: { name: 'B' } }, { identity: 'ann-000001' }, {}].map((data) => m.authorOf(say('message', data))), ['A', 'B', 'ann', 'Guest']);
}

function speaker({ Speaker }) {
  const s = new Speaker();
  const run = (levels, from, to) => {
    for (let now = from; now < to; now += 200) s.update(new Map(Object.entries(levels)), now);
    return s.current;
  };
  equal('silence', run({ a: 0, b: 0.01 }, 0, 1000), null);
  equal('who speaks', run({ a: 0.3, b: 0 }, 1000, 2000), 'a');
  equal('a cough does not take over', run({ a: 0.3, b: 0.35 }, 2000, 4000), 'a');
  equal('a louder voice does', run({ a: 0.05, b: 0.4 }, 4000, 6000), 'b');
  equal('a pause is no end', run({ a: 0, b: 0 }, 6000, 7400), 'b');
  equal('a long one is', run({ a: 0, b: 0 }, 7400, 12000), null);
  run({ a: 0.3, b: 0 }, 12000, 13000);
  equal('who left speaks no more', run({ b: 0 }, 13000, 13200), null);
  const quick = new Speaker();
  quick.update(new Map([['a', 0.5]]), 0);
  quick.update(new Map([['a', 0], ['b', 0.9]]), 100);
  equal('the highlight does not jump', quick.current, 'a');
}

function quality({ grade, worst, UNKNOWN_GRADE, LOST_GRADE }) {
  const flow = (loss, rttMs, audio = 0) => ({ video: { loss }, audio: { loss: audio }, rttMs });
  equal('grades', [flow(0, 20), flow(0.05, 20), flow(0.01, 400), flow(0.2, 20), flow(0, 900), flow(0, 20, 0.12), flow(null, null)].map((f) => grade(f, true).text),
    ['Good', 'Fair', 'Fair', 'Poor', 'Poor', 'Poor', 'Good']);
  equal('no connection', grade(flow(0, 1), false), LOST_GRADE);
  equal('nothing measured', [grade(null, true), grade({ video: null, audio: null }, true), worst([])], [UNKNOWN_GRADE, UNKNOWN_GRADE, UNKNOWN_GRADE]);
  equal('the worst', worst([grade(flow(0, 1), true), grade(flow(0.2, 1), true), grade(flow(0.04, 1), true)]).bars, 1);
}

function stream({ StreamParser, roomEvent }) {
  const text = ':\n\nretry: 2000\n\nid: a-1\nevent: message\ndata: {"type":"x",\ndata: "seq":1}\n\nid: a-2\r\ndata:two\r\n\r\ndata: three\r\rdata: cut off';
  const want = [{ event: 'message', data: '{"type":"x",\n"seq":1}', id: 'a-1' }, { event: 'message', data: 'two', id: 'a-2' }, { event: 'message', data: 'three', id: 'a-2' }];
  const whole = new StreamParser();
  equal('events of a stream', whole.feed(text), want);
  equal('what the stream asks for', [whole.id, whole.retryMs], ['a-2', 2000]);
  for (const size of [1, 2, 3, 7]) {
    const parser = new StreamParser();
    const found = [];
    for (let i = 0; i < text.length; i += size) found.push(...parser.feed(text.slice(i, i + size)));
    equal(`events in pieces of ${size}`, found, want);
  }
  equal('an event of a room', roomEvent({ event: 'x', data: '{"type":"room.ended","seq":3}' }), { type: 'room.ended', seq: 3 });
  equal('no event of a room', ['', 'x', 'null', '{}', '[1]', '{"type":1}'].map((data) => roomEvent({ event: 'x', data })), Array(6).fill(null));
}

function membership(m) {
  const fixed = () => 0.001234;
  equal('identities', ['Ann', 'Zo\u00eb \u00c5berg', '  ', '\u5f20\u4f1f', 'a'.repeat(80), '<b>x</b>', '--'].map((name) => m.identityFor(name, fixed)),
    ['ann-001234', 'zoe-aberg-001234', 'guest-001234', 'guest-001234', `${'a'.repeat(30)}-001234`, 'b-x-b-001234', 'guest-001234']);
  equal('addresses that this page reaches', [
    m.reachable('https://x/whep/r/p', 'https://x/'), m.reachable('/whep/r/p', 'https://x/'), m.reachable('http://10.0.0.1:8080/whep/r/p?a=1', 'https://x/sub/'),
    m.reachable('http://127.0.0.1/v1/rooms/r/events', 'https://x/'),
  ], ['https://x/whep/r/p', 'https://x/whep/r/p', 'https://x/sub/whep/r/p?a=1', 'https://x/v1/rooms/r/events']);
  equal('own publications', [m.ownPublications('https://x/sub/whip/r/ann', 'z'), m.ownPublications('https://x/whip/r', 'ann')], [
    { camera: { name: 'ann', url: 'https://x/sub/whip/r/ann' }, screen: { name: 'ann-screen', url: 'https://x/sub/whip/r/ann-screen' } },
    { camera: { name: 'ann', url: 'https://x/whip/r/ann' }, screen: { name: 'ann-screen', url: 'https://x/whip/r/ann-screen' } },
  ]);
  equal('renewed in time', [m.renewAfter(40000), m.renewAfter(100), m.renewAfter(1e12)], [30000, 1000, 2147483647]);
}

function media(m) {
  const wish = { source: 'camera', audio: true, cameraId: 'c', microphoneId: 'm' };
  const short = (list) => list.map((w) => `${w.source}/${w.audio}/${w.cameraId}/${w.microphoneId}`);
  equal('less and less is asked for', short(m.attempts(wish)), ['camera/true/c/m', 'camera/true//', 'none/true//m', 'camera/false/c/']);
  equal('a microphone alone', short(m.attempts({ ...wish, source: 'none', microphoneId: '', cameraId: '' })), ['none/true//']);
  const kept = localStorage.getItem('sluice.meet');
  m.remember({ name: 'Ann', camera: 'off', microphone: '', speaker: 's' });
  equal('remembered', m.remembered(), { name: 'Ann', camera: 'off', microphone: '', speaker: 's' });
  localStorage.setItem('sluice.meet', '{"name":7,"camera"');
  equal('nonsense is not', m.remembered(), { name: '', camera: '', microphone: '', speaker: '' });
  if (kept === null) localStorage.removeItem('sluice.meet');
  else localStorage.setItem('sluice.meet', kept);
}

function callWords(m, { Problem }) {
  const join = (status, name, tried) => {
    const words = m.wordsForJoin(new Problem({ status, name }), tried);
    return [words.title, words.askPassword];
  };
  equal('a password is asked for', [join(403, 'join-refused', false), join(403, 'join-refused', true), join(401, '', false)],
    [[m.WORDS.password.title, true], [m.WORDS.wrong.title, true], [m.WORDS.password.title, true]]);
  equal('not where it would not help', [join(403, 'room-locked', false), join(429, '', false), join(0, '', false)],
    [[m.WORDS.locked.title, false], [m.WORDS.limited.title, false], ['The gateway does not answer.', false]]);
  for (const status of [0, 400, 401, 403, 404, 409, 422, 429, 500, 503]) {
    const words = m.wordsForJoin(new Problem({ status }), false);
    equal(`words for a join with ${status}`, Boolean(words.title && words.next), true);
  }
  equal('ends', ['kicked', 'token-revoked', 'room-ended', 'deleted', 'consent-lost', undefined].map((cause) => m.wordsForEnd(cause)?.title ?? null),
    [m.WORDS.kicked.title, m.WORDS.revoked.title, m.WORDS.ended.title, null, null, null]);
  equal('refused later', [[403, 'room-locked'], [401, 'token-revoked'], [404, ''], [403, '']].map(([status, name]) => m.wordsForRefusal(new Problem({ status, name })).title),
    [m.WORDS.locked.title, m.WORDS.revoked.title, m.WORDS.ended.title, m.WORDS.expired.title]);
}

function views(m, tiles, rosters) {
  const room = after(rosters, [say('snapshot', {
    sessions: [], publications: [aired('me', 'me', 'Me', { muted: { audio: true, video: false } }), aired('ann', 'ann', 'Ann'), aired('ann-screen', 'ann', 'Ann')],
  })]);
  const own = { name: 'Me', key: 'me', microphone: true, picture: false, sharing: false, isOwn: (p) => p === 'me' || p === 'me-screen' };
  const seen = { speaking: 'ann', grades: new Map([['ann', { bars: 2, text: 'Fair' }]]) };
  const shown = m.viewsOf(room, own, seen);
  equal('tiles', shown.map((v) => [v.id, v.name, v.kind, v.own, v.picture, v.muted.audio, v.speaking, v.grade?.text ?? '']), [
    [':camera', 'You', 'camera', true, false, true, false, ''],
    ['ann', 'Ann', 'camera', false, true, false, true, 'Fair'],
    ['ann-screen', 'Ann', 'screen', false, true, false, false, ''],
  ]);
  equal('one\'s own screen', m.viewsOf(room, { ...own, sharing: true }, seen).map((v) => v.id), [':camera', ':screen', 'ann', 'ann-screen']);
  equal('the list', m.peopleOf(room, own, shown).map((p) => [p.name, p.own, p.views.length]), [['Me', true, 1], ['Ann', false, 2]]);
  equal('the stage is a screen\'s', tiles.onStage(shown, ''), 'ann-screen');
  equal('or whose the reader likes', tiles.onStage(shown, 'ann'), 'ann');
  equal('who left is on no stage', tiles.onStage(shown.slice(0, 2), 'ann-screen'), '');
  equal('initials', ['Ann', 'ann b. carr', '', ' ', '\u5f20\u4f1f'].map(tiles.initials), ['A', 'AC', '?', '?', '\u5f20']);
  equal('what a moderator did', [[true, true], [true, false], [false, true], [false, false]].map(([audio, video]) => tiles.noteOf({ muted: { audio, video } })),
    ['silenced and hidden by a moderator', 'silenced by a moderator', 'hidden by a moderator', '']);
}
