// A grant as a form has it, and as the API takes it.
import { lines, localTime, utcTime, words } from '../lib/format';
import type { Allowed, Clipboard, GrantSpec, GrantSpecInput, Level, Recording, Sftp, SshTerms } from '../lib/schema';

/** What follows another term where nothing is said. */
type Either = '' | 'yes' | 'no';

export interface Draft {
  who: string;
  what: string;
  logins: string;
  sources: string;
  hours: string;
  zone: string;
  maxSession: string;
  idle: string;
  from: string;
  until: string;
  forwarding: boolean;
  fileTransfer: boolean;
  recording: Recording;
  signedIn: boolean;
  level: '' | Level;
  databases: string;
  clipboard: Clipboard;
  printer: boolean;
  audio: boolean;
  ways: string;
  shell: boolean;
  exec: string;
  sftp: '' | Sftp;
  scp: Either;
  local: string;
  remote: Either;
  agent: Either;
  x11: boolean;
  sockets: boolean;
  environment: string;
  hashes: boolean;
}

/** `user:alice`, `group:dba` and `app:web1.hq`, `tag:env=prod`: one choice of two kinds. */
export function draft(before?: GrantSpec): Draft {
  const ssh = before?.ssh ?? {};
  return {
    who: before?.user ? `user:${before.user}` : before?.group ? `group:${before.group}` : '',
    what: before?.application ? `app:${before.application}` : before?.tag ? `tag:${before.tag}` : '',
    logins: (before?.logins ?? []).join(', '),
    sources: (before?.sources ?? []).join(', '),
    hours: (before?.hours ?? []).join(', '),
    zone: before?.zone ?? '',
    maxSession: before?.max_session ?? '',
    idle: before?.idle ?? '',
    from: localTime(before?.valid_from),
    until: localTime(before?.valid_until),
    forwarding: before?.forwarding ?? false,
    fileTransfer: before?.file_transfer ?? true,
    recording: before?.recording ?? 'off',
    signedIn: before?.require_active_session ?? false,
    level: before?.level ?? '',
    databases: (before?.databases ?? []).join(', '),
    clipboard: before?.clipboard ?? 'both',
    printer: before?.printer ?? true,
    audio: before?.audio ?? true,
    ways: (ssh.authentication ?? []).join('\n'),
    shell: ssh.shell ?? true,
    exec: listed(ssh.exec ?? 'all'),
    sftp: ssh.sftp ?? '',
    scp: either(ssh.scp),
    local: listed(ssh.local),
    remote: either(ssh.remote),
    agent: either(ssh.agent),
    x11: ssh.x11 ?? false,
    sockets: ssh.streamlocal ?? false,
    environment: listed(ssh.environment ?? 'all'),
    hashes: ssh.file_hashes ?? false,
  };
}

/** What the form does not show stays as it was. */
export function spec(form: Draft, before?: GrantSpec): GrantSpecInput {
  const hours = form.hours.split(',').map((one) => one.trim()).filter(Boolean);
  return {
    ...before,
    ...named(form),
    logins: some(words(form.logins), before?.logins),
    sources: some(words(form.sources), before?.sources),
    hours: some(hours, before?.hours),
    zone: hours.length > 0 ? form.zone || Intl.DateTimeFormat().resolvedOptions().timeZone : before?.hours?.length === 0 ? before.zone ?? null : null,
    max_session: form.maxSession || null,
    idle: form.idle || null,
    valid_from: utcTime(form.from, before?.valid_from),
    valid_until: utcTime(form.until, before?.valid_until),
    forwarding: form.forwarding,
    file_transfer: form.fileTransfer,
    recording: form.recording,
    require_active_session: form.signedIn,
    level: form.level || null,
    databases: some(words(form.databases), before?.databases),
    clipboard: form.clipboard,
    printer: form.printer,
    audio: form.audio,
    ssh: ssh(form, before?.ssh),
  };
}

function ssh(form: Draft, before?: SshTerms): SshTerms {
  return {
    ...before,
    authentication: some(lines(form.ways), before?.authentication),
    shell: form.shell,
    exec: allowed(form.exec) ?? 'all',
    sftp: form.sftp || null,
    scp: said(form.scp),
    local: allowed(form.local),
    remote: said(form.remote),
    agent: said(form.agent),
    x11: form.x11,
    streamlocal: form.sockets,
    environment: allowed(form.environment) ?? 'all',
    file_hashes: form.hashes,
  };
}

/** An empty field says nothing: anybody. Only a list that was empty before, which means nobody, stays so. */
const some = (list: string[], before?: string[] | null) => (list.length > 0 || before?.length === 0 ? list : null);
const either = (value?: boolean | null): Either => (value == null ? '' : value ? 'yes' : 'no');
const said = (value: Either) => (value === '' ? null : value === 'yes');
const listed = (value?: Allowed | null) => (value == null ? '' : typeof value === 'string' ? value : value.join('\n'));

function allowed(text: string): Allowed | null {
  const entries = lines(text);
  if (entries.length === 0) return null;
  const [only] = entries;
  return entries.length === 1 && (only === 'all' || only === 'none') ? only : entries;
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
    [grant.clipboard && grant.clipboard !== 'both', `clipboard ${grant.clipboard}`],
    [grant.printer === false, 'no printer'],
    [grant.audio === false, 'no audio'],
    ...sshTerms(grant.ssh ?? {}),
  ];
  return all.filter(([there]) => there).map(([, text]) => text);
}

const sshTerms = (ssh: SshTerms): [unknown, string][] => [
  [ssh.authentication?.length, `signs in by ${ssh.authentication?.join(' or ')}`],
  [ssh.shell === false, 'no shell'],
  [ssh.exec && ssh.exec !== 'all', ssh.exec === 'none' ? 'no commands' : 'listed commands'],
  [ssh.sftp, `sftp ${ssh.sftp}`],
  [ssh.local, ssh.local === 'none' ? 'no ports' : ssh.local === 'all' ? 'any port' : `ports to ${[ssh.local].flat().join(', ')}`],
  [ssh.x11, 'X11'],
  [ssh.streamlocal, 'sockets'],
  [ssh.environment && ssh.environment !== 'all', 'listed variables'],
  [ssh.file_hashes, 'hashes of files'],
];
