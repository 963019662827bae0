// Put into every page of a test before the page's own scripts. It watches from
// outside what the page does (connections, requests, frames on the screen), so
// that a test does not have to believe the page. Settings come in
// window.__settings: {passive, bits, cell, light}.
(() => {
  const settings = window.__settings ?? {};
  const probe = {
    started: null, // performance.now() of the first new RTCPeerConnection
    connections: [],
    posts: 0, // POSTs of an offer
    session: null, // URL of the newest session
    frames: [], // [performance.now(), presentedFrames, number in the picture or -1]
    presented: 0, // frames presented, also those without a callback
    errors: [],
  };
  window.__probe = probe;
  window.addEventListener('error', (e) => probe.errors.push(String(e.message)));
  window.addEventListener('unhandledrejection', (e) => probe.errors.push(String(e.reason)));

  // Without a window, Chromium may let a page rest for two seconds that had nothing
  // new to draw, and its camera with it. No page that is looked at rests so: it is
  // kept awake until its connections are made.
  const AWAKE_MS = 2000;
  let awake = Infinity;
  const draw = () => { if (performance.now() < awake) requestAnimationFrame(draw); };
  const stayAwake = () => {
    const rests = awake < performance.now();
    awake = performance.now() + AWAKE_MS;
    if (rests) draw();
  };
  if (settings.light) draw();

  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      probe.started ??= performance.now();
      super(...args);
      if (settings.light) stayAwake();
      probe.connections.push(this);
    }
  };

  const fetched = window.fetch.bind(window);
  window.fetch = async (resource, init = {}) => {
    const offer = init.method === 'POST' && /^v=0/.test(init.body ?? '');
    if (offer) {
      probe.posts++;
      if (settings.passive) init = { ...init, body: init.body.replaceAll('a=setup:actpass', 'a=setup:passive') };
    }
    const response = await fetched(resource, init);
    const location = response.headers.get('Location');
    if (offer && location) probe.session = new URL(location, response.url).href;
    return response;
  };

  // ---- frames ---------------------------------------------------------------

  const canvas = new OffscreenCanvas(1, 1);
  let brush = null;

  // The number that the publisher wrote into the picture, -1 when there is none.
  const number = (video) => {
    if (!settings.bits) return -1;
    const cells = settings.bits + 4;
    if (!brush) {
      canvas.width = cells * settings.cell;
      canvas.height = settings.cell;
      brush = canvas.getContext('2d', { willReadFrequently: true });
    }
    brush.drawImage(video, 0, 0);
    const row = brush.getImageData(0, settings.cell / 2, canvas.width, 1).data;
    const bits = Array.from({ length: cells }, (_, i) => row[(i + 0.5) * settings.cell * 4] > 127);
    if (bits[0] || !bits[1] || !bits[cells - 2] || bits[cells - 1]) return -1;
    return bits.slice(2, -2).reduce((n, bit, i) => n + (bit ? 2 ** i : 0), 0);
  };

  const pictures = new Map(); // of every video that was ever there
  const watched = new WeakSet();
  const watch = (video) => {
    if (watched.has(video)) return;
    watched.add(video);
    const seen = { frames: 0, moving: 0 };
    pictures.set(video, seen);
    let before = null; // what was presented of another stream
    const onFrame = (now, meta) => {
      before ??= meta.presentedFrames - 1;
      seen.frames = meta.presentedFrames - before;
      if (seen.frames > 1) seen.moving ||= performance.timeOrigin + performance.now();
      probe.presented = meta.presentedFrames;
      probe.frames.push([performance.now(), meta.presentedFrames, number(video)]);
      if (probe.frames.length > 4000) probe.frames.splice(0, 1000);
      // Many videos with a callback each keep a page busier than showing them does.
      if (!settings.light || !seen.moving) video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  };
  new MutationObserver(() => document.querySelectorAll('video').forEach(watch))
    .observe(document, { childList: true, subtree: true });

  // ---- what tests call --------------------------------------------------------

  const newest = () => probe.connections.at(-1);

  // All there is to know of the newest connection and its frames.
  probe.report = async () => {
    const stats = newest() ? [...(await newest().getStats()).values()] : [];
    const codec = (s) => stats.find((c) => c.id === s.codecId)?.mimeType ?? '';
    const rtp = (type) => stats.filter((s) => s.type === type).map((s) => ({ ...s, codec: codec(s) }));
    return {
      now: performance.now(),
      origin: performance.timeOrigin,
      state: newest()?.connectionState ?? 'none',
      started: probe.started ?? -1,
      firstFrame: probe.frames[0]?.[0] ?? -1,
      presented: probe.presented,
      callbacks: probe.frames.length,
      posts: probe.posts,
      connections: probe.connections.length,
      session: probe.session ?? '',
      errors: probe.errors,
      inbound: rtp('inbound-rtp'),
      outbound: rtp('outbound-rtp'),
      answer: newest()?.currentRemoteDescription?.sdp ?? '',
      offer: newest()?.currentLocalDescription?.sdp ?? '',
    };
  };

  // The videos of others, in the order of the page.
  probe.pictures = () => [...document.querySelectorAll('video')].filter((video) => !video.muted)
    .map((video) => ({ ...pictures.get(video), ...(settings.light ? { frames: video.getVideoPlaybackQuality().totalVideoFrames } : {}) }));

  // An ICE restart by PATCH as RFC 9725 section 4.3.3 has it.
  probe.restart = async () => {
    const pc = newest();
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    const local = pc.localDescription.sdp;
    const line = (sdp, name) => new RegExp(`^a=${name}:.*$`, 'm').exec(sdp)[0].trim();
    const response = await fetched(probe.session, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' },
      body: `${line(local, 'ice-ufrag')}\r\n${line(local, 'ice-pwd')}\r\n${/^m=.*$/m.exec(local)[0].trim()}\r\n${line(local, 'mid')}\r\n`,
    });
    const fragment = await response.text();
    if (response.status !== 200) throw new Error(`PATCH gave ${response.status}: ${fragment}`);
    const candidates = [...fragment.matchAll(/^a=candidate:.*$/gm)].map((m) => m[0].trim());
    const answer = pc.remoteDescription.sdp
      .replace(/^a=ice-ufrag:.*$/gm, line(fragment, 'ice-ufrag'))
      .replace(/^a=ice-pwd:.*$/gm, line(fragment, 'ice-pwd'))
      .replace(/^(a=candidate:.*|a=end-of-candidates)\r?\n/gm, "");
    const end = /^a=mid:.*\r?\n/m.exec(answer);
    const at = end.index + end[0].length;
    await pc.setRemoteDescription({ type: 'answer', sdp: answer.slice(0, at) + candidates.map((c) => `${c}\r\n`).join('') + answer.slice(at) });
  };
})();
