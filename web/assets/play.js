/**
 * The page /play/{room}.
 *
 * Query: ?publication=name plays that one, ?stats=1 opens the statistics, ?muted=1 starts
 * without sound. Fragment: #token=… (never in the query: servers log it).
 *
 * Measurement hook, for tests and support; fields may be added, none taken away:
 *   window.sluice.session   Facts of connection.js: t0 (performance.now() at new RTCPeerConnection),
 *                           firstFrameMs (from t0, by requestVideoFrameCallback), presentedFrames,
 *                           answerMs, connectedMs, attempts, state, history
 *   window.sluice.stats()   promise of the figures of the statistics panel, see stats.js
 *   window.sluice.url       endpoint in use
 *   window.sluice.raw()     promise of every RTCStats object of the connection, as an array
 * @module
 */
import { rejectedKinds } from './sdp.js';
import { received, whyNoPicture } from './stats.js';
import {
  $, Token, bitrateText, endpoint, msText, percentText, place, plainText, secondsText, setText, show, sizeText, writeRows,
} from './ui.js';
import { tokenFor } from './password.js';
import { Player } from './whep.js';

const PATIENCE_MS = 3000; // without a picture this long after the connection: say why
const EXPLAIN_MS = 2000;
const STATS_MS = 1000;
const STALL_LOOKS = 2; // looks without a packet, one each STATS_MS, after which the picture has stopped
const CHROME_MS = 3000; // controls hide after this long without a movement

const { base, room, query } = place('play');
const publication = query.get('publication') ?? '';
const video = /** @type {HTMLVideoElement} */ ($('video'));
const token = new Token(`play:${room}`);
let typings = 0;
const player = new Player({
  url: endpoint(base, 'whep', room, publication),
  token: () => token.value,
  video,
});

/** @type {RTCStatsReport | null} */
let previous = null;
/** @type {import('./stats.js').Flow | null} */
let flow = null;
let measuredAttempt = 0;

// ---- what is said -----------------------------------------------------------

const TONES = { playing: 'live', stalled: 'warn', refused: 'bad', retrying: 'warn', interrupted: 'warn' };

/**
 * @param {string} phase what the page looks like, for style.css
 * @param {string} state the short word in the corner
 * @param {Partial<import('./problem.js').Words> | null} words null hides the notice
 */
function say(phase, state, words) {
  document.body.dataset.phase = phase;
  player.facts.state = phase;
  $('pill').dataset.tone = TONES[phase] ?? 'quiet';
  setText($('state'), state);
  show($('notice'), words !== null);
  show($('again'), phase === 'retrying' || (phase === 'refused' && !words?.askToken));
  show($('token-form'), phase === 'refused' && Boolean(words?.askToken));
  show($('pulse'), phase !== 'refused');
  if (words) {
    setText($('notice-title'), words.title ?? '');
    setText($('notice-detail'), words.detail ?? '');
    setText($('notice-next'), words.next ?? '');
  }
  setText($('announce'), words ? [words.title, words.detail, words.next].filter(Boolean).join(' ') : state);
}

/** @param {import('./connection.js').Change} change */
function onState({ state, words, retryMs = 0 }) {
  clearTimeout(patience);
  switch (state) {
    case 'connecting':
      // While polling for a publisher the notice stays as it is: no flicker every few seconds.
      if (document.body.dataset.phase !== 'waiting') say('connecting', 'Connecting', { title: 'Connecting' });
      break;
    case 'connected':
      hint('');
      if (player.facts.firstFrameMs === null) {
        say('connected', 'Connected', { title: 'Waiting for the picture' });
        patience = window.setTimeout(explain, PATIENCE_MS);
      } else say('playing', 'Live', null);
      break;
    case 'interrupted':
      say('interrupted', 'Interrupted', null);
      hint('The connection is interrupted. Mending it.');
      break;
    case 'waiting':
      say('waiting', 'Waiting', words ?? {});
      break;
    case 'retrying':
      say('retrying', 'Reconnecting', { ...words, next: `${words?.next ?? ''} Next attempt in ${secondsText(retryMs)}.`.trim() });
      break;
    case 'refused':
      say('refused', 'Not playing', words ?? {});
      if (words?.askToken) $('token').focus();
      break;
    default:
      break;
  }
}

/** @param {string} text "" hides it */
function hint(text) {
  setText($('hint'), text);
  show($('hint'), text !== '');
}

// ---- why is there no picture --------------------------------------------------

let patience = 0;

