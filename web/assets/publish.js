/**
 * The page /publish/{room}.
 *
 * Query, for links and tests: ?codec=h264|vp8|vp9|av1, ?video=camera|screen|none, ?audio=0|1,
 * ?width= and ?height= (pixels), ?fps=, ?bitrate= (kbit/s), ?publication=name,
 * ?auto=1 (goes live at once). Fragment: #token=….
 *
 * Measurement hook: window.sluice as on the play page (see play.js); stats() gives what is sent.
 * @module
 */
import { INSECURE, Level, canCapture, canShareScreen, capture, wordsForCapture } from './capture.js';
import { tokenFor } from './password.js';
import { sent } from './stats.js';
import {
  $, NAME, Token, bitrateText, copyOnClick, endpoint, msText, percentText, place, plainText, secondsText, setText, show,
  sizeText, writeRows,
} from './ui.js';
import { newFacts, note } from './connection.js';
import { Publisher, sendableCodecs } from './whip.js';

const STATS_MS = 1000;
const LEVEL_MS = 66;
const HEALTH_MS = 2000;

const { base, room, query } = place('publish');
const token = new Token(`publish:${room}`);
let typed = token.value; // that the token is for: itself, or a password
const level = new Level();
const video = /** @type {HTMLVideoElement} */ ($('video'));

/** @type {MediaStream | null} */
let stream = null;
/** @type {Publisher | null} */
let publisher = null;
let facts = newFacts();
let capturing = 0; // number of the newest attempt to capture
let liveSince = 0;
let advised = false; // the trouble shown is the gateway's word on what it gets
/** @type {{pc: RTCPeerConnection, report: RTCStatsReport} | null} */
let previous = null;

// ---- settings ---------------------------------------------------------------------

/** @returns {import('./capture.js').Wish} */
function wish() {
  const [width, height] = $('size').value.split('x').map(Number);
  return {
    source: /** @type {any} */ (document.querySelector('input[name=source]:checked'))?.value ?? 'camera',
    audio: $('microphone').value !== 'off',
    cameraId: $('camera').value,
    microphoneId: $('microphone').value === 'off' ? '' : $('microphone').value,
    width,
    height,
    fps: Number($('fps').value),
  };
}

/** Selects a value, adding it when the list lacks it. */
function choose(select, value, text) {
  if (![...select.options].some((option) => option.value === value)) select.append(new Option(text, value));
  select.value = value;
}

function readQuery() {
  for (const name of sendableCodecs()) $('codec').append(new Option(name, name));
  fill($('camera'), [], 'Default camera');
  fill($('microphone'), [], 'Default microphone');
  const codec = (query.get('codec') ?? '').toUpperCase();
  if (codec) choose($('codec'), codec, codec);
  const source = query.get('video') ?? '';
  if (['camera', 'screen', 'none'].includes(source)) $('source').querySelector(`input[value=${source}]`).checked = true;
  if (query.get('audio') === '0') $('microphone').value = 'off';
  const number = (name) => Math.round(Number(query.get(name)) || 0);
  if (number('width') > 0 && number('height') > 0) {
    choose($('size'), `${number('width')}x${number('height')}`, `${number('width')} × ${number('height')}`);
  }
  if (number('fps') > 0) choose($('fps'), String(number('fps')), `${number('fps')} fps`);
  if (number('bitrate') > 0) choose($('bitrate'), String(number('bitrate')), `${number('bitrate')} kbit/s`);
  $('publication').value = query.get('publication') ?? '';
  $('token').value = token.value;
  $('more').open = $('publication').value !== '' || token.value !== '';
}

/** @param {HTMLSelectElement} select @param {MediaDeviceInfo[]} devices @param {string} first */
function fill(select, devices, first) {
  const chosen = select.value;
  const options = [new Option(first, '')];
  devices.forEach((device, i) => options.push(new Option(device.label || `${first} ${i + 1}`, device.deviceId)));
  if (select.id === 'microphone') options.push(new Option('No sound', 'off'));
  select.replaceChildren(...options);
  if (options.some((option) => option.value === chosen)) select.value = chosen;
}

