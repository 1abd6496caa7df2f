// Text between this machine's clipboard and a desktop's, as far as the grant lets it.
import type { DesktopTicket } from '../lib/schema';
import { Backend, type Clip, type Session } from './rdp';

type Way = DesktopTicket['clipboard'];

export const toTarget = (way: Way) => way === 'both' || way === 'to-target';
export const fromTarget = (way: Way) => way === 'both' || way === 'from-target';

/** Hands text to the desktop's clipboard. */
export async function give(session: Session | undefined, text: string) {
  const clip = new Backend.ClipboardData();
  if (text) clip.addText('text/plain', text);
  await session?.onClipboardPaste(clip);
}

/** The text among what the desktop has copied. */
export function taken(clip: Clip): string | undefined {
  const item = clip.items().find((one) => one.mimeType() === 'text/plain');
  const value: unknown = item?.value();
  return typeof value === 'string' ? value : undefined;
}

/** What this machine's clipboard holds, where nobody has to be asked for it first. */
export async function own(): Promise<string | undefined> {
  try {
    const name = 'clipboard-read' as PermissionName;
    const { state } = await navigator.permissions.query({ name });
    return state === 'granted' ? await navigator.clipboard.readText() : undefined;
  } catch {
    // A browser that does not know this question, or a page that is not looked at.
    return undefined;
  }
}
