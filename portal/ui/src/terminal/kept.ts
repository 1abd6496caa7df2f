// The terminals of this browser tab, for when its page is loaded anew or left for another.
import type { Kept } from './line.svelte';

export function recall(): Kept[] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? '[]') as Kept[];
    return Array.isArray(kept) ? kept.filter((one) => typeof one.application === 'string' && one.terminal && Array.isArray(one.secrets)) : [];
  } catch {
    return [];
  }
}

export function keep(terminals: Kept[]) {
  sessionStorage.setItem(KEY, JSON.stringify(terminals.filter((one) => one.terminal)));
}

const KEY = 'adit.terminals';
