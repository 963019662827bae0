/**
 * Follows one RTCPeerConnection until it is lost, and mends it on the way.
 *
 * Three states are watched because each knows something first: the DTLS transport
 * is closed in the very second the gateway says goodbye (connectionState needs up to
 * 17 s for that), ICE tells of a network that went away, and connectionState sums up.
 * @module
 */
import { answerAfterRestart, restartFragment } from './sdp.js';

const CONNECT_MS = 15000; // from the answer to the first connection
const DISCONNECTED_MS = 2000; // ICE recovers from shorter breaks by itself
const RESTART_MS = 8000; // from the restart to the new connection

/**
 * @typedef {'ended' | 'unreachable' | 'encryption' | 'network' | 'stopped'} Cause
 */

/**
 * @param {RTCPeerConnection} pc with both descriptions set
 * @param {import('./session.js').Session} session
 * @param {object} options
 * @param {AbortSignal} options.signal gives up with cause "stopped"
 * @param {() => void} options.onUp connected, for the first time or again
 * @param {() => void} options.onTrouble the network went away, being mended
 * @param {() => void} [options.onChange] any of the three states changed
 * @returns {Promise<Cause>} when it is lost for good
 */
export function watch(pc, session, { signal, onUp, onTrouble, onChange = () => {} }) {
  return new Promise((resolve) => {
    const dtls = [...pc.getReceivers(), ...pc.getSenders()].map((end) => end.transport).find((t) => t) ?? null;
    const listeners = new AbortController();
    let timer = setTimeout(() => end('unreachable'), CONNECT_MS);
    let up = false; // connected at this moment
    let wasUp = false; // connected at some time
    let restarting = false;

    /** @param {Cause} cause */
    function end(cause) {
      clearTimeout(timer);
      listeners.abort();
      resolve(cause);
    }

    function arm(ms, action) {
      clearTimeout(timer);
      timer = setTimeout(action, ms);
    }

    async function restart() {
      if (restarting || listeners.signal.aborted) return;
      restarting = true;
      arm(RESTART_MS, () => end('network'));
      try {
        // Nothing is set locally before the gateway agreed: a refused restart leaves
        // the session as it was (RFC 9725 section 4.3.3).
        const offer = await pc.createOffer({ iceRestart: true });
        const fragment = await session.restart(restartFragment(offer.sdp ?? ''));
        if (listeners.signal.aborted) return;
        const answer = answerAfterRestart(session.answer, fragment);
        await pc.setLocalDescription(offer);
        await pc.setRemoteDescription({ type: 'answer', sdp: answer });
        session.answer = answer;
      } catch {
        if (!up) end('network'); // the session is gone or the gateway is: start anew
      } finally {
        restarting = false;
      }
    }

    function look() {
      onChange();
      if (dtls?.state === 'closed') return end('ended');
      if (dtls?.state === 'failed') return end('encryption');
      const ice = pc.iceConnectionState;
      if (ice === 'failed') {
        if (!wasUp) return end('unreachable');
        if (!restarting) restart();
      } else if (pc.connectionState === 'failed') {
        return end(wasUp ? 'network' : 'encryption');
      } else if (ice === 'disconnected' && up) {
        up = false;
        onTrouble();
        arm(DISCONNECTED_MS, restart);
      } else if ((ice === 'connected' || ice === 'completed') && pc.connectionState === 'connected' && !up) {
        up = wasUp = true;
        clearTimeout(timer);
        onUp();
      }
      return undefined;
    }

    const options = { signal: listeners.signal };
    dtls?.addEventListener('statechange', look, options);
    pc.addEventListener('iceconnectionstatechange', look, options);
    pc.addEventListener('connectionstatechange', look, options);
    // A laptop that wakes up elsewhere need not wait for ICE to find out.
    window.addEventListener('online', () => { if (wasUp) restart(); }, options);
    signal.addEventListener('abort', () => end('stopped'), options);
    if (signal.aborted) end('stopped');
    else look();
  });
}
