import { untrack } from 'svelte';
import { Refusal, get, type Query } from './api';
import type { Problem } from './schema';

/** A list of the API, of which more is asked for when somebody wants it. */
export class Pages<T> {
  items = $state.raw<T[]>([]);
  next = $state<string | null>();
  busy = $state(false);
  problem = $state.raw<Problem>();
  known = $state(false);
  #turn = 0;

  constructor(
    readonly path: string,
    readonly query: () => Query = () => ({}),
  ) {}

  /** From the beginning. What is shown stays until the answer is there. */
  load = async () => {
    // An effect that loads depends on what is asked for, and not on what came of it.
    const much = Math.max(PAGE, Math.min(untrack(() => this.items.length), MOST));
    await this.#ask(undefined, much, (_, items) => items);
  };

  more = async () => {
    if (this.next) await this.#ask(this.next, PAGE, (old, items) => [...old, ...items]);
  };

  async #ask(cursor: string | undefined, limit: number, join: (old: T[], items: T[]) => T[]) {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const page = await get<{ items: T[]; next?: string | null }>(this.path, { ...this.query(), cursor, limit });
      if (turn !== this.#turn) return;
      this.items = join(this.items, page.items);
      this.next = page.next;
      this.problem = undefined;
    } catch (error) {
      if (turn === this.#turn && error instanceof Refusal) this.problem = error.problem;
    } finally {
      if (turn === this.#turn) {
        this.busy = false;
        this.known = true;
      }
    }
  }
}

const PAGE = 50;
const MOST = 500;
