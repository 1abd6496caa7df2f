import { Refusal } from './api';
import type { Problem } from './schema';

/** Part of a log, and what the part before it begins with; nothing: there is none. */
export interface Part<Row, At> {
  rows: Row[];
  next?: At | null;
}

/** A log as it is read: the last rows first, and those before them when somebody wants them. */
export class Log<Row, At = string> {
  rows = $state.raw<Row[]>([]);
  next = $state<At | null>();
  problem = $state.raw<Problem>();
  busy = $state(false);
  known = $state(false);

  constructor(readonly part: (before?: At) => Promise<Part<Row, At>>) {}

  /** From the last row on. */
  look = () => this.#ask(undefined);

  more = () => this.#ask(this.next ?? undefined);

  async #ask(before: At | undefined) {
    this.busy = true;
    try {
      const { rows, next } = await this.part(before);
      this.rows = before ? [...this.rows, ...rows] : rows;
      this.next = next;
      this.problem = undefined;
    } catch (error) {
      if (error instanceof Refusal) this.problem = error.problem;
    } finally {
      this.busy = false;
      this.known = true;
    }
  }
}
