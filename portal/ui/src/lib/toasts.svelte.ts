import type { Removed } from './schema';

/** What was done, for a moment. */
export const toasts = $state<{ list: { id: number; text: string }[] }>({ list: [] });
let last = 0;

export function say(text: string) {
  const id = ++last;
  toasts.list.push({ id, text });
  setTimeout(() => {
    toasts.list = toasts.list.filter((toast) => toast.id !== id);
  }, 6000);
}

/** What the relay says that a change has ended. */
export function receipt(what: string, removed: Partial<Removed>) {
  const { ended = 0, millis = 0 } = removed;
  const sessions = ended === 1 ? '1 session ended' : `${ended} sessions ended`;
  say(ended > 0 ? `${what}. ${sessions}, within ${millis} ms.` : `${what}.`);
}
