import assert from 'node:assert/strict';
import { copied, journey, open, shell, shows, signedIn, told, type, until, wiki } from './lib.mjs';
import { look, nothingFound } from './look.mjs';

const OWN = [['', 'Applications'], ['sessions', 'My sessions'], ['requests', 'Access requests'], ['keys', 'SSH keys'], ['tokens', 'My tokens'], ['security', 'Security'], ['sign-ins', 'My sign-ins']];
const ADMIN = [['admin', 'Overview'], ['admin/setup', 'Set up'], ['admin/sites', 'Sites and connectors'], ['admin/applications', 'Applications'], ['admin/users', 'Users'],
  ['admin/groups', 'Groups'], ['admin/directories', 'Directories'], ['admin/grants', 'Grants'], ['admin/why', 'Why'], ['admin/tokens', 'Tokens'], ['admin/keys', 'SSH keys of users'], ['admin/agents', 'Agents'], ['admin/sign-ins', 'Sign-ins'], ['admin/sessions', 'Sessions'],
  ['admin/recordings', 'Recordings'], ['admin/audit', 'Audit log'], ['admin/destinations', 'Audit destinations'], ['admin/notices', 'Notices'], ['admin/requests', 'Request log'], ['admin/statements', 'Statements'], ['admin/configuration', 'Configuration'],
  ['admin/certificates', 'TLS certificates'], ['admin/settings', 'Settings'], ['nowhere', 'Nothing is here']];
/** What is opened on a page to look at its window. */
const WINDOWS = [
  ['alice', '', 'Applications', 'Connect to web1.hq', 'connect-ssh'],
  ['alice', '', 'Applications', 'Connect to wiki.hq', 'connect-web'],
  ['alice', '', 'Applications', 'API key for wiki.hq', 'api-key'],
  ['alice', 'keys', 'SSH keys', 'Generate a key', 'new-key'],
  ['alice', 'security', 'Security', 'Set up an app', 'new-totp'],
  ['admin', 'admin/applications', 'Applications', 'Add an application', 'new-application'],
  ['admin', 'admin/applications', 'Applications', 'Test orders-db', 'check'],
  ['admin', 'admin/grants', 'Grants', 'Add a grant', 'new-grant'],
  ['admin', 'admin/grants', 'Grants', 'Edit the grant of group dba for tag env=prod', 'edit-grant'],
  ['admin', 'admin/applications', 'Applications', 'Edit orders-db', 'edit-database'],
  ['admin', 'admin/applications', 'Applications', 'Edit wiki', 'edit-web'],
  ['admin', 'admin/users', 'Users', 'Remove bob', 'confirm'],
  ['admin', 'admin/users', 'Users', 'Edit bob', 'edit-user'],
  ['admin', 'admin/directories', 'Directories', 'Add a directory', 'new-directory'],
  ['admin', 'admin/sites', 'Sites and connectors', 'Add a connector to hq', 'join'],
  ['admin', 'admin/tokens', 'Tokens', 'Issue a token', 'new-token'],
  ['admin', 'admin/keys', 'SSH keys of users', 'Register a key', 'new-user-key'],
  ['admin', 'admin/applications', 'Applications', 'Host key of web1', 'host-key'],
];

await journey(async (browser) => {
  await wiki();
  const people = { alice: await signedIn(browser, 'alice'), admin: await signedIn(browser, 'admin') };
  const live = await busy(people);
  if (told.part === 'pages') await pages(people);
  else await windows(people);
  live.child.kill();
  nothingFound();
});

async function pages(people) {
  for (const [user, path, heading] of [...OWN.map((page) => ['alice', ...page]), ...ADMIN.map((page) => ['admin', ...page])]) {
    const page = people[user];
    await open(page, path, heading);
    await settled(page);
    await look(page, path.replace('/', '-') || 'home');
  }
  await byKeyboard(people.alice);
}

async function windows(people) {
  for (const [user, path, heading, button, name] of WINDOWS) {
    const page = people[user];
    await open(page, path, heading);
    await page.getByRole('button', { name: button, exact: true }).first().click();
    await page.getByRole('dialog').waitFor();
    await settled(page);
    await look(page, `window-${name}`);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  await terminal(people.alice);
}

/** Something to see: a session, a recording, a request, a token, a key. */
async function busy({ alice, admin }) {
  await alice.getByRole('button', { name: 'Connect to web1.hq' }).click();
  await alice.getByRole('button', { name: 'Issue a one-time token' }).click();
  const [token, known, command] = [await copied(alice, 'One-time token'), await copied(alice, 'Once, so that ssh knows the relay'), await copied(alice, 'Log in')];
  await alice.keyboard.press('Escape');
  const live = shell(`${known}\n${command} 'echo up; sleep 150'`, { token, background: true });
  await until('a session', () => live.text.includes('up'));
  const send = (page, path, body) => page.evaluate(async ([path, body]) => {
    const answer = await fetch(`api/v1/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }, [path, body]);
  await send(alice, 'me/requests', { application: 'sandbox', reason: 'a deploy that went wrong, ticket 4711', duration: '8h' });
  await send(alice, 'me/ssh-keys', { key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/D9RpXsRdzgZAnjYUjPLVzFnTZhmtD9CxfAuXhxqYc alice@laptop', name: 'laptop' });
  const { token: key } = await send(alice, 'me/tokens', { application: 'wiki', kind: 'api' });
  const door = `https://wiki-hq.${told.domain}:${new URL(told.url).port}`;
  await shell(`curl -sk -H 'X-Adit-Key: ${key}' --resolve '*:${new URL(told.url).port}:127.0.0.1' ${door}/docs/a ${door}/b`);
  await send(admin, 'groups', { name: 'oncall', members: ['alice', 'bob'] });
  return live;
}

/** A page with a terminal on it, whatever draws it, and with its windows. */
async function terminal(page) {
  await open(page, 'terminal/web1.hq', 'Terminal');
  await page.locator('[data-state="open"]').waitFor();
  await type(page, 'ls --color=always /\n');
  await shows(page, 'usr');
  await look(page, 'terminal');
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await page.getByRole('button', { name: 'Files', exact: true }).click();
  await page.getByRole('button', { name: 'Look again' }).waitFor();
  await settled(page);
  await look(page, 'terminal-files');
  await page.getByRole('button', { name: 'End', exact: true }).click();
  await page.getByRole('alert').waitFor();
  await look(page, 'terminal-over');
}

async function settled(page) {
  await page.waitForLoadState('networkidle');
  await page.waitForTimeout(150);
}

/** From the top of the page to an open window and back, without a mouse. */
async function byKeyboard(page) {
  await open(page, 'keys', 'SSH keys');
  await page.reload();
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Go to the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Generate an SSH key' }).waitFor();
  for (let n = 0; n < 12; n++) {
    await page.keyboard.press('Tab');
    const outside = await page.evaluate(() => document.activeElement !== document.body && !document.activeElement?.closest('dialog'));
    assert.equal(outside, false, 'the focus stays in the window');
  }
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent?.trim()), 'Generate a key', 'and comes back');
}
