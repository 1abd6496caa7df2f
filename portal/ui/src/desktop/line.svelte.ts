// A desktop, from the wish for it to its end: one line after the other, as long as the person wants it
// and the relay does not say that it is over.
import { get, part, post, Refusal } from '../lib/api';
import type { DesktopRow, DesktopTicket, Problem } from '../lib/schema';
import { fromTarget, give, own, taken, toTarget } from './clipboard';
import { pointers } from './pointers';
import { Backend, type Clip, displayControl, enableCredssp, failure, load, overheard, type Session } from './rdp';

/** Where a person signs in themselves. Held here and nowhere else, as long as the page is there. */
export interface Login {
  user: string;
  domain: string;
  password: string;
}

interface Why {
  code: string;
  detail: string;
  hint?: string | null;
}

export interface Size {
  width: number;
  height: number;
}

export type Phase = 'asks' | 'opening' | 'open' | 'lost' | 'over';

interface Ways {
  canvas: () => HTMLCanvasElement | undefined;
  /** What there is room for. */
  size: () => Size;
  /** The layout of the keyboard; 0: the desktop's own. */
  layout: () => Promise<number>;
  /** It is there, and keys are its. */
  opened: () => void;
}

export class Line {
  phase = $state<Phase>('asks');
  /** Why it is over, or why the person is asked again. */
  problem = $state.raw<Problem>();
  ticket = $state.raw<DesktopTicket>();
  /** Text that the desktop has copied and this browser would not take unasked. */
  copied = $state<string>();
  /** Seconds until it is tried again. */
  wait = $state(0);
  session = $state.raw<Session>();
  private login?: Login;
  /** Whether the desktop has a clipboard, and has asked for this one. */
  private asked = false;
  private tries = 0;
  private timer = 0;
  private fitting = 0;
  /** What the host does about a size that it is asked for. */
  private host?: 'follows' | 'begins' | 'fixed';
  /** Grows with every line: what an older one says later does not count. */
  private number = 0;

  constructor(private readonly application: string, private readonly ways: Ways) {}

  /** Opens it. Without a login the relay signs in. */
  async open(login?: Login) {
    this.login = login;
    this.tries = 0;
    await this.begin();
  }

  /** Tries again at once. */
  async again() {
    clearInterval(this.timer);
    await this.begin();
  }

  /** The same desktop in a new line, for what a line says at its beginning only. */
  async anew() {
    this.number += 1;
    this.session?.shutdown();
    this.session = undefined;
    this.tries = 0;
    await this.begin();
  }

  /** The person is done. */
  close() {
    this.finish();
    this.session?.shutdown();
    this.session = undefined;
  }

  /** The person would rather sign in as somebody else. */
  ask() {
    this.login = undefined;
    this.problem = undefined;
    this.phase = 'asks';
  }

  resize() {
    if (this.phase !== 'open' || this.fits()) return;
    const { width, height } = this.ways.size();
    this.session?.resize(width, height, Math.round(devicePixelRatio * 100));
    clearTimeout(this.fitting);
    const number = this.number;
    this.fitting = setTimeout(() => { if (number === this.number) this.fit(); }, FIT);
  }

  /** Whether the picture is as large as there is room. */
  private fits() {
    const [canvas, { width, height }] = [this.ways.canvas(), this.ways.size()];
    return canvas?.width === width && canvas.height === height;
  }

  /** Hosts that do not change a desktop's size while it is shown may do it at its beginning. */
  private fit() {
    if (this.phase !== 'open' || this.host === 'fixed' || this.host === 'follows') return;
    if (this.fits()) this.host = 'follows';
    else void this.anew();
  }

  /**
   * Hands over what this machine's clipboard holds, if it may be looked at. Not before the desktop has
   * asked (MS-RDPECLIP 1.3.2.1): hosts hang up on who speaks on a channel that they have not opened.
   */
  async share() {
    if (!this.asked || !this.ticket || !toTarget(this.ticket.clipboard)) return;
    const text = await own();
    if (text !== undefined) await give(this.session, text);
  }

  private async begin() {
    const number = ++this.number;
    const current = () => number === this.number;
    this.phase = this.tries > 0 ? 'lost' : 'opening';
    this.problem = undefined;
    this.copied = undefined;
    this.asked = false;
    let ticket: DesktopTicket | undefined;
    let session: Session;
    const { width, height } = this.ways.size();
    try {
      await load();
      ticket = await post<DesktopTicket>('me/desktops', { application: this.application, layout: (await this.ways.layout()) || null });
      if (!current()) return;
      this.ticket = ticket;
      const builder = this.builder(ticket, { width, height });
      session = await overheard(pointers((cursor) => this.point(cursor)), () => builder.connect());
    } catch (error) {
      if (!current()) return;
      if (error instanceof Refusal) this.refused(error.problem);
      else if (this.wrong(error)) this.asks();
      else await this.ended(ticket, true);
      return;
    }
    if (!current()) return session.shutdown();
    const given = session.desktopSize();
    if (this.host !== 'follows') this.host = given.width === width && given.height === height ? 'begins' : 'fixed';
    await this.carry(session, ticket, number);
  }

  private async carry(session: Session, ticket: DesktopTicket, number: number) {
    this.opened(session);
    const watch = setInterval(() => this.look(ticket, number), LOOK);
    // However it ends: why, the relay knows better than the decoder.
    await session.run().catch(() => undefined);
    clearInterval(watch);
    if (number === this.number) await this.ended(ticket);
  }