/** Names of devices are told only after the reader allowed one. */
async function listDevices() {
  const devices = (await navigator.mediaDevices.enumerateDevices().catch(() => [])).filter((d) => d.deviceId && d.deviceId !== 'default');
  fill($('camera'), devices.filter((d) => d.kind === 'videoinput'), 'Default camera');
  fill($('microphone'), devices.filter((d) => d.kind === 'audioinput'), 'Default microphone');
}

function publicationName() {
  const name = $('publication').value.trim();
  return NAME.test(name) ? name : '';
}

function playLink() {
  const url = new URL(`play/${encodeURIComponent(room)}`, base);
  if (publicationName()) url.searchParams.set('publication', publicationName());
  return url.href;
}

function drawLink() {
  setText($('play-link'), playLink());
  $('open-link').href = playLink();
}

// ---- what is said -------------------------------------------------------------------

const PILLS = {
  idle: ['Off air', 'quiet'],
  connecting: ['Connecting', 'quiet'],
  connected: ['On air', 'live'],
  interrupted: ['Interrupted', 'warn'],
  waiting: ['Waiting', 'warn'],
  retrying: ['Reconnecting', 'warn'],
  refused: ['Off air', 'bad'],
  stopped: ['Off air', 'quiet'],
};

/** @param {string} state */
function drawState(state) {
  const [text, tone] = PILLS[state] ?? PILLS.idle;
  const running = ['connecting', 'connected', 'interrupted', 'waiting', 'retrying'].includes(state);
  document.body.dataset.phase = state;
  facts.state = state;
  $('pill').dataset.tone = tone;
  setText($('state'), text);
  show($('start'), !running);
  show($('stop'), running);
  show($('live-badge'), state === 'connected');
  for (const id of ['codec', 'publication', 'token']) $(id).disabled = running;
  const hasStream = stream !== null || wish().source === 'screen';
  $('start').disabled = !hasStream;
  setText($('start'), wish().source === 'screen' && !stream ? 'Choose a screen and go live' : 'Go live');
  setText($('announce'), text);
}

/** @param {Partial<import('./problem.js').Words> | null} words null when all is well */
function trouble(words) {
  show($('trouble'), words !== null);
  show($('enter-token'), Boolean(words?.askToken));
  setText($('trouble-title'), words?.title ?? '');
  setText($('trouble-detail'), words?.detail ?? '');
  setText($('trouble-next'), words?.next ?? '');
  if (words) setText($('announce'), [words.title, words.detail, words.next].filter(Boolean).join(' '));
}

/** Shows what the gateway finds wrong with what it gets. */
async function lookAfter() {
  const mine = publisher;
  if (document.hidden || mine?.state !== 'connected') {
    advised = false;
    return;
  }
  const words = await mine.why();
  if (mine !== publisher || mine.state !== 'connected') return;
  if (words || advised) trouble(words);
  advised = words !== null;
}

/** @param {Partial<import('./problem.js').Words> | null} words null shows the picture @param {boolean} [again] offers a button */
function placeholder(words, again = false) {
  show($('placeholder'), words !== null);
  setText($('notice-title'), words?.title ?? '');
  setText($('notice-detail'), words?.detail ?? '');
  setText($('notice-next'), words?.next ?? '');
  show($('retry-media'), again);
  if (words) setText($('announce'), [words.title, words.detail, words.next].filter(Boolean).join(' '));
}

/** @param {import('./connection.js').Change} change */
function onState({ state, words, retryMs = 0 }) {
  if (state === 'connected') {
    liveSince ||= Date.now();
    trouble(null);
  } else if (state === 'interrupted') {
    trouble({ title: 'The connection is interrupted.', detail: 'Mending it.' });
  } else if (state === 'retrying') {
    trouble({ ...words, next: `${words?.next ?? ''} Next attempt in ${secondsText(retryMs)}.`.trim() });
  } else if (state === 'refused') {
    liveSince = 0;
    trouble(words ?? {});
  }
  drawState(state);
}

// ---- capture --------------------------------------------------------------------------

