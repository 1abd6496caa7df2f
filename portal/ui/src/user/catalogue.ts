import type { MyApplication } from '../lib/schema';

/** `app.site` */
export const referenceOf = (one: MyApplication) => `${one.name}.${one.site}`;

/** Its name, with its site where another one has the name too. */
export function named(one: MyApplication, all: MyApplication[]): string {
  const alone = all.filter((other) => other.name === one.name).length < 2;
  return alone ? one.name : referenceOf(one);
}

/** Whether each word is somewhere in it. */
export function matches(one: MyApplication, search: string): boolean {
  const tags = Object.entries(one.tags ?? {}).map(([key, value]) => `${key}=${value}`);
  const text = [one.name, one.site, one.kind, ...tags].join(' ').toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** By the value of a tag; those without it last. */
export function folders(some: MyApplication[], key: string): [string, MyApplication[]][] {
  const by = new Map<string, MyApplication[]>();
  for (const one of some) {
    const value = one.tags?.[key] ?? '';
    by.set(value, [...(by.get(value) ?? []), one]);
  }
  const sorted = [...by].sort(([a], [b]) => Number(a === '') - Number(b === '') || a.localeCompare(b));
  return sorted.map(([value, list]) => [value || `Without ${key}`, list]);
}

export const KINDS = { ssh: 'SSH', rdp: 'Remote Desktop', tcp: 'TCP', postgres: 'PostgreSQL', mysql: 'MySQL', redis: 'Redis', web: 'Web' } as const;