/** Says why there is no picture, again and again until there is one. */
async function explain() {
  if (player.state !== 'connected' || player.facts.firstFrameMs !== null) return;
  await measure();
  const why = await player.why(); // it sees the publisher's side, too
  if (flow && player.state === 'connected' && player.facts.firstFrameMs === null) {
    const words = why ?? whyNoPicture(flow, rejectedKinds(player.answer));
    const soundOnly = (flow.audio?.packets ?? 0) > 0 && (flow.video?.packets ?? 0) === 0;
    say('connected', soundOnly ? 'Sound only' : 'Connected', words);
  }
  patience = window.setTimeout(explain, EXPLAIN_MS);
}

// ---- has the picture stopped ---------------------------------------------------

/** What the last look saw: the counts of packets and how often they stayed the same. */
let lastPackets = -1;
let lastPictures = -1;
let looksWithout = 0;
let looksDark = 0; // without a packet of video
let asking = false;

/** A still picture must not be called live: the publisher may be gone while the session is well. */
async function lookForMedia() {
  const phase = document.body.dataset.phase;
  if (player.state !== 'connected' || (phase !== 'playing' && phase !== 'stalled')) {
    looksWithout = looksDark = 0;
    return;
  }
  await measure();
  const pictures = flow?.video?.packets ?? 0;
  looksDark = pictures === lastPictures ? looksDark + 1 : 0;
  lastPictures = pictures;
  const packets = (flow?.video?.packets ?? 0) + (flow?.audio?.packets ?? 0);
  looksWithout = packets === lastPackets ? looksWithout + 1 : 0;
  lastPackets = packets;
  if (player.state !== 'connected' || document.body.dataset.phase !== phase) return;
  if (looksWithout >= STALL_LOOKS && phase === 'playing') {
    say('stalled', 'Waiting', {
      title: 'The picture has stopped.',
      detail: 'The publisher has stopped, or is cut off.',
      next: 'It goes on by itself when the publisher is back.',
    });
  } else if (looksDark === 0 && phase === 'stalled') say('playing', 'Live', null);
  if (looksDark >= STALL_LOOKS && looksDark % STALL_LOOKS === 0) await askWhy();
}

/** The picture has stopped: the gateway may know why, also where the sound goes on. */
async function askWhy() {
  if (asking) return;
  asking = true;
  const words = await player.why();
  asking = false;
  const phase = document.body.dataset.phase;
  if (words && looksDark > 0 && player.state === 'connected' && (phase === 'playing' || phase === 'stalled')) {
    say('stalled', looksWithout > 0 ? 'Waiting' : 'Sound only', words);
  }
}

// ---- statistics -----------------------------------------------------------------

/** @returns {Promise<import('./stats.js').Flow | null>} */
async function measure() {
  const pc = player.pc;
  if (!pc || pc.connectionState === 'closed') return flow;
  const attempt = player.facts.attempts;
  const report = await pc.getStats().catch(() => null);
  if (!report || attempt !== player.facts.attempts) return flow;
  flow = received(report, attempt === measuredAttempt ? previous : null);
  previous = report;
  measuredAttempt = attempt;
  return flow;
}

async function drawStats() {
  if ($('stats').hidden || document.hidden) return;
  await measure();
  const v = flow?.video;
  const a = flow?.audio;
  writeRows($('stats-rows'), [
    ['Resolution', sizeText(v)],
    ['Frame rate', v?.fps ? `${Math.round(v.fps)} fps` : '–'],
    ['Video', v ? `${plainText(v.codec)}, ${bitrateText(v.bitrate)}` : 'none'],
    ['Sound', a ? `${plainText(a.codec)}, ${bitrateText(a.bitrate)}` : 'none'],
    ['Delay behind live', v?.delayMs ? `about ${msText(v.delayMs)}` : '–'],
    ['Jitter buffer', msText(v?.bufferMs)],
    ['Round trip', msText(flow?.rttMs)],
    ['Packet loss', v ? `${percentText(v.loss)} (${v.lost} in all)` : '–'],
    ['Repaired', plainText(v?.repaired)],
    ['Frames dropped', plainText(v?.framesDropped)],
    ['Freezes', v ? `${v.freezes} (${msText(v.frozenMs)})` : '–'],
    ['Keyframes', plainText(v?.keyframes)],
    ['First picture after', msText(player.facts.firstFrameMs)],
    ['Transport', plainText(flow?.transport)],
  ]);
}

// ---- controls -------------------------------------------------------------------

