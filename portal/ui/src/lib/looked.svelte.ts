import { Refusal } from './api';
import { live } from './live';
import type { Problem } from './schema';

/** What the relay says, asked again every so often for as long as the component is there that makes this. */
export class Looked<Found> {
  found = $state.raw<Found>();
  problem = $state.raw<Problem>();

  constructor(readonly ask: () => Promise<Found>, every: number) {
    this.look();
    $effect(() => live(this.look, every));
  }

  look = async () => {
    try {
      this.found = await this.ask();
      this.problem = undefined;
    } catch (error) {
      if (error instanceof Refusal) this.problem = error.problem;
    }
  };
}
