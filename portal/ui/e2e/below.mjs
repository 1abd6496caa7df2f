// The portal below a path of a reverse proxy's host, beside a neighbour that is somebody else's.
import assert from 'node:assert/strict';
import { copied, journey, open, shell, shows, signedIn, told, type, until, wiki } from './lib.mjs';

await journey(async (browser) => {
  await wiki();
  const { origin, pathname } = new URL(told.url);
  assert.equal(pathname, '/adit');
  const elsewhere = [];
  const page = await signedIn(browser, 'alice');
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin === origin && !url.pathname.startsWith('/adit/')) elsewhere.push(request.url());
  });
  assert.ok(page.url().startsWith(`${told.url}/`), page.url());

  // What signs in is of the path: the neighbour gets none of it.
  const held = await page.context().cookies();
  const ours = held.filter(({ name }) => name.includes('adit'));
  assert.deepEqual(ours.map(({ name, path }) => [name, path]).sort(), [['__Host-adit-mark', '/'], ['__Secure-adit', '/adit']]);
  for (const cookie of ours) assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === 'Lax', JSON.stringify(cookie));
  const other = await page.context().newPage();
  await other.goto(`${origin}/neighbour`);
  const seen = await other.locator('body').innerText();
  assert.match(seen, /^cookies: __Host-adit-mark=[\w-]{22}$/);
  // A cookie that an application's page sets for the whole domain neither signs in nor out.
  await page.context().addCookies([{ name: '__Secure-adit', value: 'planted.0123456789abcdefghijkl', domain: 'localhost', path: '/', secure: true }]);
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Applications', exact: true }).waitFor();
  await other.close();

  // The base without its slash leads to it.
  const base = await page.context().newPage();
  await base.goto(told.url);
  await base.getByRole('heading', { level: 1, name: 'Applications', exact: true }).waitFor();
  await base.close();

  // The Connect window, and its token at the SSH door.
  await page.getByRole('button', { name: 'Connect to web1.hq' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Issue a one-time token' }).click();
  const token = await copied(page, 'One-time token');
  const known = await copied(page, 'Once, so that ssh knows the relay');
  const command = await copied(page, 'Log in');
  const { code, text } = await shell(`${known}\n${command} 'echo it works'`, { token });
  assert.equal(code, 0, text);
  await page.keyboard.press('Escape');

  // The terminal: a WebSocket of the same path.
  await page.getByRole('link', { name: 'Terminal at web1.hq' }).first().click();
  await page.locator('.pane:not(.off) [data-state="open"]').waitFor();
  await type(page, 'echo said $((40 + 2))\n');
  await shows(page, 'said 42');
  await page.getByRole('button', { name: 'End', exact: true }).click();

  // An application at its own host comes here to know who looks, and goes back.
  await open(page, '', 'Applications');
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.getByRole('link', { name: 'Open wiki.hq' }).first().click()]);
  await popup.getByText('hello alice').waitFor();
  await popup.goto(`${new URL(popup.url()).origin}/.adit/sign-out`);
  await popup.waitForURL(`${told.url}/sign-out`);
  await popup.close();

  // A sign-in is from where the proxy says.
  const rows = await page.evaluate(async () => (await (await fetch('api/v1/me/sign-ins')).json()).items);
  assert.ok(rows.some((row) => row.seen.from === '198.51.100.7'), JSON.stringify(rows));

  // ssh without a token leads to the page here.
  const options = `-F none -o UserKnownHostsFile=${told.knownHosts} -o PreferredAuthentications=keyboard-interactive -o NumberOfPasswordPrompts=1`;
  const line = `/usr/bin/ssh ${options} -p ${told.sshPort} ${told.account}+web1@127.0.0.1 true`;
  const asked = shell(`(sleep 3; echo; sleep 25) | env -u SSH_ASKPASS -u SSH_ASKPASS_REQUIRE script -qfec '${line}' /dev/null`, { background: true });
  const link = await until('a link', () => asked.text.match(/https:\S+\/ssh\?code=[A-Z-]+/)?.[0]);
  assert.ok(link.startsWith(`${told.url}/ssh?code=`), link);
  await page.goto(link);
  await page.getByRole('heading', { name: 'Let this terminal in as you?' }).waitFor();
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByRole('heading', { name: 'Denied' }).waitFor();

  // Out, and to the page that signs in.
  await page.goto(`${told.url}/sign-out`);
  await page.getByRole('button', { name: 'Sign out', exact: true }).last().click();
  await page.waitForURL(`${told.url}/sign-in`);
  assert.deepEqual((await page.context().cookies()).filter(({ name, value }) => name === '__Secure-adit' && !value.startsWith('planted')), []);
  assert.deepEqual(elsewhere, [], 'everything is asked below the path');
});
