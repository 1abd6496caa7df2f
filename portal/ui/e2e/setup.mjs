import assert from 'node:assert/strict';
import { join } from 'node:path';
import { copied, forgive, home, journey, open, shell, signedIn, told } from './lib.mjs';

await journey(async (browser) => {
  const page = await signedIn(browser, 'admin');
  await open(page, 'admin', 'Overview');
  await page.getByRole('link', { name: 'Set something up' }).click();
  await page.getByLabel('Name of the site').fill('berlin');
  await page.getByRole('button', { name: 'Add the site' }).click();

  await page.getByLabel('Its folder').fill(join(home, 'connector'));
  await page.getByLabel('What it may dial').fill('127.0.0.1/32:*');
  await page.getByRole('button', { name: 'Issue a join token' }).click();
  const lines = await copied(page, 'On a machine in berlin, with outbound 443/udp');
  const connector = shell(lines, { background: true });
  connector.done.then(({ text }) => console.log(`the connector ended: ${text}`));

  await page.locator('.steps').getByLabel('Name', { exact: true }).fill('shell');
  await page.locator('.steps').getByLabel('Address').fill(told.sshd);
  await page.getByLabel('With an account whose key or password the relay keeps').check();
  await page.getByLabel('Account', { exact: true }).fill(told.account);
  await page.getByLabel('Private key').fill(told.clientKey);
  await page.getByLabel('Host key').fill(told.hostKey);
  await page.getByRole('button', { name: 'Add and test' }).click();
  await page.getByText(/^reached in/).waitFor();
  await page.getByRole('button', { name: 'Go on', exact: true }).click();
  await page.getByRole('button', { name: 'Grant access' }).click();
  await page.getByRole('link', { name: 'Connect to it' }).click();

  await page.getByRole('button', { name: 'Issue a one-time token' }).click();
  const token = await copied(page, 'One-time token');
  const known = await copied(page, 'Once, so that ssh knows the relay');
  const command = await copied(page, 'Log in');
  const { code, text } = await shell(`${known}\n${command} echo from berlin`, { token });
  assert.equal(code, 0, text);
  assert.match(text, /from berlin/);
  await page.keyboard.press('Escape');

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
