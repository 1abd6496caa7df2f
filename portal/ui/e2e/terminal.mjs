// A person's terminal: vim over a network that breaks, files both ways, and access that is withdrawn.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { forgive, home, journey, network, open, PLAIN, shows, signedIn, told, type, until } from './lib.mjs';

const line = await network();
await journey(async (browser) => {
  const alice = await signedIn(browser, 'alice');
  const state = (wanted) => alice.locator(`.pane:not(.off) [data-state="${wanted}"]`).waitFor();

  // From the tile to a shell, and in it to an editor.
  await alice.getByRole('link', { name: 'Terminal at web1.hq' }).click();
  await state('open');
  await alice.getByText(/Connected, \d+ ms/).waitFor();
  const text = join(home, 'written.txt');
  await type(alice, `cd ${home} && PS1='ready> ' && clear\n`);
  await shows(alice, 'ready>');
  await type(alice, `vim -u NONE ${text}\n`);
  await shows(alice, '~');
  await type(alice, 'ifirst line');
  await shows(alice, 'first line');
  await alice.screenshot({ path: join(told.shots, 'terminal-vim.png'), ...PLAIN });

  // The network breaks, and the same vim is there when it is back.
  line.cut();
  await state('away');
  await alice.waitForTimeout(1500);
  line.mend();
  await state('open');
  await type(alice, '\nsecond line');
  await shows(alice, 'second line');
  await alice.keyboard.press('Escape');
  await type(alice, ':wq\n');
  await shows(alice, 'ready>');
  assert.equal(await until('vim wrote it', () => { try { return readFileSync(text, 'utf8'); } catch { return ''; } }), 'first line\nsecond line\n');
  const sessions = () => alice.evaluate(async () => (await (await fetch('api/v1/me/sessions')).json()).items);
  const [before, ...others] = await sessions();
  assert.equal(others.length, 0, 'it is one session all the time');

  // So does a page that is loaded anew, with what was on the screen; nothing is typed by that.
  await type(alice, 'echo here I am\n');
  await shows(alice, 'here I am');
  await alice.reload();
  await state('open');
  await shows(alice, 'here I am');
  await type(alice, 'echo still $((40 + 2))\n');
  await shows(alice, 'still 42');
  assert.deepEqual((await sessions()).map(({ id }) => id), [before.id]);

  // It takes the whole screen, and its program is told of the size.
  const rows = () => alice.locator('.pane:not(.off) .xterm-accessibility-tree > div').count();
  await shows(alice, 'still 42');
  const small = await rows();
  await alice.getByRole('button', { name: 'Full screen' }).first().click();
  await until('the terminal has the whole screen', () => alice.evaluate(() => document.fullscreenElement?.className.includes('terminal') ?? false));
  await alice.screenshot({ path: join(told.shots, 'terminal-full.png'), ...PLAIN });
  await alice.getByRole('button', { name: 'Full screen' }).first().click();
  await until('it gives it back', () => alice.evaluate(() => document.fullscreenElement === null));
  assert.ok(small > 5, `${small} rows`);

  // A key leaves the terminal, where Tab belongs to the program.
  await type(alice, '\t');
  assert.equal(await alice.evaluate(() => document.activeElement?.className.includes('xterm')), true);
  await alice.keyboard.press('Control+F6');
  assert.equal(await alice.evaluate(() => document.activeElement?.textContent), 'Copy');

  // Find, and files both ways.
  await alice.keyboard.press('Control+F6');
  await alice.getByRole('button', { name: 'Files', exact: true }).click();
  const here = join(home, 'up.bin');
  const content = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7919) % 251));
  writeFileSync(here, content);
  await alice.locator('section.files h2', { hasText: '/' }).waitFor();
  await alice.getByLabel('Files to upload').setInputFiles({ name: 'adit-up.bin', mimeType: 'application/octet-stream', buffer: content });
  await alice.getByRole('list', { name: 'Transfers' }).getByText('done').waitFor();
  const [got] = await Promise.all([alice.waitForEvent('download'), alice.getByRole('button', { name: 'Download adit-up.bin' }).click()]);
  assert.ok(readFileSync(await got.path()).equals(content), 'what came back is what was sent');
  await alice.screenshot({ path: join(told.shots, 'terminal-files.png'), ...PLAIN });
  await type(alice, 'rm ~/adit-up.bin && echo gone\n');

  // A second one beside it, which ends by itself.
  await alice.getByRole('button', { name: 'One more to web1.hq' }).click();
  await state('open');
  assert.equal((await sessions()).length, 2);
  await type(alice, 'exit 3\n');
  await alice.getByText('(exit status 3)').waitFor();
  await alice.getByRole('alert').getByRole('button', { name: 'Close', exact: true }).click();

  // An account of one's own: its name is asked for, and the target's questions come in the terminal.
  await open(alice, 'terminal/web2.hq', 'Terminal');
  await alice.getByLabel('Your account at web2').fill('nobody-there');
  await alice.getByRole('button', { name: 'Open the terminal' }).click();
  await shows(alice, "password:");
  await alice.locator('.pane:not(.off)').getByRole('button', { name: 'End', exact: true }).click();
  await alice.locator('.pane:not(.off)').getByRole('alert').waitFor();

  // Withdrawn access ends it, and says so.
  await open(alice, 'terminal/web1.hq', 'Terminal');
  await state('open');
  const admin = await signedIn(browser, 'admin');
  const began = Date.now();
  await admin.evaluate(async () => {
    const grants = (await (await fetch('api/v1/grants')).json()).items;
    const { id } = grants.find(({ grant }) => grant.user === 'alice' && /^web1/.test(grant.application));
    const answer = await fetch(`api/v1/grants/${id}`, { method: 'DELETE' });
    if (!answer.ok) throw new Error(await answer.text());
  });
  await alice.getByRole('alert').getByText(/session\.revoked/).waitFor({ timeout: 5000 });
  assert.ok(Date.now() - began < 5000, 'soon');
  await alice.locator('.pane:not(.off)').getByRole('button', { name: 'Open it again' }).click();
  await alice.getByText('access.denied').waitFor();

  // A broken line is the one thing that a browser complains about.
  for (;;) {
    try { forgive(/WebSocket connection|ERR_(CONNECTION|EMPTY|SOCKET|NETWORK|FAILED)/); } catch { break; }
  }
}, [line.rules]);
