// Somebody who decides on requests and is no admin.
import assert from 'node:assert/strict';
import { journey, open, signedIn, until } from './lib.mjs';

await journey(async (browser) => {
  const [bob, dave] = [await signedIn(browser, 'bob'), await signedIn(browser, 'dave')];
  await bob.getByRole('button', { name: 'Ask for access' }).click();
  await bob.getByLabel('Application', { exact: true }).fill('sandbox');
  await bob.getByLabel('What you need it for').fill('on call');
  await bob.getByLabel('For how long').selectOption('1h');
  await bob.getByRole('button', { name: 'Ask', exact: true }).click();
  await bob.getByText('You have asked for access to sandbox.').waitFor();

  // It waits for the approver, who has no page of the admins'.
  await dave.reload();
  await dave.getByRole('link', { name: /^Access requests\s+waiting: 1$/ }).waitFor();
  assert.equal(await dave.getByRole('link', { name: 'Users' }).count(), 0);
  await open(dave, 'admin/users', 'Nothing is here');
  await open(dave, 'requests', 'Access requests');
  await dave.getByRole('button', { name: 'Approve bob sandbox.hq' }).click();
  await dave.getByLabel('Comment').fill('until five');
  await dave.getByRole('button', { name: 'Approve', exact: true }).click();
  await dave.getByText('bob reaches sandbox.hq for 1h.').waitFor();
  await open(bob, '', 'Applications');
  await bob.reload();
  await bob.getByRole('button', { name: 'Connect to sandbox.hq' }).waitFor();
  await open(bob, 'requests', 'Access requests');
  await bob.getByText('dave: until five').waitFor();

  // What they gave they take back.
  await dave.getByRole('button', { name: 'Take back bob sandbox.hq' }).click();
  await dave.getByRole('button', { name: 'Take it back' }).click();
  await until('it is gone', async () => {
    await open(bob, '', 'Applications');
    await bob.reload();
    await bob.getByRole('heading', { level: 1 }).waitFor();
    await bob.waitForLoadState('networkidle');
    return (await bob.getByRole('button', { name: 'Connect to sandbox.hq' }).count()) === 0;
  });

  // They ask like everybody, and do not decide on that.
  await open(dave, 'requests', 'Access requests');
  await dave.getByRole('button', { name: 'Ask for access' }).click();
  await dave.getByLabel('Application', { exact: true }).fill('sandbox');
  await dave.getByLabel('What you need it for').fill('me too');
  await dave.getByRole('button', { name: 'Ask', exact: true }).click();
  await dave.getByText('You have asked for access to sandbox.').waitFor();
  assert.equal(await dave.getByRole('button', { name: 'Approve dave sandbox.hq' }).count(), 0);
});
