// A grant as a form has it, and as the API takes it.
import { words } from '../lib/format';
import type { GrantSpec, GrantSpecInput } from '../lib/schema';

export interface Draft {
  who: string;
  what: string;
  logins: string;
  sources: string;
  hours: string;
  zone: string;
  maxSession: string;
  idle: string;
  until: string;
  forwarding: boolean;
  fileTransfer: boolean;
  recording: boolean;
  signedIn: boolean;
}

/** `user:alice`, `group:dba` and `app:web1.hq`, `tag:env=prod`: one choice of two kinds. */
export function draft(before?: GrantSpec): Draft {
  return {
    who: before?.user ? `user:${before.user}` : before?.group ? `group:${before.group}` : '',
    what: before?.application ? `app:${before.application}` : before?.tag ? `tag:${before.tag}` : '',
    logins: (before?.logins ?? []).join(', '),
    sources: (before?.sources ?? []).join(', '),
    hours: (before?.hours ?? []).join(', '),
    zone: before?.zone ?? '',
    maxSession: before?.max_session ?? '',
    idle: before?.idle ?? '',
    until: before?.valid_until ?? '',
    forwarding: before?.forwarding ?? false,
    fileTransfer: before?.file_transfer ?? true,
    recording: (before?.recording ?? 'off') !== 'off',
    signedIn: before?.require_active_session ?? false,
  };
}

/** What the form does not show stays as it was. */
export function spec(form: Draft, before?: GrantSpec): GrantSpecInput {
  const hours = form.hours.split(',').map((one) => one.trim()).filter(Boolean);
  return {
    ...before,
    ...named(form),
    logins: words(form.logins),
    sources: words(form.sources),
    hours,
    zone: hours.length > 0 ? form.zone || Intl.DateTimeFormat().resolvedOptions().timeZone : null,
    max_session: form.maxSession || null,
    idle: form.idle || null,
    valid_until: form.until || null,
    forwarding: form.forwarding,
    file_transfer: form.fileTransfer,
    recording: !form.recording ? 'off' : before?.recording === 'with-input' ? 'with-input' : 'required',
    require_active_session: form.signedIn,
  };
}

function named({ who, what }: Draft): Partial<GrantSpecInput> {
  const [whose = '', name = ''] = who.split(/:(.*)/s);
  const [kind = '', target = ''] = what.split(/:(.*)/s);
  return { [whose]: name, [kind === 'app' ? 'application' : 'tag']: target };
}

/** Its terms in few words. */
export function terms(grant: GrantSpec): string[] {
  const all: [unknown, string][] = [
    [grant.logins?.length, `as ${grant.logins?.join(', ')}`],
    [grant.sources?.length, `from ${grant.sources?.join(', ')}`],
    [grant.hours?.length, `${grant.hours?.join(', ')} ${grant.zone ?? ''}`.trim()],
    [grant.max_session, `${grant.max_session} at most`],
    [grant.idle, `ends after ${grant.idle} idle`],
    [grant.valid_from, `from ${grant.valid_from}`],
    [grant.valid_until, `until ${grant.valid_until}`],
    [grant.forwarding, 'forwarding'],
    [grant.file_transfer === false, 'no file transfer'],
    [grant.recording === 'required', 'recorded'],
    [grant.recording === 'with-input', 'recorded with input'],
    [grant.require_active_session, 'while signed in'],
    [grant.level, `level ${grant.level}`],
    [grant.databases?.length, `databases ${grant.databases?.join(', ')}`],
    [grant.clipboard && grant.clipboard !== 'off', `clipboard ${grant.clipboard}`],
  ];
  return all.filter(([there]) => there).map(([, text]) => text);
}
