/**
 * Beside the pictures: what is written, and who is there.
 * @module
 */
import { authorOf } from './roster.js';
import { noteOf } from './tiles.js';
import { $, make, setText, show } from './ui.js';

const TABS = /** @type {const} */ (['chat', 'people']);

/** The panel with its two tabs. */
export class Panel {
  /** @type {'chat' | 'people' | ''} '' while it is closed */
  open = '';
  #unread = 0;
  /** @type {Set<string>} ids of the messages on the page */
  #written = new Set();
  #say;
  /** @type {HTMLElement | null} */
  #opener = null;

  /** @param {(text: string) => Promise<void>} say sends a message */
  constructor(say) {
    this.#say = say;
    for (const tab of TABS) {
      $(`open-${tab}`).addEventListener('click', () => (this.open === tab ? this.close() : this.show(tab, $(`open-${tab}`))));
      $(`tab-${tab}`).addEventListener('click', () => this.show(tab));
      $(`tab-${tab}`).addEventListener('keydown', (event) => this.#onTabKey(event, tab));
    }
    $('panel-close').addEventListener('click', () => this.close());
    $('panel').addEventListener('keydown', (event) => { if (event.key === 'Escape') this.close(); });
    $('write').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** @param {'chat' | 'people'} tab @param {HTMLElement} [opener] gets the focus back */
  show(tab, opener) {
    if (opener) this.#opener = opener;
    this.open = tab;
    if (tab === 'chat') this.#unread = 0;
    this.#draw();
    if (tab === 'chat') {
      scrollDown();
      $('text').focus({ preventScroll: true });
    } else $('tab-people').focus();
  }

  close() {
    const inside = $('panel').contains(document.activeElement);
    this.open = '';
    this.#draw();
    if (inside) this.#opener?.focus();
  }

  #draw() {
    show($('panel'), this.open !== '');
    for (const tab of TABS) {
      const chosen = this.open === tab;
      show($(tab), chosen);
      $(`tab-${tab}`).setAttribute('aria-selected', String(chosen));
      $(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
      $(`open-${tab}`).setAttribute('aria-expanded', String(chosen));
    }
    document.body.dataset.panel = this.open;
    show($('unread'), this.#unread > 0);
    setText($('unread'), this.#unread > 99 ? '99+' : String(this.#unread));
    setText($('open-chat').querySelector('.label'), this.#unread > 0 ? `Chat, ${this.#unread} new` : 'Chat');
  }

  /** @param {KeyboardEvent} event @param {'chat' | 'people'} tab */
  #onTabKey(event, tab) {
    if (!['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) return;
    event.preventDefault();
    const other = tab === 'chat' ? 'people' : 'chat';
    const to = event.key === 'Home' ? 'chat' : event.key === 'End' ? 'people' : other;
    this.show(to);
    $(`tab-${to}`).focus();
  }

  // ---- chat -------------------------------------------------------------------------

  async #send() {
    const text = $('text').value.trim();
    if (!text) return;
    const button = $('write').querySelector('button');
    button.disabled = true;
    show($('write-problem'), false);
    try {
      await this.#say(text);
      $('text').value = '';
    } catch (error) {
      setText($('write-problem'), `Not sent: ${error.status === 429 ? 'too many messages at once.' : error.title || 'the gateway does not answer.'}`);
      show($('write-problem'), true);
    } finally {
      button.disabled = false;
    }
  }

  /**
   * Shows the messages of the room. A snapshot after a break repeats some and may bring new ones.
   * @param {import('./roster.js').RoomEvent[]} messages
   * @param {(message: import('./roster.js').RoomEvent) => boolean} isOwn
   * @param {boolean} quiet history: nobody is told that it is new
   */
  messages(messages, isOwn, quiet) {
    const list = $('messages');
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    let added = 0;
    for (const message of messages) {
      if (this.#written.has(message.data.id)) continue;
      this.#written.add(message.data.id);
      list.append(row(message, isOwn(message)));
      if (!isOwn(message)) added++;
    }
    while (list.children.length > 300) list.firstElementChild?.remove();
    if (this.#written.size > 1000) this.#written = new Set([...this.#written].slice(-500));
    show($('chat-empty'), list.children.length === 0);
    if (added > 0 && this.open !== 'chat' && !quiet) this.#unread += added;
    this.#draw();
    if (atEnd) scrollDown();
  }

  // ---- people ------------------------------------------------------------------------

  /**
   * @param {{key: string, name: string, own: boolean, views: import('./tiles.js').View[], note: string}[]} people
   */
  people(people) {
    setText($('count'), String(people.length));
    setText($('tab-people'), `People (${people.length})`);
    const list = $('people-list');
    while (list.children.length > people.length) list.lastElementChild?.remove();
    people.forEach(({ name, own, views, note }, i) => {
      let item = /** @type {HTMLElement | undefined} */ (list.children[i]);
      if (!item) {
        item = make('li');
        item.append(make('span', 'person-name'), make('span', 'person-facts muted small'));
        list.append(item);
      }
      const camera = views.find((view) => view.kind === 'camera');
      const facts = [
        camera ? '' : 'sends nothing',
        camera && !camera.microphone ? 'microphone off' : '',
        camera && !camera.picture ? 'camera off' : '',
        camera ? noteOf(camera) : '',
        views.some((view) => view.kind === 'screen') ? 'shares a screen' : '',
        camera?.grade ? `connection: ${camera.grade.text.toLowerCase()}` : '',
        note,
      ].filter(Boolean);
      setText(/** @type {HTMLElement} */ (item.children[0]), own ? `${name} (you)` : name);
      setText(/** @type {HTMLElement} */ (item.children[1]), facts.join(', '));
    });
  }

  /** Before another call in the same page. */
  reset() {
    this.#written.clear();
    this.#unread = 0;
    this.open = '';
    $('messages').replaceChildren();
    this.#draw();
  }
}

function scrollDown() {
  $('messages').scrollTop = $('messages').scrollHeight;
}

/** @param {import('./roster.js').RoomEvent} message @param {boolean} own */
function row(message, own) {
  const item = make('li', own ? 'message own' : 'message');
  const head = make('p', 'message-head');
  const when = new Date(message.time);
  const time = make('time', 'muted', Number.isNaN(when.getTime()) ? '' : when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  time.setAttribute('datetime', message.time);
  head.append(make('strong', '', own ? 'You' : authorOf(message)), time);
  item.append(head, make('p', 'message-text', message.data.text));
  return item;
}
