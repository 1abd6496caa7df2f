// What taking something away ends, in words, before it is taken away.
import { all } from './api';
import type { SessionRow } from './schema';

/** `2 open sessions end at once: alice at web1.hq, bob at web1.hq.` */
export async function sessionsOf(pick: (row: SessionRow) => boolean): Promise<string> {
  const rows = (await all<SessionRow>('sessions')).filter(pick);
  if (rows.length === 0) return 'No open session ends with it.';
  const named = rows.slice(0, 5).map((row) => `${row.user} at ${row.application}.${row.site}`);
  const more = rows.length > 5 ? ' and others' : '';
  const count = rows.length === 1 ? '1 open session ends' : `${rows.length} open sessions end`;
  return `${count} at once: ${named.join(', ')}${more}.`;
}

/** As {@link sessionsOf}, after what else there is to say. */
export async function also(first: string, pick: (row: SessionRow) => boolean): Promise<string> {
  return `${first} ${await sessionsOf(pick)}`;
}
