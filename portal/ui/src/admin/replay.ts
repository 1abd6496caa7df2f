// A recording's events, on a time of their own: idle stretches can be left out.
import type { RecordingEvent } from '../lib/schema';

export type Shown = Extract<RecordingEvent, { what: 'began' | 'output' | 'resized' | 'ended' }>;

export interface Program {
  channel: number;
  at: number;
  label: string;
  columns: number;
  rows: number;
}

export class Reel {
  /** When each event is shown, in milliseconds of playing. */
  readonly times: number[];
  readonly length: number;

  constructor(readonly events: Shown[], skipIdle: boolean) {
    const most = skipIdle ? LONGEST_IDLE : Infinity;
    let [now, last] = [0, events[0]?.at_ms ?? 0];
    this.times = events.map(({ at_ms }) => {
      now += Math.min(Math.max(0, at_ms - last), most);
      last = at_ms;
      return now;
    });
    this.length = now;
  }

  /** How many events were shown by then. */
  until(time: number): number {
    const next = this.times.findIndex((at) => at > time);
    return next < 0 ? this.times.length : next;
  }

  /** The place of playing that a moment of the recording has. */
  placeOf(at_ms: number): number {
    const n = this.events.findIndex((event) => event.at_ms >= at_ms);
    return n < 0 ? this.length : (this.times[n] ?? 0);
  }
}

/** When a text was shown, whatever the case of its letters: in what was written one after another,
    without colours and the movements of the cursor. */
export function finds(reel: Reel, text: string): number[] {
  const wanted = text.toLowerCase();
  if (!wanted) return [];
  let all = '';
  const ends: number[] = [];
  for (const event of reel.events) {
    if (event.what === 'output') all += event.text.replace(ESCAPES, '').toLowerCase();
    ends.push(all.length);
  }
  const times = new Set<number>();
  for (let at = all.indexOf(wanted), n = 0; at >= 0 && times.size < MOST_FINDS; at = all.indexOf(wanted, at + 1)) {
    // The event that showed the last of it.
    while ((ends[n] ?? Infinity) < at + wanted.length) n++;
    times.add(reel.times[n] ?? reel.length);
  }
  return [...times];
}

/** What ran on a terminal. */
export function programs(events: Shown[]): Program[] {
  return events.flatMap((event) => {
    if (event.what !== 'began') return [];
    const { channel, at_ms, program, detail, terminal } = event;
    const label = `${program.replace(/^ssh\./, '')}${detail ? ` ${detail}` : ''}`;
    // A client that does not know its own size says 0.
    return [{ channel, at: at_ms, label, columns: terminal?.columns || 80, rows: terminal?.rows || 24 }];
  });
}

const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])|[\x00-\x09\x0b-\x1f]/g;
const MOST_FINDS = 10_000;
const LONGEST_IDLE = 1500;
