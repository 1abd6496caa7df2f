// A recorded desktop that is shown: one line after the other, and what the relay says of where it is.
import { get, part, post, Refusal } from '../lib/api';
import type { Playback as State, Problem, RecordingEvent, RecordingPage, SteerPlayback } from '../lib/schema';
import { Backend, enableCredssp, load, type Session } from './rdp';

export type About = Extract<RecordingEvent, { what: 'session' }>;

export class Playback {
  about = $state.raw<About>();
  problem = $state.raw<Problem>();
  state = $state.raw<State>();
  /** Whether the canvas shows something. */
  shows = $state(false);
  private id = '';
  private session?: Session | undefined;
  private opening = false;
  private asking = false;
  /** Grows with every line: what an older one says later does not count. */
  private number = 0;

  constructor(private readonly recording: string, private readonly canvas: () => HTMLCanvasElement | undefined) {}

  /** Shows it from its beginning; while the session goes on, as it goes on. */
  async open(wanted: SteerPlayback = {}) {
    const canvas = this.canvas();
    if (this.opening || !canvas) return;
    this.opening = true;
    const number = ++this.number;
    try {
      if (!this.about) await this.meet();
      await load();
      this.id = crypto.randomUUID();
      const session = await this.builder(canvas).connect();
      this.session = session;
      this.problem = undefined;
      this.shows = true;
      void session.run().catch(() => undefined).then(() => this.ended(number));
      if (Object.keys(wanted).length > 0) await this.steer(wanted);
    } catch (error) {
      if (error instanceof Refusal) this.problem = error.problem;
      else this.problem = lost();
    } finally {
      this.opening = false;
    }
  }

  /** Does what somebody wants with it; without a wish it is asked how it is. */
  async steer(wanted: SteerPlayback = {}) {
    const idle = Object.keys(wanted).length === 0;
    if (idle && (this.asking || this.opening || !this.session)) return;
    this.asking = true;
    try {
      this.state = await post<State>(`playbacks/${part(this.id)}`, wanted);
    } catch (error) {
      // Nobody asked for too long, or the network broke: it goes on where it was.
      if (error instanceof Refusal && error.problem.status === 404) this.session = undefined;
      if (!idle && !this.session) await this.open({ ...this.place(), ...wanted });
    } finally {
      this.asking = false;
    }
  }

  close() {
    this.number++;
    this.session?.shutdown();
    this.session = undefined;
  }

  /** Whose session it is. That somebody looks is recorded with it. */
  private async meet() {
    const page = await get<RecordingPage>(`sessions/${part(this.recording)}/recording`);
    this.about = page.events.find((event) => event.what === 'session');
  }

  private ended(number: number) {
    if (number !== this.number) return;
    this.session = undefined;
    if (this.state) this.state = { ...this.state, playing: false, follows: false };
    else this.problem = lost();
  }

  private place(): SteerPlayback {
    const { at_ms, speed, skip_idle } = this.state ?? {};
    return { at_ms: at_ms ?? 0, speed: speed ?? 1, skip_idle: skip_idle ?? true };
  }

  private builder(canvas: HTMLCanvasElement) {
    const address = new URL(`api/v1/sessions/${part(this.recording)}/desktop?playback=${this.id}`, document.baseURI);
    address.protocol = 'wss:';
    return new Backend.SessionBuilder()
      .proxyAddress(address.href)
      // The relay knows whom it shows this to.
      .authToken('-')
      .destination('recording')
      .username('')
      .password('')
      .serverDomain('')
      .desktopSize(new Backend.DesktopSize(1024, 768))
      .renderCanvas(canvas)
      .setCursorStyleCallbackContext(null)
      .setCursorStyleCallback(() => undefined)
      .extension(enableCredssp(false));
  }
}

const lost = (): Problem => ({ code: 'recording.not_found', title: '', detail: 'this recording can not be shown', hint: 'it may be of another kind, or have no picture; the relay’s log says more', request_id: '', status: 0 });
