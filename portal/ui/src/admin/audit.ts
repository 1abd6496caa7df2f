import type { AuditRow } from '../lib/schema';

/** The fields that tell most of a record, in one line. */
export function inWords(row: AuditRow): string {
  const event = (row.event ?? {}) as Record<string, unknown>;
  const parts = FIRST.flatMap((field) => {
    const value = event[field];
    return value === undefined || value === null || value === '' ? [] : [String(value)];
  });
  return parts.join(' · ') || row.action;
}

const FIRST = ['actor', 'change', 'object', 'user', 'application', 'login', 'code', 'reason', 'detail', 'ended', 'name', 'state', 'from'];
