// What to type to reach an application, for each client.
import type { Info, Kind, MyApplication } from './schema';

export interface Step {
  label: string;
  text: string;
}

export interface Tab {
  name: string;
  /** Before the steps. */
  about?: string;
  steps: Step[];
  /** What a client with a form asks for. */
  facts?: [string, string][];
  /** Whether all that is needed is in a file, made when it is asked for. */
  file?: boolean;
}

export interface Target {
  application: MyApplication;
  /** How it is named: with its site where that is needed. */
  name: string;
  info: Info;
  /** `https://relay…` */
  relay: string;
  /** `https://app-site.relay…` */
  web: string;
  /** The account at the target. */
  login: string;
  /** A token, once there is one. */
  token: string;
}

export function tabs(target: Target): Tab[] {
  return BY_KIND[target.application.kind](target);
}

const BY_KIND: Record<Kind, (target: Target) => Tab[]> = {
  ssh: (t) => [openssh(t), putty(t), vscode(t), adit(t)],
  web: (t) => [browser(t), curl(t), inUrl(t)],
  postgres: (t) => [tunnelled(t, 'psql', 5432, (port) => `psql "host=127.0.0.1 port=${port} user=${t.login || 'USER'} dbname=DATABASE"`), form(t, 'DBeaver', 5432)],
  mysql: (t) => [
    tunnelled(t, 'mysql', 3306, (port) => `mysql --host=127.0.0.1 --port=${port} --user=${t.login || 'USER'} --password`),
    form(t, 'HeidiSQL', 3306),
    form(t, 'DBeaver', 3306),
  ],
  redis: (t) => [tunnelled(t, 'redis-cli', 6379, (port) => `redis-cli -h 127.0.0.1 -p ${port}`)],
  rdp: (t) => [rdpFile(t), windows(t, 13389), tunnelled(t, 'FreeRDP', 13389, (port) => `xfreerdp /v:127.0.0.1:${port} /u:${t.login || 'USER'}`)],
  tcp: (t) => [tunnelled(t, 'adit tunnel', 15000)],
};

/** What stands before the `@`. */
export const sshUser = ({ login, name }: Target) => `${login || 'USER'}+${name}`;

const sshFacts = (t: Target): [string, string][] => [
  ['Host', t.info.domain],
  ['Port', String(t.info.ssh_port)],
  ['User name', sshUser(t)],
];

function openssh(t: Target): Tab {
  const { domain, ssh_port } = t.info;
  const place = `[${domain}]:${ssh_port}`;
  const ca = t.info.ssh_host_ca;
  const known = ca ? [{ label: 'Once, so that ssh knows the relay', text: `echo '@cert-authority ${place} ${ca}' >> ~/.ssh/known_hosts` }] : [];
  return {
    name: 'OpenSSH',
    about: 'Paste the token where ssh asks for it.',
    facts: sshFacts(t),
    steps: [
      { label: 'Log in', text: `ssh -p ${ssh_port} ${sshUser(t)}@${domain}` },
      { label: 'Copy a file', text: `scp -P ${ssh_port} FILE ${sshUser(t)}@${domain}:` },
      ...known,
    ],
  };
}

function putty(t: Target): Tab {
  const { domain, ssh_port } = t.info;
  return {
    name: 'PuTTY',
    about: 'Paste the token where PuTTY asks for it (right click).',
    facts: sshFacts(t),
    steps: [
      { label: 'Log in', text: `putty -ssh -P ${ssh_port} ${sshUser(t)}@${domain}` },
      { label: 'Copy a file', text: `pscp -P ${ssh_port} FILE ${sshUser(t)}@${domain}:` },
    ],
  };
}

function vscode(t: Target): Tab {
  const host = `${t.application.name}.adit`;
  const config = [`Host ${host}`, `  HostName ${t.info.domain}`, `  Port ${t.info.ssh_port}`, `  User ${sshUser(t)}`];
  return {
    name: 'VS Code',
    about: 'Remote-SSH opens several connections: with a registered SSH key, or `adit ssh-config --install`, it asks for nothing.',
    steps: [
      { label: 'In ~/.ssh/config', text: config.join('\n') },
      { label: 'In a terminal, or by “Remote-SSH: Connect to Host”', text: `code --remote ssh-remote+${host} .` },
    ],
  };
}

function adit(t: Target): Tab {
  return {
    name: 'adit',
    about: 'Where the agent is signed in, no token is needed.',
    steps: [
      { label: 'Once', text: `adit login ${t.relay}` },
      { label: 'Log in', text: `adit ssh ${t.name}` },
    ],
  };
}

function browser(t: Target): Tab {
  return { name: 'Browser', about: 'Your sign-in here is enough.', steps: [{ label: 'Address', text: `${t.web}/` }] };
}

function curl(t: Target): Tab {
  const header = `X-Adit-Key: ${t.token || 'TOKEN'}`;
  return {
    name: 'curl',
    about: 'Any program that can send a header.',
    facts: [['Address', `${t.web}/`], ['Header', header]],
    steps: [{ label: 'Ask', text: `curl -H '${header}' ${t.web}/` }],
  };
}

function inUrl(t: Target): Tab {
  return {
    name: 'Address only',
    about: 'For programs that take an address and nothing else. Addresses end up in logs: prefer the header.',
    steps: [{ label: 'Address', text: `${t.web}/adit-key/${t.token || 'TOKEN'}/` }],
  };
}

const tunnel = (t: Target, port: number) =>
  `ADIT_TOKEN='${t.token || 'TOKEN'}' adit --relay ${t.relay} tunnel ${t.name} --listen 127.0.0.1:${port}`;

function tunnelled(t: Target, name: string, port: number, client?: (port: number) => string): Tab {
  const steps = [{ label: 'A local port that leads to it, for as long as this runs', text: tunnel(t, port) }];
  if (client) steps.push({ label: 'In another terminal', text: client(port) });
  return { name, about: 'Where the agent is signed in, leave ADIT_TOKEN out.', facts: [['Host', '127.0.0.1'], ['Port', String(port)]], steps };
}

function form(t: Target, name: string, port: number): Tab {
  return {
    name,
    about: 'Open the tunnel, then a connection to this machine.',
    facts: [['Host', '127.0.0.1'], ['Port', String(port)], ['User name', t.login || 'as at the database']],
    steps: [{ label: 'Tunnel', text: tunnel(t, port) }],
  };
}

function rdpFile(t: Target): Tab {
  const host = new URL(t.relay).host;
  return {
    name: 'File',
    about: 'For mstsc, the Windows App of macOS and phones, and FreeRDP, with nothing else installed. Whoever has the file can use it.',
    file: true,
    facts: [['Gateway', host], ['Computer', `${t.application.label}.${t.info.domain}`]],
    steps: [{ label: 'Or, where the agent is signed in', text: `adit rdp ${t.name}` }],
  };
}

function windows(t: Target, port: number): Tab {
  return {
    name: 'mstsc, by a tunnel',
    about: 'In PowerShell; then Remote Desktop in another window.',
    facts: [['Computer', `127.0.0.1:${port}`]],
    steps: [
      { label: 'Tunnel', text: `$env:ADIT_TOKEN = '${t.token || 'TOKEN'}'; adit --relay ${t.relay} tunnel ${t.name} --listen 127.0.0.1:${port}` },
      { label: 'Desktop', text: `mstsc /v:127.0.0.1:${port}` },
    ],
  };
}
