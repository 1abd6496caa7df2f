// An application as a form has it, and as the API takes it.
import { lines, pairs, tags, tagText, words } from '../lib/format';
import type { ApplicationSpec, ApplicationSpecInput, DatabaseOptions, Kind, Level, Scheme, TlsMode, Version, WebOptions, WebService } from '../lib/schema';

export const PORTS: Record<Kind, string> = { ssh: '22', web: '443', postgres: '5432', mysql: '3306', redis: '6379', rdp: '3389', tcp: '' };

type How = 'transparent' | 'managed' | 'certificate' | 'levels' | 'roles';

const SSH: Partial<Record<How, string>> = {
  transparent: 'Users log in there themselves',
  managed: 'With an account whose key or password the relay keeps',
  certificate: 'With a certificate the relay signs for each session',
};
const DATABASE: Partial<Record<How, string>> = {
  transparent: 'Users log in there themselves, through a tunnel',
  managed: 'With one account whose password the relay keeps',
  levels: 'With an account for each level of access',
};
const DESKTOP: Partial<Record<How, string>> = {
  transparent: 'Users sign in there themselves',
  managed: 'With an account whose password the relay keeps',
};
/** How the target of each kind can be logged in to; those that are not here are not logged in to. */
export const LOGINS: Partial<Record<Kind, Partial<Record<How, string>>>> = {
  ssh: SSH,
  rdp: DESKTOP,
  mysql: DATABASE,
  redis: DATABASE,
  postgres: { ...DATABASE, roles: 'With an account of its own for each session, in the role of its level' },
};

export const LEVELS = ['owner', 'editor', 'viewer'] as const satisfies Level[];
export const TLS: Record<TlsMode, string> = {
  disable: 'none',
  prefer: 'where the server has it',
  require: 'always, whoever the server is',
  'verify-full': 'always, and its certificate is checked',
};

/** Of a certificate, in hex, with or without colons. */
export const SHA256 = '[0-9A-Fa-f:]{64,95}';

/** An origin of its own for a path or a host name. */
export interface Service {
  path: string;
  hostName: string;
  address: string;
  basePath: string;
  scheme: '' | Scheme;
  http: '' | Version;
  host: string;
  sni: string;
  pin: string;
}

export interface Draft {
  name: string;
  site: string;
  kind: Kind;
  address: string;
  tags: string;
  login: How;
  account: string;
  key: string;
  password: string;
  levels: Record<Level, { name: string; password: string }>;
  hostKey: string;
  legacy: boolean;
  allowApi: boolean;
  whileSignedIn: boolean;
  requestable: boolean;
  approvers: string;
  /** By what the server is known; of web applications and databases. */
  ca: string;
  pin: string;
  sni: string;
  tls: '' | TlsMode;
  mask: string;
  values: boolean;
  replication: boolean;
  hostNames: string;
  basePath: string;
  scheme: '' | Scheme;
  http: '' | Version;
  host: string;
  connectTimeout: number | null;
  answerTimeout: number | null;
  setHeaders: string;
  removeHeaders: string;
  methods: string;
  paths: string;
  services: Service[];
}

export function draft(spec?: ApplicationSpec, site = ''): Draft {
  const { web, database } = spec ?? {};
  const named = database?.roles ?? database?.accounts ?? {};
  const level = (of: Level) => ({ name: named[of] ?? '', password: '' });
  return {
    name: spec?.name ?? '',
    site: spec?.site ?? site,
    kind: spec?.kind ?? 'ssh',
    address: spec?.address ?? '',
    tags: tagText(spec?.tags),
    login: how(spec),
    account: spec?.account ?? '',
    key: '',
    password: '',
    levels: { owner: level('owner'), editor: level('editor'), viewer: level('viewer') },
    hostKey: spec?.host_key ?? '',
    legacy: spec?.legacy_algorithms ?? false,
    allowApi: spec?.allow_api ?? false,
    whileSignedIn: spec?.require_active_session ?? false,
    requestable: spec?.requestable ?? false,
    approvers: (spec?.approvers ?? []).join(', '),
    ca: web?.ca ?? database?.ca ?? '',
    pin: web?.pin ?? database?.pin ?? '',
    sni: web?.sni ?? database?.sni ?? '',
    tls: database?.tls ?? '',
    mask: (database?.mask ?? []).join('\n'),
    values: database?.values ?? false,
    replication: database?.replication ?? false,
    hostNames: (web?.host_names ?? []).join(', '),
    basePath: web?.base_path ?? '',
    scheme: web?.scheme ?? '',
    http: web?.http ?? '',
    host: web?.host ?? '',
    connectTimeout: web?.connect_timeout ?? null,
    answerTimeout: web?.answer_timeout ?? null,
    setHeaders: Object.entries(web?.set_headers ?? {}).map(([name, value]) => `${name}: ${value}`).join('\n'),
    removeHeaders: (web?.remove_headers ?? []).join(', '),
    methods: (web?.methods ?? []).join(', '),
    paths: (web?.paths ?? []).join('\n'),
    services: (web?.service ?? []).map(service),
  };
}