/** Captures anew after a change of settings; a live session gets the new tracks. */
async function recapture() {
  const number = ++capturing;
  const want = wish();
  if (!canCapture() || (want.source === 'screen' && !canShareScreen())) {
    placeholder(canCapture() ? { title: 'This browser cannot share its screen.', detail: '', next: 'Choose the camera, or use a computer.' } : INSECURE);
    return false;
  }
  if (want.source === 'none' && !want.audio) {
    release();
    placeholder({ title: 'Nothing to send.', detail: '', next: 'Choose a microphone or a picture.' });
    return false;
  }
  let fresh;
  try {
    fresh = await capture(want);
  } catch (error) {
    note(facts, 'capture', String(error));
    if (number !== capturing) return false;
    if (!publisher) release();
    placeholder(wordsForCapture(error, want.source), want.source !== 'screen');
    return false;
  }
  if (number !== capturing) { // a later choice overtook this one
    for (const track of fresh.getTracks()) track.stop();
    return false;
  }
  await take(fresh, want.source);
  return true;
}

/** @param {MediaStream} fresh @param {string} source */
async function take(fresh, source) {
  const old = stream;
  stream = fresh;
  video.srcObject = fresh;
  video.play().catch(() => {}); // muted: browsers start it without a click
  $('preview').dataset.kind = source;
  placeholder(fresh.getVideoTracks().length ? null : { title: 'Sound only', detail: 'No picture is sent.' });
  level.listen(fresh);
  applyMutes();
  await publisher?.replaceTracks(fresh);
  for (const track of old?.getTracks() ?? []) track.stop();
  fresh.getVideoTracks()[0]?.addEventListener('ended', onEnded);
  listDevices();
}

/** The reader ended the sharing in the browser's own bar, or unplugged the camera. */
function onEnded() {
  const screen = wish().source === 'screen';
  stop();
  release();
  placeholder(screen
    ? { title: 'The screen is no longer shared.', detail: '', next: 'Press the button to share again.' }
    : { title: 'The camera is gone.', detail: '', next: 'Plug it in and try again.' }, !screen);
  drawState('idle');
}

function release() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
  level.listen(null);
}

function applyMutes() {
  const pairs = [['mute-mic', 'audio', 'Microphone'], ['mute-cam', 'video', 'Picture']];
  for (const [id, kind, name] of pairs) {
    const off = $(id).getAttribute('aria-pressed') === 'true';
    const tracks = stream?.getTracks().filter((track) => track.kind === kind) ?? [];
    for (const track of tracks) track.enabled = !off;
    $(id).disabled = tracks.length === 0;
    setText($(id).querySelector('.label'), tracks.length === 0 ? `No ${name.toLowerCase()}` : `${name} ${off ? 'off' : 'on'}`);
  }
}

// ---- on air -----------------------------------------------------------------------------

async function start() {
  trouble(null);
  if (!$('publication').checkValidity()) {
    $('more').open = true;
    $('publication').reportValidity();
    return;
  }
  if ($('token').value !== typed) {
    typed = $('token').value;
    token.value = await tokenFor(base, room, typed);
  }
  const ended = !stream || stream.getTracks().every((track) => track.readyState === 'ended');
  if (ended && !(await recapture())) return;
  publisher?.stop();
  publisher = new Publisher({
    url: endpoint(base, 'whip', room, publicationName()),
    token: () => token.value,
    stream: /** @type {MediaStream} */ (stream),
    sending: {
      codec: $('codec').value,
      maxBitrate: Number($('bitrate').value) * 1000,
      maxFramerate: wish().fps,
      stereo: wish().source === 'screen',
    },
  });
  facts = publisher.facts;
  window.sluice.session = facts;
  const mine = publisher;
  publisher.addEventListener('state', (event) => { if (mine === publisher) onState(/** @type {CustomEvent} */ (event).detail); });
  publisher.start();
}

function stop() {
  publisher?.stop();
  publisher = null;
  liveSince = 0;
  trouble(null);
  drawState('stopped');
  drawStats();
}

// ---- figures ------------------------------------------------------------------------------

/** @returns {Promise<import('./stats.js').Flow | null>} */
async function measure() {
  const pc = publisher?.pc;
  if (!pc || pc.connectionState === 'closed') return null;
  const report = await pc.getStats().catch(() => null);
  if (!report) return null;
  const flow = sent(report, previous?.pc === pc ? previous.report : null);
  previous = { pc, report };
  return flow;
}

