/**
 * The page /meet/{room}: a lobby, a call, and a word after it.
 *
 * Query, for links and tests: ?name=, ?auto=1 (joins at once), ?width= and ?height= (pixels), ?fps=,
 * ?bitrate= (kbit/s), ?video=none, ?audio=0, ?identity= (for members of the room). Fragment: #token=….
 *
 * Hook, for tests and support: window.sluice.call is the Call, or null; window.sluice.figures()
 * promises for each publication that is played what stats.js makes of it.
 * @module
 */
import { Call } from './call.js';
import { Gauge, SELF, peopleOf, viewsOf } from './callview.js';
import { WORDS, wordsForJoin } from './callwords.js';
import { canShareScreen, capture, wordsForCapture } from './capture.js';
import { Lobby } from './lobby.js';
import { Media, remember } from './media.js';
import { Membership, identityFor } from './membership.js';
import { Panel } from './panel.js';
import { Problem } from './problem.js';
import { changes, people } from './roster.js';
import { received } from './stats.js';
import { Tiles } from './tiles.js';
import { $, NAME, Token, copyOnClick, place, secondsText, setText, show } from './ui.js';

const LEVEL_MS = 200;
const QUALITY_MS = 2000;
const ANNOUNCE_MS = 1200; // several people who come at once are one announcement

const { base, room, query } = place('meet');
const number = (name, otherwise) => Math.max(0, Math.round(Number(query.get(name)) || 0)) || otherwise;
const size = { width: number('width', 640), height: number('height', 360), fps: number('fps', 24) };
const sending = { maxFramerate: size.fps, maxBitrate: number('bitrate', 0) * 1000 };
const token = new Token(`meet:${room}`);
const media = new Media(size);
const lobby = new Lobby(media, query, ({ speaker }) => tiles.speak(speaker));
const tiles = new Tiles(() => show($('sound-hint'), true));
const panel = new Panel((text) => call?.say(text) ?? Promise.resolve());

/** @type {Call | null} */
let call = null;
/** @type {MediaStream | null} the screen that is shared */
let shared = null;
let gauge = new Gauge();
let name = '';

// ---- phases -------------------------------------------------------------------------

/** @param {'lobby' | 'call' | 'over'} phase */
function enter(phase) {
  document.body.dataset.phase = phase;
  for (const id of ['lobby', 'call', 'over']) show($(id), id === phase);
  if (phase !== 'call') pill('Not in the call', 'quiet');
}

/** @param {string} text @param {string} tone */
function pill(text, tone) {
  setText($('state'), text);
  $('pill').dataset.tone = tone;
}

/** @param {Partial<import('./problem.js').Words> | null} words */
function refusal(words) {
  show($('refusal'), words !== null);
  for (const part of ['title', 'detail', 'next']) setText($(`refusal-${part}`), words?.[part] ?? '');
}

async function join() {
  if (!$('name').value.trim()) {
    $('name').reportValidity();
    return;
  }
  const { choice } = lobby;
  name = choice.name;
  remember(choice);
  token.value = $('token').value;
  refusal(null);
  $('join').disabled = true;
  setText($('join'), 'Joining');
  const given = query.get('identity') ?? '';
  const password = $('password').value;
  const membership = new Membership({
    base, room, name, password, token: token.value, identity: NAME.test(given) ? given : identityFor(name),
  });
  try {
    await membership.join();
    begin(membership);
  } catch (error) {
    refuse(error, password);
  } finally {
    $('join').disabled = false;
    setText($('join'), 'Join the call');
  }
}

/** @param {unknown} error @param {string} password that was tried */
function refuse(error, password) {
  const problem = error instanceof Problem ? error : new Problem({ status: 400, title: 'Joining failed.', detail: String(error) });
  const words = wordsForJoin(problem, password !== '');
  refusal(words);
  if (!words.askPassword) return;
  show($('password-field'), true);
  $('password').focus();
  $('password').select();
}

/** @param {Membership} membership */
function begin(membership) {
  const mine = new Call({ membership, base, name, video: (publication) => tiles.video(publication) });
  call = mine;
  gauge = new Gauge();
  panel.reset();
  $('devices-slot').append($('devices'));
  enter('call');
  pill('Connecting', 'quiet');
  const on = (type, listener) => mine.addEventListener(type, (event) => { if (call === mine) listener(/** @type {any} */ (event).detail); });
  on('room', () => { onRoom(mine); });
  on('up', () => pill('In the call', 'live'));
  on('down', () => pill('Reconnecting', 'warn'));
  on('publishing', ({ which, change }) => onPublishing(which, change));
  on('ended', (words) => over(words));
  mine.start();
  publishCamera();
  draw();
  tiles.speak(lobby.choice.speaker);
  $('switch-microphone').focus({ preventScroll: true });
}

