import assert from 'node:assert/strict';
import { readFileSync, writeFileSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { copied, forgive, home, journey, open, shell, signedIn, told, until, wiki } from './lib.mjs';

await journey(async (browser) => {
  await wiki();
  const page = await signedIn(browser, 'alice');

  // Search as one types, favourites, folders.
  const tiles = page.locator('.tile strong');
  assert.deepEqual((await tiles.allInnerTexts()).sort(), ['echo', 'web1', 'web2', 'wiki']);
  await page.getByLabel('Search applications').fill('prod wik');
  assert.deepEqual(await tiles.allInnerTexts(), ['wiki']);
  await page.getByLabel('Search applications').fill('');
  await page.getByRole('button', { name: 'Favourite: web2.hq' }).click();
  await page.getByLabel('Folders').selectOption('env');
  const summaries = await page.locator('summary').allInnerTexts();
  assert.deepEqual(summaries.map((text) => text.replace(/\s+/g, ' ')), ['prod 1', 'Without env 3']);
  await page.reload();
  await page.getByRole('heading', { name: 'Favourites' }).waitFor();
  await page.getByLabel('Folders').selectOption('');

  // What the window shows is what works when pasted.
  await page.getByRole('button', { name: 'Connect to web1.hq' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Issue a one-time token' }).click();
  const token = await copied(page, 'One-time token');
  assert.match(token, /^adit_access_/);
  const known = await copied(page, 'Once, so that ssh knows the relay');
  const command = await copied(page, 'Log in');
  assert.match(command, new RegExp(`^ssh -p ${told.sshPort} ${told.account}\\+web1@${told.domain}$`));
  const { code, text } = await shell(`${known}\n${command} 'echo it works | tr a-z A-Z'`, { token });
  assert.equal(code, 0, text);
  assert.match(text, /IT WORKS/);
  const again = await shell(`${command} true`, { token });
  assert.notEqual(again.code, 0, 'a token is good once');
  for (const client of ['PuTTY', 'VS Code', 'adit']) {
    await dialog.getByRole('tab', { name: client }).click();
    assert.ok((await dialog.locator('pre').count()) >= 2, client);
  }
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await until('the token is gone with its window', async () => !(await page.content()).includes(token));
  await page.getByRole('heading', { name: 'Recent' }).waitFor();

  // The API key: what is generated opens, what it took the place of opens nothing.
  await page.getByRole('button', { name: 'API key for wiki.hq' }).first().click();
  await page.getByRole('button', { name: 'Generate API key' }).click();
  const [first, header, address] = [await copied(page, 'API key'), await copied(page, 'Header'), await copied(page, 'Address')];
  assert.equal(header, `X-Adit-Key: ${first}`);
  const ask = (key) => shell(`curl -sk -o - -w ' %{http_code}' -H 'X-Adit-Key: ${key}' ${address} --resolve '*:${new URL(address).port}:127.0.0.1'`);
  assert.equal((await ask(first)).text, 'hello alice\n 200');
  await page.getByRole('button', { name: 'Regenerate API key' }).click();
  await page.locator('pre[data-copy="API key"]').filter({ hasNotText: first }).waitFor();
  const second = await copied(page, 'API key');
  assert.notEqual(first, second);
  assert.match((await ask(first)).text, /token\.revoked.* 401$/s);
  assert.equal((await ask(second)).text, 'hello alice\n 200');
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.getByRole('dialog').last().getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.getByRole('button', { name: 'Generate API key' }).waitFor();
  assert.match((await ask(second)).text, / 401$/);
  await page.keyboard.press('Escape');

  // Open for the web: the sign-in is enough.
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.getByRole('link', { name: 'Open wiki.hq' }).first().click()]);
  await popup.getByText('hello alice').waitFor();
  await popup.close();

  await keys(page);

  // One's own session, and its end.
  const line = await copiedKey(page);
  const live = shell(`${line} 'echo up; sleep 60'`, { background: true });
  await open(page, 'sessions', 'My sessions');
  await page.getByRole('button', { name: 'End session at web1' }).click({ timeout: 30_000 });
  await page.getByRole('button', { name: 'End it' }).click();
  const ended = await live.done;
  assert.match(ended.text, /you ended it from elsewhere/, ended.text);
  await page.getByRole('button', { name: 'End session at web1' }).waitFor({ state: 'detached' });

  // A key that has come to its end signs in no more, and the page says so.
  await page.evaluate(async (key) => {
    const answer = await fetch('api/v1/me/ssh-keys', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key, expires: '1s' }) });
    if (!answer.ok) throw new Error(await answer.text());
  }, execFileSync('ssh-keygen', ['-y', '-f', join(home, 'key')], { encoding: 'utf8' }));
  const expired = await until('the key is refused', async () => {
    const tried = await shell(`${line} true`);
    // One that is open when the key ends is told so; the next is not let in.
    return tried.code !== 0 && /Permission denied/.test(tried.text) && tried;
  });
  assert.equal(expired.code, 255, expired.text);
  await open(page, 'keys', 'SSH keys');
  await page.reload();
  await page.getByText('expired', { exact: true }).waitFor();

  // Signed out, the portal is closed, and leads back to where one was.
  await open(page, 'sign-ins', 'My sign-ins');
  await page.getByRole('button', { name: /^Sign out the browser/ }).click();
  await page.getByRole('button', { name: 'Sign it out' }).click();
  await page.waitForURL(/\/sign-in$/);
  forgive(/401/);
});