const LIMITS = { none: 'none', bandwidth: 'network', cpu: 'processor', other: 'other' };

async function drawStats() {
  if (document.hidden) return;
  const flow = await measure();
  const v = flow?.video;
  const a = flow?.audio;
  show($('stats-rows'), flow !== null);
  show($('stats-empty'), flow === null);
  writeRows($('stats-rows'), [
    ['Resolution', sizeText(v)],
    ['Frame rate', v?.fps ? `${Math.round(v.fps)} fps` : '–'],
    ['Video', v ? `${plainText(v.codec)}, ${bitrateText(v.bitrate)}` : '–'],
    ['Sound', a ? `${plainText(a.codec)}, ${bitrateText(a.bitrate)}` : '–'],
    ['Round trip', msText(flow?.rttMs)],
    ['Loss reported', percentText(v?.loss ?? a?.loss)],
    ['Quality limited by', v ? LIMITS[v.limited] ?? '–' : '–'],
    ['Keyframes', v ? `${v.keyframes} (${v.keyframeRequests} asked for)` : '–'],
    ['Network estimate', bitrateText(flow?.availableBitrate)],
    ['Transport', plainText(flow?.transport)],
  ]);
  if (liveSince) {
    const seconds = Math.floor((Date.now() - liveSince) / 1000);
    const two = (n) => String(n).padStart(2, '0');
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor(seconds / 60) % 60;
    setText($('clock'), `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`);
  }
}

function drawLevel() {
  if (document.hidden) return;
  const value = level.now();
  $('level').style.clipPath = `inset(0 ${(100 - 100 * value).toFixed(1)}% 0 0)`;
  $('meter').setAttribute('aria-valuenow', String(Math.round(value * 100)));
}

// ---- start ----------------------------------------------------------------------------------

function wire() {
  $('start').addEventListener('click', start);
  $('stop').addEventListener('click', stop);
  $('retry-media').addEventListener('click', async () => { if (await recapture()) drawState('idle'); });
  $('enter-token').addEventListener('click', () => {
    $('more').open = true;
    $('token').focus();
    $('token').select();
  });
  $('settings').addEventListener('submit', (event) => event.preventDefault());
  for (const id of ['mute-mic', 'mute-cam']) {
    $(id).addEventListener('click', () => {
      $(id).setAttribute('aria-pressed', String($(id).getAttribute('aria-pressed') !== 'true'));
      applyMutes();
    });
  }
  for (const id of ['camera', 'microphone', 'size', 'fps', 'source']) $(id).addEventListener('change', onSettings);
  $('bitrate').addEventListener('change', () => publisher?.setBitrate(Number($('bitrate').value) * 1000).catch(() => {})); // next start has it
  $('publication').addEventListener('input', drawLink);
  copyOnClick($('copy-link'), playLink);
  // The session ends with the page; the camera light goes out by itself.
  window.addEventListener('pagehide', () => publisher?.stop());
  window.addEventListener('pageshow', (event) => { if (event.persisted) stop(); });
  navigator.mediaDevices?.addEventListener?.('devicechange', listDevices);
}

async function onSettings() {
  const want = wish();
  show($('camera-field'), want.source === 'camera');
  if (want.source === 'screen' && !publisher) {
    // Asked for when the reader goes live: that click is the gesture browsers demand.
    capturing++;
    release();
    placeholder({ title: 'Share a screen, a window or a tab.', detail: 'You choose which one when you go live.', next: '' });
  } else await recapture();
  if (!publisher) drawState('idle');
}

window.sluice = {
  session: facts,
  url: endpoint(base, 'whip', room, publicationName()),
  stats: measure,
  raw: async () => [...((await publisher?.pc?.getStats())?.values() ?? [])],
};

document.title = `Publish ${room} · Sluice`;
setText($('room'), room);
readQuery();
wire();
drawLink();
drawState('idle');
drawStats();
setInterval(drawStats, STATS_MS);
setInterval(drawLevel, LEVEL_MS);
setInterval(lookAfter, HEALTH_MS);
await onSettings();
if (query.get('auto') === '1') start();