/** Starts the element; without sound where the browser insists on a tap first. */
async function play() {
  try {
    await video.play();
  } catch (error) {
    if (/** @type {DOMException} */ (error).name !== 'NotAllowedError' || video.muted) return;
    video.muted = true;
    show($('sound'), true);
    await video.play().catch(() => {}); // then a tap on the picture starts it
  }
}

function drawSound() {
  const silent = video.muted || video.volume === 0;
  $('mute').setAttribute('aria-pressed', String(silent));
  $('mute').setAttribute('aria-label', silent ? 'Sound on' : 'Mute');
  $('volume').value = String(video.muted ? 0 : video.volume);
  if (!silent) show($('sound'), false);
}

function soundOn() {
  video.muted = false;
  if (video.volume === 0) video.volume = 1;
  show($('sound'), false);
  video.play().catch(() => {}); // already playing: nothing to do
}

function toggleStats() {
  const open = $('stats').hidden;
  show($('stats'), open);
  $('stats-toggle').setAttribute('aria-pressed', String(open));
  drawStats();
}

async function toggleFull() {
  const stage = $('stage');
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (stage.requestFullscreen) await stage.requestFullscreen();
    // @ts-ignore: iPhones have it on the video alone
    else video.webkitEnterFullscreen?.();
  } catch {
    // Refused, in a frame for one: the picture stays as it is.
  }
}

async function togglePip() {
  try {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await video.requestPictureInPicture();
  } catch {
    // As above.
  }
}

let chromeTimer = 0;

function wakeChrome() {
  document.body.classList.remove('idle');
  clearTimeout(chromeTimer);
  chromeTimer = window.setTimeout(() => {
    const busy = document.body.dataset.phase !== 'playing' || document.querySelector('.chrome :focus-visible');
    if (!busy) document.body.classList.add('idle');
  }, CHROME_MS);
}

function wireControls() {
  $('mute').addEventListener('click', () => { if (video.muted || video.volume === 0) soundOn(); else video.muted = true; });
  $('volume').addEventListener('input', () => {
    video.volume = Number($('volume').value);
    video.muted = video.volume === 0;
  });
  video.addEventListener('volumechange', drawSound);
  $('sound').addEventListener('click', soundOn);
  video.addEventListener('click', () => { if (video.paused) play(); });
  $('stats-toggle').addEventListener('click', toggleStats);
  $('full').addEventListener('click', toggleFull);
  $('pip').addEventListener('click', togglePip);
  // @ts-ignore: see toggleFull
  show($('full'), Boolean(document.fullscreenEnabled || video.webkitEnterFullscreen));
  show($('pip'), Boolean(document.pictureInPictureEnabled));
  document.addEventListener('fullscreenchange', () => {
    const on = Boolean(document.fullscreenElement);
    $('full').setAttribute('aria-pressed', String(on));
    $('full').setAttribute('aria-label', on ? 'Leave full screen' : 'Full screen');
  });
  $('again').addEventListener('click', () => player.start());
  $('token-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const typed = $('token').value;
    $('token').value = '';
    const mine = ++typings;
    const found = await tokenFor(base, room, typed);
    if (mine !== typings) return; // something else was typed meanwhile
    token.value = found;
    player.start();
  });
  for (const name of ['pointermove', 'pointerdown', 'keydown', 'focusin']) document.addEventListener(name, wakeChrome);
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
    const action = { m: () => $('mute').click(), f: toggleFull, s: toggleStats, p: togglePip }[event.key];
    if (action) action();
  });
}

// ---- start ------------------------------------------------------------------------

window.sluice = {
  session: player.facts,
  url: endpoint(base, 'whep', room, publication),
  stats: measure,
  raw: async () => [...((await player.pc?.getStats())?.values() ?? [])],
};

document.title = `${room} · Sluice`;
setText($('room'), publication ? `${room} / ${publication}` : room);
wireControls();
player.addEventListener('state', (event) => onState(/** @type {CustomEvent} */ (event).detail));
player.addEventListener('media', play);
player.addEventListener('frame', () => {
  if (player.state !== 'connected') return;
  clearTimeout(patience);
  say('playing', 'Live', null);
  wakeChrome();
});
// The session ends with the page; a page that comes back from the back/forward cache starts again.
window.addEventListener('pagehide', () => player.stop());
window.addEventListener('pageshow', (event) => { if (event.persisted) player.start(); });
setInterval(drawStats, STATS_MS);
setInterval(lookForMedia, STATS_MS);
if (query.get('stats') === '1') toggleStats();
if (query.get('muted') === '1') video.muted = true;
drawSound();
player.start();