function how(spec?: ApplicationSpec): How {
  if (spec?.certificate) return 'certificate';
  if (Object.keys(spec?.database?.roles ?? {}).length > 0) return 'roles';
  if (Object.keys(spec?.database?.accounts ?? {}).length > 0) return 'levels';
  return spec?.account ? 'managed' : 'transparent';
}

export function service(from: Partial<WebService> = {}): Service {
  return {
    path: from.path ?? '',
    hostName: from.host_name ?? '',
    address: from.address ?? '',
    basePath: from.base_path ?? '',
    scheme: from.scheme ?? '',
    http: from.http ?? '',
    host: from.host ?? '',
    sni: from.sni ?? '',
    pin: from.pin ?? '',
  };
}

/** What the form does not show stays as it was. */
export function spec(form: Draft, before?: ApplicationSpec): ApplicationSpecInput {
  const made: ApplicationSpecInput = {
    ...before,
    name: form.name.trim(),
    site: form.site,
    kind: form.kind,
    address: form.address.trim(),
    tags: tags(form.tags),
    allow_api: form.allowApi,
    require_active_session: form.whileSignedIn,
    requestable: form.requestable,
    approvers: words(form.approvers),
  };
  if (LOGINS[form.kind]) Object.assign(made, login(form));
  switch (form.kind) {
    case 'ssh': return { ...made, host_key: form.hostKey.trim() || null, legacy_algorithms: form.legacy };
    case 'web': return { ...made, web: { ...before?.web, ...web(form) } };
    case 'postgres': case 'mysql': case 'redis': return { ...made, ...levels(form), database: { ...before?.database, ...database(form) } };
    case 'rdp': case 'tcp': return made;
  }
}

function login(form: Draft): Partial<ApplicationSpecInput> {
  const { account, key, password } = form;
  const secret = { key: key ? `${key.trim()}\n` : null, password: password || null };
  switch (form.login) {
    case 'transparent': case 'levels': return { account: null, certificate: false };
    case 'managed': return { account, certificate: false, ...secret };
    case 'roles': return { account, certificate: false, password: password || null };
    case 'certificate': return { account: account || null, certificate: true };
  }
}

/** Passwords that were typed; the others stay. */
function levels(form: Draft): Partial<ApplicationSpecInput> {
  if (form.login !== 'levels') return {};
  const typed = LEVELS.filter((level) => form.levels[level].name && form.levels[level].password);
  return { level_passwords: Object.fromEntries(typed.map((level) => [level, form.levels[level].password])) };
}

function database(form: Draft): DatabaseOptions {
  const named = LEVELS.filter((level) => form.levels[level].name.trim());
  const by = Object.fromEntries(named.map((level) => [level, form.levels[level].name.trim()]));
  return {
    ...known(form),
    tls: form.tls || null,
    accounts: form.login === 'levels' ? by : {},
    roles: form.login === 'roles' ? by : {},
    mask: lines(form.mask),
    values: form.values,
    replication: form.kind === 'postgres' && form.replication,
  };
}

function web(form: Draft): WebOptions {
  return {
    ...known(form),
    host_names: words(form.hostNames),
    base_path: form.basePath || null,
    scheme: form.scheme || null,
    http: form.http || null,
    host: form.host || null,
    connect_timeout: form.connectTimeout || null,
    answer_timeout: form.answerTimeout || null,
    set_headers: pairs(form.setHeaders, ':'),
    remove_headers: words(form.removeHeaders),
    methods: words(form.methods).map((method) => method.toUpperCase()),
    paths: lines(form.paths),
    service: form.services.map(origin),
  };
}

const origin = (one: Service): WebService => ({
  address: one.address,
  path: one.path || null,
  host_name: one.hostName || null,
  base_path: one.basePath || null,
  scheme: one.scheme || null,
  http: one.http || null,
  host: one.host || null,
  sni: one.sni || null,
  pin: one.pin || null,
});

const known = ({ ca, pin, sni }: Draft) => ({ ca: ca.trim() ? ca : null, pin: pin || null, sni: sni || null });
