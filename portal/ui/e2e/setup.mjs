import assert from 'node:assert/strict';
import { join } from 'node:path';
import { copied, forgive, home, journey, listener, open, program, shell, signedIn, told } from './lib.mjs';

await journey(async (browser) => {
  const page = await signedIn(browser, 'admin');
  const api = (method, path, body) => page.evaluate(async ([method, path, body]) => {
    const answer = await fetch(`api/v1/${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }, [method, path, body]);

  // Where there is nothing, an admin comes to the guide.
  await api('DELETE', 'sites/hq');
  await page.goto(`${told.url}/`);
  await page.getByRole('heading', { level: 1, name: 'Set up', exact: true }).waitFor();
  await page.getByLabel('Name of the site').fill('berlin');
  await page.getByRole('button', { name: 'Add the site' }).click();

  // The line for a package, where this machine's folder and service manager stand in for its own.
  const packaged = join(home, 'packaged');
  program('sudo', `for word; do shift; set -- "$@" "$(printf %s "$word" | sed 's,^/var/lib/adit-connector$,${packaged},')"; done; exec "$@"`);
  program('systemctl', `[ "$*" = 'enable --now adit-connector' ] && exec adit-connector run --state ${packaged}`);
  await page.getByLabel('What it may dial').fill('127.0.0.1/32:*');
  await page.getByRole('button', { name: 'Issue a join token' }).click();
  const lines = await copied(page, 'On a machine in berlin');
  assert.equal(lines.split('\n').length, 1, lines);
  const connector = shell(lines, { background: true });
  connector.done.then(({ text }) => console.log(`the connector ended: ${text}`));

  const steps = page.locator('.steps');
  await steps.getByLabel('Name', { exact: true }).fill('shell');
  await steps.getByLabel('Address').fill('127.0.0.1:1');
  await page.getByLabel('With an account whose key or password the relay keeps').check();
  await page.getByLabel('Account', { exact: true }).fill(told.account);
  await page.getByLabel('Private key').fill(told.clientKey);
  await page.getByLabel('Host key').fill(told.hostKey);
  await page.getByRole('button', { name: 'Add and test' }).click();
  await page.getByText('not reached', { exact: true }).waitFor();
  await page.getByText('dial.refused').waitFor();
  await page.getByRole('button', { name: 'Change it' }).click();
  await steps.getByLabel('Address').fill(told.sshd);
  await page.getByRole('button', { name: 'Save and test' }).click();
  await page.getByText(/^reached in/).waitFor();
  await page.getByRole('button', { name: 'Go on', exact: true }).click();
  await page.getByRole('button', { name: 'Grant access' }).click();
  await page.getByRole('link', { name: 'Connect to it' }).waitFor();

  // One of each other kind, each with a server that takes its connection.
  const kinds = [['Remote Desktop', 'desk'], ['TCP', 'raw'], ['PostgreSQL', 'orders'], ['MySQL', 'shop'], ['Redis', 'cache'], ['Web', 'wiki']];
  for (const [kind, name] of kinds) {
    await page.getByRole('button', { name: 'Add another application' }).click();
    await steps.getByLabel(kind, { exact: true }).check();
    await steps.getByLabel('Name', { exact: true }).fill(name);
    await steps.getByLabel('Address').first().fill(await listener());
    if (kind === 'PostgreSQL') {
      await page.getByLabel('With an account of its own for each session').check();
      await page.getByLabel('Account', { exact: true }).fill('adit_admin');
      await page.getByLabel('Password', { exact: true }).fill('geheim');
      await page.getByLabel('Role of viewer').fill('orders_ro');
    }
    if (kind === 'MySQL' || kind === 'Redis') {
      await page.getByLabel('With an account for each level of access').check();
      await page.getByLabel('Account of owner').fill('reporting');
      await page.getByLabel('Password of owner').fill('geheim');
    }
    await page.getByRole('button', { name: 'Add and test' }).click();
    await page.getByText(/^reached in/).waitFor();
    await page.getByRole('button', { name: 'Go on', exact: true }).click();
    if (kind === 'Web') {
      await page.getByLabel('Who').selectOption('somebody new');
      await page.getByLabel('Their user name').fill('newcomer');
    }
    await page.getByRole('button', { name: 'Grant access' }).click();
  }
  await page.getByRole('button', { name: 'Make a sign-in link for newcomer' }).click();
  const link = await copied(page, 'Sign-in link for newcomer');
  const other = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await other.goto(link);
  await other.getByRole('link', { name: 'Open wiki.berlin' }).waitFor();
  await other.context().close();

  // What is said of each kind's clients names the application, and what was set up works.
  await page.goto(`${told.url}/#/`);
  for (const [name, tabs] of [['orders', ['psql', 'DBeaver']], ['shop', ['mysql', 'HeidiSQL', 'DBeaver']], ['cache', ['redis-cli']]]) {
    await page.getByRole('button', { name: `Connect to ${name}.berlin` }).click();
    for (const tab of tabs) {
      await page.getByRole('tab', { name: tab, exact: true }).click();
      await page.getByRole('tabpanel').getByText(`+${name}`).or(page.getByRole('tabpanel').getByText(`tunnel ${name} `)).first().waitFor();
    }
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  await page.getByRole('button', { name: 'Connect to shell.berlin' }).click();
  await page.getByRole('button', { name: 'Issue a one-time token' }).click();
  const token = await copied(page, 'One-time token');
  const known = await copied(page, 'Once, so that ssh knows the relay');
  const command = await copied(page, 'Log in');
  const { code, text } = await shell(`${known}\n${command} echo from berlin`, { token });
  assert.equal(code, 0, text);
  assert.match(text, /from berlin/);
  await page.keyboard.press('Escape');

  // The guide is there again later; the line for the program alone brings a second connector.
  await open(page, 'admin', 'Overview');
  await page.getByRole('link', { name: 'Set something up' }).click();
  await page.getByRole('heading', { level: 1, name: 'Set up', exact: true }).waitFor();
  await open(page, 'admin/sites', 'Sites and connectors');
  await page.getByRole('button', { name: 'Add a connector to berlin' }).click();
  await page.getByLabel('the program adit-connector alone').check();
  await page.getByLabel('Its folder').fill(join(home, 'alone'));
  await page.getByRole('button', { name: 'Issue a join token' }).click();
  const alone = shell(await copied(page, 'On a machine in berlin'), { background: true });
  alone.done.then(({ text }) => console.log(`the second connector ended: ${text}`));
  await page.keyboard.press('Escape');
  await page.getByText('2 of 2 online').waitFor();
  process.kill(-alone.child.pid);
  await page.getByText('1 of 2 online').waitFor();

  // What does not work says where it ends.
  await open(page, 'admin/applications', 'Applications');
  await page.getByRole('button', { name: 'Add an application' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('TCP').check();
  await form.getByLabel('Name', { exact: true }).fill('dead');
  await form.getByLabel('Site').selectOption('berlin');
  for (const [address, code] of [['127.0.0.1:1', 'dial.refused'], ['nowhere.invalid:80', 'dial.'], ['169.254.169.254:80', 'dial.']]) {
    if (address === '127.0.0.1:1') {
      await form.getByLabel('Address').fill(address);
      await form.getByRole('button', { name: 'Add and test' }).click();
    } else {
      await page.getByRole('button', { name: 'Edit dead' }).click();
      await page.getByRole('dialog').getByLabel('Address').fill(address);
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Test dead' }).click();
    }
    const told = page.getByRole('dialog').locator('.sheet');
    await told.getByText('not reached', { exact: true }).waitFor();
    const words = await told.innerText();
    assert.ok(words.includes(code), `${address}: ${words}`);
    assert.equal(await told.locator('.dot.bad').count(), 1, words);
    console.log(words.replaceAll('\n', ' | '));
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  await page.getByRole('button', { name: 'Remove dead' }).click();
  await page.getByText('No open session ends with it.', { exact: false }).waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('button', { name: 'Remove dead' }).waitFor({ state: 'detached' });

  // What somebody else changed meanwhile is not written over.
  await page.getByRole('button', { name: 'Edit shell' }).click();
  await page.evaluate(async () => {
    const path = 'api/v1/applications/shell.berlin';
    const spec = await (await fetch(path)).json();
    await fetch(path, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...spec, tags: { by: 'another' } }) });
  });
  await page.getByRole('dialog').getByLabel('Tags').fill('by=me');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('request.stale').waitFor();
  forgive(/412/);
});
