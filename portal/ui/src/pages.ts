// Every page, and where it is. Those for admins come when somebody opens one.
import type { Component } from 'svelte';
import Applications from './user/Applications.svelte';

interface Page {
  path: string;
  title: string;
  load: () => Promise<{ default: Component }>;
}

export const OWN: Page[] = [
  { path: '', title: 'Applications', load: async () => ({ default: Applications }) },
  { path: 'sessions', title: 'My sessions', load: () => import('./user/Sessions.svelte') },
  { path: 'requests', title: 'Access requests', load: () => import('./user/Requests.svelte') },
  { path: 'keys', title: 'SSH keys', load: () => import('./user/Keys.svelte') },
  { path: 'tokens', title: 'My tokens', load: () => import('./user/Tokens.svelte') },
  { path: 'security', title: 'Security', load: () => import('./user/Security.svelte') },
  { path: 'sign-ins', title: 'My sign-ins', load: () => import('./user/SignIns.svelte') },
];

export const ADMIN: Page[] = [
  { path: 'admin', title: 'Overview', load: () => import('./admin/Overview.svelte') },
  { path: 'admin/sites', title: 'Sites and connectors', load: () => import('./admin/Sites.svelte') },
  { path: 'admin/applications', title: 'Applications', load: () => import('./admin/Applications.svelte') },
  { path: 'admin/users', title: 'Users', load: () => import('./admin/Users.svelte') },
  { path: 'admin/groups', title: 'Groups', load: () => import('./admin/Groups.svelte') },
  { path: 'admin/directories', title: 'Directories', load: () => import('./admin/Provisioners.svelte') },
  { path: 'admin/grants', title: 'Grants', load: () => import('./admin/Grants.svelte') },
  { path: 'admin/tokens', title: 'Tokens', load: () => import('./admin/Tokens.svelte') },
  { path: 'admin/keys', title: 'SSH keys of users', load: () => import('./admin/Keys.svelte') },
  { path: 'admin/agents', title: 'Agents', load: () => import('./admin/Agents.svelte') },
  { path: 'admin/sign-ins', title: 'Sign-ins', load: () => import('./admin/SignIns.svelte') },
  { path: 'admin/sessions', title: 'Sessions', load: () => import('./admin/Sessions.svelte') },
  { path: 'admin/recordings', title: 'Recordings', load: () => import('./admin/Recordings.svelte') },
  { path: 'admin/audit', title: 'Audit log', load: () => import('./admin/Audit.svelte') },
  { path: 'admin/destinations', title: 'Audit destinations', load: () => import('./admin/Destinations.svelte') },
  { path: 'admin/notices', title: 'Notices', load: () => import('./admin/Channels.svelte') },
  { path: 'admin/requests', title: 'Request log', load: () => import('./admin/Requests.svelte') },
  { path: 'admin/statements', title: 'Statements', load: () => import('./admin/Statements.svelte') },
  { path: 'admin/certificates', title: 'TLS certificates', load: () => import('./admin/Certificates.svelte') },
  { path: 'admin/configuration', title: 'Configuration', load: () => import('./admin/Configuration.svelte') },
  { path: 'admin/settings', title: 'Settings', load: () => import('./admin/Settings.svelte') },
];

/** What is of sites, for who administers some of them. */
export const OF_SITES = ADMIN.filter(({ path }) => ['admin/sites', 'admin/applications', 'admin/grants', 'admin/sessions'].includes(path));

const TERMINAL: Page = { path: 'terminal', title: 'Terminal', load: () => import('./terminal/Terminal.svelte') };

const BESIDES: Page[] = [
  { path: 'admin/setup', title: 'Set up', load: () => import('./admin/Setup.svelte') },
  { path: 'admin/why', title: 'Why', load: () => import('./admin/Why.svelte') },
  { path: 'admin/recording', title: 'Recording', load: () => import('./admin/Player.svelte') },
];

const NOWHERE: Page = { path: '?', title: 'Nothing is here', load: () => import('./Nowhere.svelte') };

/** The page at a path; those for admins are nowhere for others. */
export function pageOf(path: string, sees: { all: boolean; sites: boolean }): Page {
  // What follows is the application.
  if (path === TERMINAL.path || path.startsWith(`${TERMINAL.path}/`)) return TERMINAL;
  const there = sees.all ? [...OWN, ...ADMIN, ...BESIDES] : sees.sites ? [...OWN, ...OF_SITES] : OWN;
  return there.find((page) => page.path === path) ?? NOWHERE;
}
