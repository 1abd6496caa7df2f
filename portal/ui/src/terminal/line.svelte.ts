// The line of one terminal: a WebSocket to the relay, which comes back to the same session where it
// broke. What goes over it: docs/portal.md.

/** What is kept of a terminal while this page is loaded anew. */
export interface Kept {
  application: string;
  login: string;
  terminal?: string;
  /** Of which one lets this browser back in, once: which, it may not have heard. */
  secrets: string[];
}

export interface End {
  code: string;
  reason: string;
  status?: number;
}

/** What shows the terminal. */
export interface Shows {
  size: () => { columns: number; rows: number };
  /** `stale`: questions in it were put to somebody else. */
  write: (bytes: Uint8Array, stale: boolean) => Promise<void>;
  reset: () => void;
  changed: () => void;
}

interface Opened {
  terminal: string;
  session: string;
  grace: number;
  from: number;
  until: number;
  reset: boolean;
}

type Told = { opened: Opened } | { pong: number } | { files: object } | { end: End };

export class Line {
  state = $state<'opening' | 'open' | 'away' | 'over'>('opening');
  /** Milliseconds to the relay and back. */
  latency = $state<number>();
  end = $state.raw<End>();
  session = $state('');

  #socket: WebSocket | undefined;
  /** How many bytes came, and how many were shown. */
  #seen = 0;
  #told = 0;
  /** What lets this browser in the next time, if the relay has heard it. */
  #next = '';
  /** Bytes up to here were said to a page before this one. */
  #stale = 0;
  #tries = 0;
  #awaySince = 0;
  #grace = 60;
  #fresh = true;
  #timers = new Set<number>();
  /** Who waits until a line for files may be opened. */
  #files: { heard: () => void; broke: (error: Error) => void }[] = [];

  constructor(readonly kept: Kept, readonly shows: Shows) {}

  open() {
    if (this.state === 'over') return;
    const socket = new WebSocket(address());
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onopen = () => this.#ask(socket);
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (socket !== this.#socket) return;
      if (typeof data === 'string') this.#hear(JSON.parse(data) as Told);
      else void this.#show(new Uint8Array(data));
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#broke();
    };
  }

  /** Types; what is typed while the line is broken is lost, and the page says that it is. */
  type(bytes: Uint8Array) {
    if (this.state !== 'open') return;
    for (let at = 0; at < bytes.length; at += PIECE) this.#socket?.send(bytes.subarray(at, at + PIECE) as Uint8Array<ArrayBuffer>);
  }

  resize(columns: number, rows: number) {
    this.#say({ resize: { columns, rows } });
  }

  /** The person is done: the session ends. */
  close() {
    if (this.state === 'open') this.#say({ close: {} });
    else this.#over({ code: 'session.closed', reason: 'the session is over' });
  }

  /** The page goes away; the session waits for it. */
  leave() {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
    this.#timers.forEach(clearTimeout);
  }

  /** What lets a line for files in. */
  async ticket(): Promise<{ terminal: string; secret: string }> {
    if (this.state !== 'open') throw new Error(UNCONNECTED);
    const announced = secret();
    const answer = new Promise<void>((heard, broke) => this.#files.push({ heard, broke }));
    this.#say({ files: { secret: announced } });
    await answer;
    return { terminal: this.kept.terminal ?? '', secret: announced };
  }

  #ask(socket: WebSocket) {
    const next = secret();
    const { application, login, terminal, secrets } = this.kept;
    const size = this.shows.size();
    if (terminal && secrets[0]) socket.send(JSON.stringify({ resume: { terminal, secret: secrets[0], next, seen: this.#seen, ...size } }));
    else socket.send(JSON.stringify({ open: { application, login, next, ...size } }));
    // The relay may take it though this page never hears so.
    this.kept.secrets = [next, ...secrets].slice(0, SECRETS);
    this.#next = next;
    this.shows.changed();
  }

  #hear(told: Told) {
    if ('opened' in told) this.#opened(told.opened);
    else if ('pong' in told) this.latency = Math.max(0, Math.round(performance.now() - told.pong));
    else if ('files' in told) this.#files.splice(0).forEach(({ heard }) => heard());
    else this.#ended(told.end);
  }

  #opened(opened: Opened) {
    const { terminal, session, grace, from, until, reset } = opened;
    if (reset) this.shows.reset();
    if (this.#fresh) this.#stale = until;
    this.#fresh = false;
    Object.assign(this.kept, { terminal, secrets: [this.#next] });
    [this.#seen, this.#told, this.#tries, this.#awaySince, this.#grace] = [from, from, 0, 0, grace];
    this.session = session;
    this.state = 'open';
    this.shows.changed();
    this.#ping(this.#socket);
  }

  async #show(bytes: Uint8Array) {
    const stale = this.#seen < this.#stale;
    this.#seen += bytes.length;
    const seen = this.#seen;
    await this.shows.write(bytes, stale);
    if (seen - this.#told >= TELL) {
      this.#told = seen;
      this.#say({ seen });
    }
  }

  #ended(end: End) {
    // The relay knows an older secret, or the session is over indeed. The newest was not taken now,
    // and the one after it did not let in.
    if (end.code === 'terminal.gone' && this.kept.secrets.length > 2) {
      this.kept.secrets = this.kept.secrets.slice(2);
      const socket = this.#socket;
      this.#socket = undefined;
      socket?.close();
      this.open();
      return;
    }
    this.#over(end);
  }

  #over(end: End) {
    this.end = end;
    this.state = 'over';
    this.kept.terminal = undefined;
    this.leave();
    this.shows.changed();
  }

  #broke() {
    this.#socket = undefined;
    this.latency = undefined;
    this.#files.splice(0).forEach(({ broke }) => broke(new Error(UNCONNECTED)));
    if (this.state === 'over') return;
    if (!this.kept.terminal) {
      return this.#over({ code: 'relay.failed', reason: 'the relay does not answer, or you are not signed in any more' });
    }
    this.#awaySince ||= Date.now();
    this.state = 'away';
    if (Date.now() - this.#awaySince > (this.#grace + 5) * 1000) {
      return this.#over({ code: 'terminal.gone', reason: 'the line was broken for too long' });
    }
    this.#later(() => this.open(), Math.min(500 * 2 ** this.#tries++, 5000));
  }

  #ping(socket?: WebSocket) {
    if (!socket || socket !== this.#socket) return;
    this.#say({ ping: performance.now() });
    this.#later(() => this.#ping(socket), PING);
  }

  #later(act: () => void, after: number) {
    const timer = window.setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, after);
    this.#timers.add(timer);
  }

  #say(order: object) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(order));
  }
}

/** Where terminals are opened; below whatever path the portal stands. */
export function address(): URL {
  const url = new URL('api/v1/me/terminal', document.baseURI);
  url.protocol = 'wss:';
  return url;
}

function secret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const UNCONNECTED = 'the terminal is not connected';
const PIECE = 16 * 1024;
/** Shown bytes after which the relay is told. */
const TELL = 64 * 1024;
const PING = 5000;
const SECRETS = 4;
