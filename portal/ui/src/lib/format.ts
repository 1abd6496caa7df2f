// Times, sizes and lists as people read them, in the browser's own zone.

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** Unix seconds. */
export const when = (seconds?: number | null) => (seconds ? dateTime.format(seconds * 1000) : '');
/** Unix milliseconds. */
export const moment = (millis: number) => exact.format(millis);

/** `3 minutes ago`, `in 2 hours`. */
export function ago(seconds?: number | null, now = Date.now()): string {
  if (!seconds) return '';
  const away = seconds - now / 1000;
  const step = STEPS.find(([least]) => Math.abs(away) >= least);
  return step ? relative.format(Math.trunc(away / step[1]), step[2]) : 'just now';
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' });
/** From how many seconds on, in what unit, and of how many seconds that is. */
const STEPS: [number, number, Intl.RelativeTimeFormatUnit][] = [[86400 * 2, 86400, 'day'], [3600, 3600, 'hour'], [60, 60, 'minute'], [10, 1, 'second']];

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(Math.floor(Math.log2(Math.max(count, 1)) / 10), units.length - 1);
  const value = count / 1024 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

/** `1:05` or `1:02:03`. */
export function clock(millis: number): string {
  const total = Math.max(0, Math.floor(millis / 1000));
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** With a capital and a full stop. */
export function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** `a, b  c` as a list. */
export const words = (text: string) => text.split(/[\s,]+/).filter(Boolean);

/** The lines that hold something. */
export const lines = (text: string) => text.split('\n').map((line) => line.trim()).filter(Boolean);

/** `env=prod, team=web` as tags. */
export const tags = (text: string): Record<string, string> => pairs(text.replaceAll(',', '\n'), '=');

/** `name: value` and the like, a line each. */
export function pairs(text: string, between: string): Record<string, string> {
  return Object.fromEntries(lines(text).map((line) => {
    const at = line.indexOf(between);
    return at < 0 ? [line, ''] : [line.slice(0, at).trim(), line.slice(at + between.length).trim()];
  }));
}

export const tagText = (all: Record<string, string> = {}) =>
  Object.entries(all).map(([key, value]) => `${key}=${value}`).join(', ');

/** Text in a file of the user's. */
export function download(name: string, content: string | Uint8Array<ArrayBuffer>) {
  const url = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** RFC 3339 as a field for local times takes it. */
export function localTime(text?: string | null): string {
  const at = text ? new Date(text) : undefined;
  if (!at || Number.isNaN(at.getTime())) return '';
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** What such a field holds, in RFC 3339; as it was before where it says the same. */
export function utcTime(local: string, before?: string | null): string | null {
  if (!local) return null;
  if (before && localTime(before) === (local.length === 16 ? `${local}:00` : local)) return before;
  return `${new Date(local).toISOString().slice(0, 19)}Z`;
}
