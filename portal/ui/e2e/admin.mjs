import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { look, nothingFound } from './look.mjs';
import { copied, journey, open, shell, signedIn, told, until } from './lib.mjs';

await journey(async (browser) => {
  const [admin, bob] = [await signedIn(browser, 'admin'), await signedIn(browser, 'bob')];

  // A recorded session of bob's, on a terminal, which the admin sees come and ends with a word.
  await bob.getByRole('button', { name: 'Connect to web1.hq' }).click();
  await bob.getByRole('button', { name: 'Issue a one-time token' }).click();
  const token = await copied(bob, 'One-time token');
  const known = await copied(bob, 'Once, so that ssh knows the relay');
  const command = await copied(bob, 'Log in');
  await bob.keyboard.press('Escape');
  await open(admin, 'admin/sessions', 'Sessions');
  await admin.getByText('No sessions are open.').waitFor();
  const live = shell(`${known}\n${command} -tt 'printf "\\033[31mhe\\033[0m\\n"; echo llo | tr a-z A-Z; sleep 100'`, { token, background: true });
  await until('the session is up', () => live.text.includes('LLO'));
  await admin.getByRole('button', { name: 'End the session of bob at web1' }).click();
  await admin.getByLabel('What its user is told besides').fill('back at five');
  await admin.getByRole('button', { name: 'End it' }).click();
  const { text } = await live.done;
  assert.match(text, /back at five/);
  await admin.getByText(/1 session ended, within \d+ ms/).waitFor();
  await admin.getByText('No sessions are open.').waitFor();

  // Over, it is found among those that were, with its end, and leads to its recording.
  await admin.getByRole('tab', { name: 'Ended' }).click();
  const over = admin.getByRole('row').filter({ hasText: 'bob' }).first();
  await over.getByText('killed').waitFor();
  await admin.getByLabel('Recorded only').check();
  await look(admin, 'ended-sessions');
  nothingFound();
  await over.getByRole('link', { name: /^Play of the session of bob at web1/ }).click();
  await admin.getByLabel('Speed').waitFor();

  // Its recording plays.
  await open(admin, 'admin/recordings', 'Recordings');
  await admin.getByRole('link', { name: /^Play the session of bob/ }).click();
  await admin.getByLabel('Speed').selectOption('16');
  await admin.getByRole('button', { name: 'Play' }).click();
  await until('the terminal shows it', async () => (await admin.locator('#screen-text').textContent()).includes('he\nLLO'));
  // At its end it stands still.
  await admin.getByRole('button', { name: 'Play', exact: true }).waitFor();
  await admin.getByLabel('Time', { exact: true }).fill('0');
  await until('going back clears it', async () => !(await admin.locator('#screen-text').textContent()).includes('LLO'));
  await admin.screenshot({ path: `${told.shots}/player-light.png`, caret: 'initial', animations: 'allow' });

  // Everything of it is in the audit log.
  await admin.getByRole('link', { name: 'Records' }).click();
  await admin.getByRole('cell', { name: 'session.recorded', exact: true }).waitFor();
  const [download] = await Promise.all([admin.waitForEvent('download'), admin.getByRole('button', { name: 'Export' }).click()]);
  const rows = readFileSync(await download.path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.ok(rows.some((row) => row.action === 'session.opened') && rows.every((row) => row.session), JSON.stringify(rows));

  // Asked for, approved, reached; and whoever asks does not decide.
  await bob.goto(`${told.url}/#/`);
  assert.equal(await bob.getByText('sandbox').count(), 0);
  await bob.getByRole('button', { name: 'Ask for access' }).click();
  await bob.getByLabel('Application', { exact: true }).fill('sandbox');
  await bob.getByLabel('What you need it for').fill('on call');
  await bob.getByLabel('For how long').selectOption('1h');
  await bob.getByRole('button', { name: 'Ask', exact: true }).click();
  await bob.getByText('You have asked for access to sandbox.').waitFor();
  await open(admin, 'requests', 'Access requests');
  await admin.getByRole('button', { name: 'Approve bob sandbox.hq' }).click();
  await admin.getByLabel('Comment').fill('go ahead');
  await admin.getByRole('button', { name: 'Approve', exact: true }).click();
  await admin.getByText('bob reaches sandbox.hq for 1h.').waitFor();
  await bob.reload();
  await bob.getByRole('button', { name: 'Connect to sandbox.hq' }).waitFor();
  await open(bob, 'requests', 'Access requests');
  await bob.getByText('admin: go ahead').waitFor();

  // Why, and why not.
  await open(admin, 'admin/why', 'Why');
  for (const [application, answer] of [['sandbox.hq', 'Yes'], ['echo.hq', 'No']]) {
    await admin.getByLabel('User').selectOption('bob');
    await admin.getByLabel('Application').selectOption(application);
    await admin.getByRole('button', { name: 'Look' }).click();
    await admin.getByRole('heading', { name: answer, exact: true }).waitFor();
  }

  // An auditor sees it all, and has no button that changes anything.
  const eve = await signedIn(browser, 'eve', { path: 'admin/users', heading: 'Users' });
  for (const [path, heading] of [['admin/users', 'Users'], ['admin/grants', 'Grants'], ['admin/applications', 'Applications'], ['admin/sites', 'Sites and connectors']]) {
    await open(eve, path, heading);
    await eve.getByRole('table').first().waitFor();
    assert.equal(await eve.getByRole('button', { name: /Add|Edit|Remove|End/ }).count(), 0, path);
  }
});
