import type { Snippet } from 'svelte';

/** One column of a table: a text, or markup. */
export interface Column<T> {
  head: string;
  text?: (row: T) => string | number | null | undefined;
  cell?: Snippet<[T]>;
  class?: string;
}
