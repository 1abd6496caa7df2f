// An admin watches a terminal while it is used, and ends it with a word; afterwards they look for what it showed.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { journey, open, PLAIN, shows, signedIn, told, type, until } from './lib.mjs';

await journey(async (browser) => {
  const [admin, bob] = [await signedIn(browser, 'admin'), await signedIn(browser, 'bob')];
  await open(bob, 'terminal/web1.hq', 'Terminal');
  await bob.locator('[data-state="open"]').waitFor();
  await type(bob, "PS1='ready> '; clear\n");
  await shows(bob, 'ready>');
  await type(bob, 'echo needle in a $((4 + 3))-fold haystack\n');
  await shows(bob, 'needle in a 7-fold haystack');

  await open(admin, 'admin/sessions', 'Sessions');
  await admin.getByRole('link', { name: 'Watch the session of bob at web1' }).click();
  const watched = async () => (await admin.locator('#screen-text').textContent()) ?? '';
  await until('the admin sees it', async () => (await watched()).includes('7-fold haystack'));
  await admin.getByText('Live', { exact: true }).waitFor();
  await type(bob, 'echo and then $((6 * 7))\n');
  await until('and what comes', async () => (await watched()).includes('and then 42'));
  await admin.screenshot({ path: join(told.shots, 'watch-light.png'), ...PLAIN });

  await admin.getByRole('button', { name: 'End…' }).click();
  await admin.getByLabel('What its user is told besides').fill('back at five');
  await admin.getByRole('button', { name: 'End it' }).click();
  await bob.getByRole('alert').getByText(/back at five/).waitFor();
  await bob.getByRole('alert').getByText(/session\.killed/).waitFor();
  await admin.getByText('Live', { exact: true }).waitFor({ state: 'detached' });

  await admin.getByLabel('Find in the recording').fill('7-FOLD');
  await admin.getByText('1 found').waitFor();
  await admin.getByLabel('Time', { exact: true }).fill('0');
  await admin.getByRole('button', { name: 'Next' }).click();
  await until('it is there', async () => (await watched()).includes('7-fold haystack'));
  assert.ok(!(await watched()).includes('and then 42'), 'and what came later is not');
});