/** A key that is made in the browser signs in with stock ssh, and is read by the programs it is for. */
async function keys(page) {
  await open(page, 'keys', 'SSH keys');
  await page.getByRole('button', { name: 'Generate a key' }).click();
  await page.getByLabel('Name', { exact: true }).fill('laptop');
  await page.getByRole('button', { name: 'Generate and register' }).click();
  for (const [name, file] of [['OpenSSH', 'key'], ['PEM', 'key.pem'], ['PuTTY (.ppk)', 'key.ppk']]) {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()]);
    writeFileSync(join(home, file), readFileSync(await download.path()));
    chmodSync(join(home, file), 0o600);
  }
  const line = await copied(page, 'Public key');
  const [type, blob] = line.split(' ');
  const same = (text) => assert.equal(text.split(' ').slice(0, 2).join(' ').trim(), `${type} ${blob}`);
  same(execFileSync('ssh-keygen', ['-y', '-f', join(home, 'key')], { encoding: 'utf8' }));
  execFileSync('puttygen', [join(home, 'key.ppk'), '-O', 'private-openssh', '-o', join(home, 'key.putty')]);
  same(execFileSync('ssh-keygen', ['-y', '-f', join(home, 'key.putty')], { encoding: 'utf8' }));
  const pem = execFileSync('openssl', ['pkey', '-in', join(home, 'key.pem'), '-pubout', '-outform', 'DER']);
  assert.equal(Buffer.from(blob, 'base64').subarray(-32).toString('hex'), pem.subarray(-32).toString('hex'));
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByText('laptop').waitFor();

  await page.getByRole('button', { name: 'Register a key' }).click();
  await page.getByLabel('Public key').fill('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/D9RpXsRdzgZAnjYUjPLVzFnTZhmtD9CxfAuXhxqYc other');
  await page.getByLabel('Name', { exact: true }).fill('desk');
  await page.getByLabel('Good for').selectOption('30d');
  await page.getByRole('button', { name: 'Register', exact: true }).click();
  await page.getByRole('button', { name: 'Remove desk' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('button', { name: 'Remove desk' }).waitFor({ state: 'detached' });
}

/** ssh with the key that was downloaded. */
async function copiedKey() {
  const line = `ssh -i ${join(home, 'key')} -o IdentitiesOnly=yes -o BatchMode=yes -p ${told.sshPort} ${told.account}+web1@${told.domain}`;
  const { code, text } = await shell(`${line} echo by key`);
  assert.equal(code, 0, text);
  assert.match(text, /by key/);
  return line;
}