/** @param {import('./problem.js').Words} words */
function over(words) {
  call?.stop();
  call = null;
  stopSharing();
  $('devices-dialog').close();
  $('devices-home').append($('devices'));
  tiles.draw([]);
  media.close();
  trouble(null);
  for (const part of ['title', 'detail', 'next']) setText($(`over-${part}`), words[part]);
  enter('over');
  document.title = `Meet ${room} · Sluice`;
  $('over-title').focus();
}

async function rejoin() {
  enter('lobby');
  $('join').focus();
  await lobby.open();
}

// ---- what is sent ---------------------------------------------------------------------

function publishCamera() {
  const { stream } = media;
  if (!call) return;
  if (stream.getTracks().length > 0) call.publish('camera', stream, sending);
  else call.unpublish('camera');
}

function onMedia() {
  if (!call) return;
  publishCamera();
  call.tell({ microphone: media.microphone && media.track('audio') !== undefined, camera: media.camera && media.track('video') !== undefined });
  draw();
}

/** @param {'camera' | 'screen'} which @param {import('./connection.js').Change} change */
function onPublishing(which, { state, words, retryMs = 0 }) {
  if (state === 'connected') trouble(null);
  else if (state === 'interrupted') trouble({ title: 'Your connection is interrupted.', detail: 'Mending it.' });
  else if (state === 'retrying') trouble({ ...words, next: `Next attempt in ${secondsText(retryMs)}.` });
  else if (state === 'refused') {
    if (which === 'screen') stopSharing();
    trouble({ ...words, title: which === 'screen' ? 'Your screen could not be shared.' : 'The others do not see you.', detail: [words?.title, words?.detail].filter(Boolean).join(' ') }, which === 'camera');
  }
  draw();
}

async function toggleSharing() {
  if (shared) return stopSharing();
  const wish = /** @type {const} */ ({ source: 'screen', audio: true, voice: false, cameraId: '', microphoneId: '', width: 2560, height: 1440, fps: Math.min(size.fps, 15) });
  try {
    const stream = await capture({ ...wish, ...(query.has('width') ? { width: size.width, height: size.height } : {}) });
    if (!call) {
      for (const track of stream.getTracks()) track.stop();
      return undefined;
    }
    shared = stream;
    stream.getVideoTracks()[0]?.addEventListener('ended', () => { if (shared === stream) stopSharing(); }); // by the browser's own button
    call.publish('screen', stream, { maxFramerate: wish.fps });
  } catch (error) {
    const words = wordsForCapture(error, 'screen');
    if (!(error instanceof Error && error.name === 'NotAllowedError')) trouble(words); // who closed the browser's question knows
  }
  draw();
  return undefined;
}

function stopSharing() {
  for (const track of shared?.getTracks() ?? []) track.stop();
  shared = null;
  call?.unpublish('screen');
  if (call) draw();
}

// ---- what is shown ----------------------------------------------------------------------

let known = /** @type {import('./roster.js').Person[] | null} */ (null);
/** @type {import('./roster.js').Room | null} */
let seen = null;
let announcing = 0;
let unsaid = /** @type {string[]} */ ([]);

/** @param {Call} mine */
function onRoom(mine) {
  const now = people(mine.room);
  const first = known === null || seen === null || !seen.known;
  if (!first && known) announce(changes(known, now, mine.key));
  if (seen && seen.known && seen.locked !== mine.room.locked) announce([mine.room.locked ? 'The room is locked.' : 'The room is open again.']);
  const own = mine.room.publications.find((p) => mine.isOwn(p.publication));
  const before = seen?.publications.find((p) => p.publication === own?.publication);
  if (own && before && own.muted.audio !== before.muted.audio) announce([own.muted.audio ? 'A moderator silenced you.' : 'A moderator lets you speak again.']);
  known = mine.room.known ? now : null;
  if (mine.room.messages !== seen?.messages) {
    panel.messages(mine.room.messages, (message) => mine.isMine(message), first);
    const last = mine.room.messages.at(-1);
    // An open chat is a live region of its own.
    if (!first && panel.open !== 'chat' && last && last !== seen?.messages.at(-1) && !mine.isMine(last)) announce([`Message: ${last.data.text}`]);
  }
  seen = mine.room;
  draw();
}

/** @param {string[]} sentences */
function announce(sentences) {
  if (sentences.length === 0) return;
  unsaid.push(...sentences);
  clearTimeout(announcing);
  announcing = window.setTimeout(() => {
    const shown = unsaid.length > 6 ? [...unsaid.slice(0, 5), `And ${unsaid.length - 5} more.`] : unsaid;
    setText($('announce'), shown.join(' '));
    unsaid = [];
  }, ANNOUNCE_MS);
}

