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
