// An application as a form has it, and as the API takes it.
import { tags, tagText, words } from '../lib/format';
import type { ApplicationSpec, ApplicationSpecInput, Kind } from '../lib/schema';

export const LOGINS = { transparent: 'Users log in there themselves', managed: 'With an account whose key or password the relay keeps', certificate: 'With a certificate the relay signs for each session' };

export interface Draft {
  name: string;
  site: string;
  kind: Kind;
  address: string;
  tags: string;
  login: keyof typeof LOGINS;
  account: string;
  key: string;
  password: string;
  hostKey: string;
  allowApi: boolean;
  requestable: boolean;
  approvers: string;
  hostNames: string;
  basePath: string;
  scheme: '' | 'http' | 'https';
}

export const PORTS: Record<Kind, string> = { ssh: '22', web: '443', postgres: '5432', mysql: '3306', redis: '6379', rdp: '3389', tcp: '' };

export function draft(spec?: ApplicationSpec, site = ''): Draft {
  return {
    name: spec?.name ?? '',
    site: spec?.site ?? site,
    kind: spec?.kind ?? 'ssh',
    address: spec?.address ?? '',
    tags: tagText(spec?.tags),
    login: spec?.certificate ? 'certificate' : spec?.account ? 'managed' : 'transparent',
    account: spec?.account ?? '',
    key: '',
    password: '',
    hostKey: spec?.host_key ?? '',
    allowApi: spec?.allow_api ?? false,
    requestable: spec?.requestable ?? false,
    approvers: (spec?.approvers ?? []).join(', '),
    hostNames: (spec?.web?.host_names ?? []).join(', '),
    basePath: spec?.web?.base_path ?? '',
    scheme: spec?.web?.scheme ?? '',
  };
}

/** What the form does not show stays as it was. */
export function spec(form: Draft, before?: ApplicationSpec): ApplicationSpecInput {
  const made: ApplicationSpecInput = {
    ...before,
    name: form.name,
    site: form.site,
    kind: form.kind,
    address: form.address,
    tags: tags(form.tags),
    allow_api: form.allowApi,
    requestable: form.requestable,
    approvers: words(form.approvers),
  };
  if (form.kind === 'ssh') Object.assign(made, login(form), { host_key: form.hostKey.trim() || null });
  if (form.kind === 'web') {
    made.web = { ...before?.web, host_names: words(form.hostNames), base_path: form.basePath || null, scheme: form.scheme || null };
  }
  return made;
}

function login(form: Draft): Partial<ApplicationSpecInput> {
  const { account, key, password } = form;
  switch (form.login) {
    case 'transparent': return { account: null, certificate: false };
    case 'managed': return { account, certificate: false, key: key ? `${key.trim()}\n` : null, password: password || null };
    case 'certificate': return { account: account || null, certificate: true };
  }
}
