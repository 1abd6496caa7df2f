// What a ticket opens and what it does not, said to the relay as a page would.
import assert from 'node:assert/strict';
import { prepare } from './cleanpath.mjs';
import { journey, signedIn } from './lib.mjs';

await journey(async (browser) => {
  const [alice, bob] = [await signedIn(browser, 'alice'), await signedIn(browser, 'bob')];
  for (const page of [alice, bob]) await page.evaluate(prepare);
  const offer = (page, application) => page.evaluate((application) => globalThis.offer(application), application);
  const ask = (page, ticket) => page.evaluate((ticket) => globalThis.ask(ticket), ticket);
  const how = (page, id) => page.evaluate((id) => globalThis.how(id), id);

  const own = await offer(alice, 'desk3.hq');
  assert.equal(own.account, 'alice');
  assert.equal(own.clipboard, 'off');
  assert.equal((await how(alice, own.id)).state, 'offered');
  const opened = await ask(alice, own.ticket);
  assert.ok(opened.open, JSON.stringify(opened));
  assert.equal((await how(alice, own.id)).state, 'open');
  assert.equal((await how(bob, own.id)).code, 'request.not_found', 'it is not his to ask');
  assert.deepEqual(await ask(alice, own.ticket), { status: 403, closed: 'desktop.gone' }, 'again');

  const shown = await offer(alice, 'desk3.hq');
  assert.deepEqual(await ask(bob, shown.ticket), { status: 403, closed: 'desktop.gone' }, "another's");
  assert.deepEqual(await ask(alice, shown.ticket), { status: 403, closed: 'desktop.gone' }, 'it was shown to somebody');
  assert.equal((await how(alice, shown.id)).code, 'desktop.gone');

  for (const ticket of ['', 'x', `${shown.id}.00`]) {
    assert.deepEqual(await ask(alice, ticket), { status: 403, closed: 'desktop.gone' }, ticket);
  }
  // Absent and forbidden are told alike, and no ticket is for another application than it says.
  const [forbidden, absent] = [await offer(bob, 'desk1.hq'), await offer(bob, 'nothing.hq')];
  assert.equal(forbidden.code, 'access.denied');
  assert.deepEqual([absent.code, absent.detail, absent.hint], [forbidden.code, forbidden.detail, forbidden.hint]);

  // A browser that is signed out: its desktop ends.
  await alice.evaluate(async () => {
    const [mine] = (await (await fetch('api/v1/me/sign-ins')).json()).items;
    await fetch(`api/v1/me/sign-ins/${mine.id}`, { method: 'DELETE' });
  });
  assert.equal(await alice.evaluate(() => globalThis.firstClosed), 'session.signed_out');
}, [], [/Failed to load resource/]);
