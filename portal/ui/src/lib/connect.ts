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
  /** Who is signed in here. */
  user: string;
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
  postgres: (t) => {
    const port = door(t, t.info.https_port);
    if (port) return [psql(t, port), databaseForm(t, 'DBeaver', port, ['SSL mode', 'verify-full'])];
    return [tunnelled(t, 'psql', 5432, (at) => `psql "host=127.0.0.1 port=${at} user=${t.login || 'USER'} dbname=DATABASE"`), form(t, 'DBeaver', 5432)];
  },
  mysql: (t) => {
    const port = door(t, t.info.mysql_port);
    if (port) return [mysql(t, port), databaseForm(t, 'HeidiSQL', port, ['Network type', 'MariaDB or MySQL (TCP/IP)']), databaseForm(t, 'DBeaver', port, ['SSL', 'use, and verify the server'])];
    return [
      tunnelled(t, 'mysql', 3306, (at) => `mysql --host=127.0.0.1 --port=${at} --user=${t.login || 'USER'} --password`),
      form(t, 'HeidiSQL', 3306),
      form(t, 'DBeaver', 3306),
    ];
  },
  redis: (t) => {
    const port = door(t, t.info.https_port);
    return [port ? redisCli(t, port) : tunnelled(t, 'redis-cli', 6379, (at) => `redis-cli -h 127.0.0.1 -p ${at}`)];
  },
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

/** The port of a database's door, which is of use where the relay has an account there. */
const door = (t: Target, port?: number | null) => (t.application.has_account ? port : undefined);

/** As whom one asks at a door of databases: what stands after the `+` is the application. */
const databaseUser = (t: Target) => `${t.user}+${t.name}`;

/** A file that the clients of databases know the relay by, in the folder they are started in. */
const relayCa = (t: Target): Step => ({
  label: 'Once, so that clients know the relay',
  text: `cat > relay-ca.pem <<'PEM'\n${t.info.ca_pem.trim()}\nPEM`,
});

function psql(t: Target, port: number): Tab {
  const { domain } = t.info;
  return {
    name: 'psql',
    about: 'The token is the password. The database’s own stays with the relay.',
    facts: [['Host', domain], ['Port', String(port)], ['User name', databaseUser(t)]],
    steps: [
      { label: 'Connect', text: `PGPASSWORD='${t.token || 'TOKEN'}' psql "host=${domain} port=${port} user=${databaseUser(t)} dbname=DATABASE sslmode=verify-full sslrootcert=relay-ca.pem"` },
      relayCa(t),
    ],
  };
}

function mysql(t: Target, port: number): Tab {
  const { domain } = t.info;
  const ask = (client: string, check: string) => `MYSQL_PWD='${t.token || 'TOKEN'}' ${client} -h ${domain} -P ${port} -u ${databaseUser(t)} --ssl-ca=relay-ca.pem ${check} DATABASE`;
  return {
    name: 'mysql',
    about: 'The token is the password. The database’s own stays with the relay.',
    facts: [['Host', domain], ['Port', String(port)], ['User name', databaseUser(t)]],
    steps: [
      { label: 'Connect with MySQL’s client', text: ask('mysql', '--ssl-mode=VERIFY_IDENTITY') },
      { label: 'Connect with MariaDB’s client', text: ask('mariadb', '--ssl-verify-server-cert') },
      relayCa(t),
    ],
  };
}

function redisCli(t: Target, port: number): Tab {
  const { domain } = t.info;
  return {
    name: 'redis-cli',
    about: 'The token is the password. The database’s own stays with the relay.',
    facts: [['Host', domain], ['Port', String(port)], ['User name', databaseUser(t)]],
    steps: [
      { label: 'Connect', text: `REDISCLI_AUTH='${t.token || 'TOKEN'}' redis-cli -h ${domain} -p ${port} --tls --cacert relay-ca.pem --user ${databaseUser(t)}` },
      relayCa(t),
    ],
  };
}

/** A client with a form, which connects to the relay's door. */
function databaseForm(t: Target, name: string, port: number, more: [string, string]): Tab {
  return {
    name,
    about: 'It opens several connections: a token for many uses, or an API token, is right for it. As CA it takes the file of the step below.',
    facts: [['Host', t.info.domain], ['Port', String(port)], ['User name', databaseUser(t)], ['Password', t.token || 'the token'], more, ['CA certificate', 'relay-ca.pem']],
    steps: [relayCa(t)],
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
