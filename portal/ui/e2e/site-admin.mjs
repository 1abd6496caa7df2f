// Who administers one site: its pages, what they do there, and nothing else; and what a connector
// finds on its ways.
import assert from 'node:assert/strict';
import { journey, open, signedIn, told, until } from './lib.mjs';
import { look, nothingFound } from './look.mjs';

await journey(async (browser) => {
  const admin = await signedIn(browser, 'admin');
  await open(admin, 'admin/sites', 'Sites and connectors');
  await admin.getByRole('button', { name: 'Details of hq-1' }).click();
  const ways = admin.getByRole('table', { name: 'Its ways' });
  await until('the connector has looked', async () => {
    if (await ways.count()) return true;
    await admin.keyboard.press('Escape');
    await admin.getByRole('button', { name: 'Details of hq-1' }).click();
    await admin.waitForTimeout(500);
    return (await ways.count()) > 0;
  });
  for (const way of ['name', 'quic', 'tls', 'certificate']) await ways.getByRole('cell', { name: way, exact: true }).waitFor();
  await admin.getByRole('button', { name: 'Look again' }).click();
  await admin.getByText('as it found them', { exact: false }).waitFor();
  await look(admin, 'window-connector');
  await admin.keyboard.press('Escape');

  // alice is made an admin of hq, beside a site that is not hers.
  await admin.evaluate(async () => {
    const send = async (path, body) => {
      const answer = await fetch(`api/v1/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(await answer.text());
    };
    await send('sites', { name: 'branch' });
    await send('applications', { name: 'till', site: 'branch', kind: 'tcp', address: 'till:1' });
  });
  await open(admin, 'admin/users', 'Users');
  await admin.getByRole('button', { name: 'Edit alice', exact: true }).click();
  await admin.getByLabel('Administers the sites').fill('hq');
  await look(admin, 'window-edit-user-sites');
  await admin.getByRole('button', { name: 'Save', exact: true }).click();
  await admin.getByText('admin of hq').waitFor();

  const alice = await signedIn(browser, 'alice');
  const pages = (await alice.getByRole('navigation', { name: 'Pages' }).locator('a').allInnerTexts()).map((text) => text.trim());
  assert.deepEqual(pages.slice(-4), ['Sites and connectors', 'Applications', 'Grants', 'Sessions']);
  await open(alice, 'admin/sites', 'Sites and connectors');
  await alice.getByRole('button', { name: 'Add a connector to hq' }).waitFor();
  assert.equal(await alice.getByText('branch').count(), 0);
  assert.equal(await alice.getByRole('button', { name: /^Remove site|Add a site/ }).count(), 0);
  await look(alice, 'site-admin-sites');
  await open(alice, 'admin/applications', 'Applications');
  await alice.getByRole('button', { name: 'Add an application' }).click();
  await alice.getByLabel('TCP', { exact: false }).first().check();
  await alice.getByLabel('Name', { exact: true }).fill('mine');
  await alice.getByLabel('Address', { exact: true }).fill(told.echo);
  await alice.getByRole('button', { name: 'Add and test' }).click();
  await alice.getByRole('dialog', { name: 'Test connection to mine.hq' }).getByText(/^reached in/).waitFor();
  await alice.keyboard.press('Escape');
  assert.equal(await alice.getByText('till').count(), 0);
  await open(alice, 'admin/grants', 'Grants');
  await alice.getByRole('button', { name: 'Add a grant' }).click();
  await alice.getByLabel('Who').fill('bob');
  await alice.getByLabel('What').selectOption('app:mine.hq');
  await look(alice, 'window-site-admin-grant');
  await alice.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await alice.getByRole('dialog').waitFor({ state: 'detached' });
  await alice.getByRole('cell', { name: 'bob' }).first().waitFor();
  await open(alice, 'admin/users', 'Nothing is here');
  nothingFound();
});