  private builder(ticket: DesktopTicket, { width, height }: Size) {
    const canvas = this.ways.canvas();
    if (!canvas) throw new Error('there is no place for the desktop');
    const address = new URL('api/v1/me/desktop', document.baseURI);
    address.protocol = 'wss:';
    const builder = new Backend.SessionBuilder()
      .proxyAddress(address.href)
      .authToken(ticket.ticket)
      // Where the desktop is, the relay knows.
      .destination(this.application)
      .username(this.login?.user ?? ticket.account ?? '')
      .password(this.login?.password ?? '')
      .serverDomain(this.login?.domain ?? '')
      .desktopSize(new Backend.DesktopSize(width, height))
      .renderCanvas(canvas)
      .setCursorStyleCallbackContext(null)
      // It is made to ask for one, and tells it nothing.
      .setCursorStyleCallback(() => undefined)
      .extension(displayControl(true))
      // Where the relay signs in, nobody else does.
      .extension(enableCredssp(this.login !== undefined));
    if (ticket.clipboard === 'off') return builder;
    return builder
      .remoteClipboardChangedCallback((clip: Clip) => void this.took(clip))
      .forceClipboardUpdateCallback(() => void this.offer());
  }

  private point(cursor: string) {
    const canvas = this.ways.canvas();
    if (canvas) canvas.style.cursor = cursor;
  }

  private opened(session: Session) {
    this.session = session;
    this.tries = 0;
    this.phase = 'open';
    this.ways.opened();
  }

  /** What the desktop has copied goes to this machine's clipboard. */
  private async took(clip: Clip) {
    const text = taken(clip);
    if (text === undefined || !this.ticket || !fromTarget(this.ticket.clipboard)) return;
    try {
      await navigator.clipboard.writeText(text);
      this.copied = undefined;
    } catch {
      this.copied = text;
    }
  }

  /** The desktop wants to know what there is to paste, be it nothing. */
  private async offer() {
    this.asked = true;
    const may = this.ticket && toTarget(this.ticket.clipboard);
    await give(this.session, may ? ((await own()) ?? '') : '');
  }

  /** Whether the line still is what the relay has. A network that vanished says nothing by itself. */
  private async look(ticket: DesktopTicket | undefined, number: number) {
    const how = await this.how(ticket);
    if (number !== this.number || this.phase !== 'open') return;
    if (how === undefined) this.lost();
    else if (how.state === 'over') await this.ended(ticket);
  }

  private async how(ticket: DesktopTicket | undefined): Promise<DesktopRow | undefined> {
    if (!ticket) return undefined;
    try {
      return await get<DesktopRow>(`me/desktops/${part(ticket.id)}`);
    } catch (error) {
      const answered = error instanceof Refusal && error.problem.status !== 0;
      return answered ? { state: 'over', ...error.problem } : undefined;
    }
  }

  /** Finds out why, and tries again where that may help. */
  private async ended(ticket: DesktopTicket | undefined, early = false) {
    const number = ++this.number;
    this.session = undefined;
    let how = await this.how(ticket);
    for (let looks = 0; how && how.state !== 'over' && looks < 8; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      how = await this.how(ticket);
    }
    if (number !== this.number) return;
    // Some hosts hang up where others say what is wrong.
    if (early && this.login && how?.code === CLOSED) return this.asks();
    if (how === undefined || how.code === undefined || how.code === null || PASSING.includes(how.code)) return this.lost();
    const detail = how.code === CLOSED ? 'the desktop ended the connection' : (how.detail ?? '');
    this.finish({ code: how.code, detail, hint: how.hint });
  }

  private lost() {
    const number = ++this.number;
    this.session = undefined;
    if (this.tries >= MOST_TRIES) return this.finish({ code: 'session.broken', detail: 'the connection broke, and does not come back' });
    this.phase = 'lost';
    this.wait = Math.min(2 ** this.tries, 15);
    this.tries += 1;
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      if (number !== this.number) return clearInterval(this.timer);
      this.wait -= 1;
      if (this.wait <= 0) void this.again();
    }, 1000);
  }

  private refused(problem: Problem) {
    // Nobody answered.
    if (problem.status === 0 && this.tries > 0) this.lost();
    else this.finish(problem);
  }

  private wrong(error: unknown) {
    return this.login !== undefined && ['password', 'logon', 'denied'].includes(failure(error));
  }

  private asks() {
    this.number += 1;
    this.login = undefined;
    this.problem = told({ code: 'target.login_refused', detail: 'the user name or the password is wrong' });
    this.phase = 'asks';
  }

  /** Nothing went wrong where there is no reason. */
  private finish(why?: Why) {
    this.number += 1;
    clearInterval(this.timer);
    this.problem = why && told(why);
    this.phase = 'over';
  }
}

/** As a refusal of the API is shown; ends have codes of their own. */
const told = (why: Why) => ({ request_id: '', status: 0, title: '', ...why }) as Problem;

/** One side hung up, without a word of why. */
const CLOSED = 'session.closed';
/** Ends after which the same person has the same desktop again. */
const PASSING = ['session.broken', 'session.drained', 'relay.failed'];
const MOST_TRIES = 10;
/** For a host to change the size. */
const FIT = 2500;
/** Between two looks at how it is. */
const LOOK = 10_000;
