// Favourites and what was opened lately: kept in this browser, for each user and relay. They say how
// somebody likes to look at things, which is nobody else's business and worth no row and no record.
import { session } from './session.svelte';

interface Kept {
  favourites: string[];
  recent: string[];
}

export const kept = $state<Kept>({ favourites: [], recent: [] });

export function recall() {
  try {
    const read = JSON.parse(localStorage.getItem(key()) ?? '{}') as Partial<Kept>;
    kept.favourites = list(read.favourites);
    kept.recent = list(read.recent);
  } catch {
    // What cannot be read is begun anew.
  }
}

export function toggleFavourite(reference: string) {
  const there = kept.favourites.includes(reference);
  kept.favourites = there ? kept.favourites.filter((one) => one !== reference) : [...kept.favourites, reference];
  keep();
}

export function opened(reference: string) {
  kept.recent = [reference, ...kept.recent.filter((one) => one !== reference)].slice(0, 6);
  keep();
}

const keep = () => localStorage.setItem(key(), JSON.stringify(kept));
const key = () => `adit.kept.${session.me?.user ?? ''}`;
const list = (value: unknown) => (Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []);