/** @param {Partial<import('./problem.js').Words> | null} words @param {boolean} [again] offers a button */
function trouble(words, again = false) {
  show($('trouble'), words !== null);
  show($('trouble-again'), again);
  for (const part of ['title', 'detail', 'next']) setText($(`trouble-${part}`), words?.[part] ?? '');
  if (words) announce([[words.title, words.detail, words.next].filter(Boolean).join(' ')]);
}

/** @returns {import('./callview.js').Own} */
function own() {
  return {
    name, key: call?.key ?? '', sharing: shared !== null, isOwn: (publication) => call?.isOwn(publication) ?? false,
    microphone: media.microphone && media.track('audio') !== undefined,
    picture: media.camera && media.track('video') !== undefined,
  };
}

function draw() {
  if (!call) return;
  const me = own();
  const views = viewsOf(call.room, me, gauge);
  for (const [which, stream] of /** @type {const} */ ([['camera', media.stream], ['screen', shared]])) {
    if (which === 'screen' && !stream) continue;
    const video = tiles.video(SELF[which]);
    video.muted = true;
    const source = stream?.getTracks().length ? stream : null; // see lobby.js
    if (video.srcObject !== source) video.srcObject = source;
  }
  tiles.draw(views);
  panel.people(peopleOf(call.room, me, views));
  show($('alone'), call.room.known && views.every((view) => view.own));
  const count = people(call.room).filter((one) => one.key !== me.key).length + 1;
  document.title = `(${count}) ${room} · Sluice`;
  drawControls(me, views[0].muted.audio);
  if ($('pill').dataset.tone === 'live') setText($('state'), call.room.locked ? 'In the call, locked' : 'In the call');
}

/** @param {import('./callview.js').Own} me @param {boolean} silenced by a moderator */
function drawControls(me, silenced) {
  const button = (id, on, label, disabled = false, title = label) => {
    $(id).dataset.on = String(on); // the label says what a press does: "pressed" would say it twice, and differently
    $(id).disabled = disabled;
    $(id).title = title;
    setText($(id).querySelector('.label'), label);
  };
  const audio = media.track('audio') !== undefined;
  const video = media.track('video') !== undefined;
  const voice = !audio ? 'No microphone' : me.microphone ? 'Mute' : 'Unmute';
  button('switch-microphone', me.microphone, silenced ? 'Silenced' : voice, !audio, silenced ? 'A moderator silenced you' : voice);
  $('switch-microphone').dataset.silenced = String(silenced);
  button('switch-camera', me.picture, !video ? 'No camera' : me.picture ? 'Camera off' : 'Camera on', !video);
  button('share', me.sharing, me.sharing ? 'Stop sharing' : 'Share screen');
  show($('share'), canShareScreen());
}

// ---- start ---------------------------------------------------------------------------------

function wire() {
  $('entry').addEventListener('submit', (event) => {
    event.preventDefault();
    join();
  });
  for (const which of /** @type {const} */ (['microphone', 'camera'])) {
    $(`switch-${which}`).addEventListener('click', () => media.switch(which, !media[which]));
  }
  $('share').addEventListener('click', toggleSharing);
  $('leave').addEventListener('click', () => over(WORDS.left));
  $('rejoin').addEventListener('click', rejoin);
  $('trouble-close').addEventListener('click', () => trouble(null));
  $('trouble-again').addEventListener('click', () => {
    trouble(null);
    call?.unpublish('camera');
    publishCamera();
  });
  $('open-devices').addEventListener('click', () => $('devices-dialog').showModal());
  $('sound-hint').addEventListener('click', () => {
    show($('sound-hint'), false);
    tiles.unblock();
  });
  copyOnClick($('copy-link'), () => `${base}meet/${encodeURIComponent(room)}`);
  media.addEventListener('change', onMedia);
  // The sessions end with the page, so that the others see it at once.
  window.addEventListener('pagehide', () => call?.stop());
  window.addEventListener('pageshow', (event) => { if (event.persisted && call) over(WORDS.left); });
  setInterval(() => { if (call && gauge.listen(call, lobby.loudness)) draw(); }, LEVEL_MS);
  setInterval(async () => {
    if (!call || document.hidden) return;
    await gauge.measure(call);
    draw();
  }, QUALITY_MS);
}

window.sluice = {
  get call() { return call; },
  figures: async () => {
    const all = [...(call?.players ?? [])].map(async ([publication, { pc, facts }]) => {
      const flow = pc ? received(await pc.getStats(), null) : null;
      return [publication, { flow, facts }];
    });
    return Object.fromEntries(await Promise.all(all));
  },
};

document.title = `Meet ${room} · Sluice`;
setText($('room'), room);
$('token').value = token.value;
$('more').open = token.value !== '';
wire();
enter('lobby');
if (!$('name').value) $('name').focus();
await lobby.open();
if (query.get('auto') === '1') join();
