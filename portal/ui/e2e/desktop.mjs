// A person signs in at a desktop, sees it and types into it; an admin ends it with a word.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { isOpen, openDesk, same, signIn, types } from './desks.mjs';
import { journey, PLAIN, signedIn, told, until } from './lib.mjs';

await journey(async (browser) => {
  const [alice, admin] = [await signedIn(browser, 'alice'), await signedIn(browser, 'admin')];
  const desk = await openDesk(alice, 'desk1');
  await desk.getByRole('heading', { name: 'Sign in to desk1' }).waitFor();
  await desk.screenshot({ path: join(told.shots, 'sign-in-light.png'), ...PLAIN });
  await desk.emulateMedia({ colorScheme: 'dark' });
  await desk.screenshot({ path: join(told.shots, 'sign-in-dark.png'), ...PLAIN });
  await desk.emulateMedia({ colorScheme: 'light' });

  await signIn(desk, 'wrong');
  await desk.getByRole('alert').getByText(/user name or the password is wrong/i).waitFor();
  const began = Date.now();
  await signIn(desk);
  await isOpen(desk);
  console.error(`the desktop shows after ${Date.now() - began} ms: ${await same(desk, told.nla)}`);
  console.error(`and is the same after ${Date.now() - began} ms`);
  await types(desk, told.nla, 'typed');
  await same(desk, told.nla);
  await desk.screenshot({ path: join(told.shots, 'desktop-light.png'), ...PLAIN });
  await desk.emulateMedia({ colorScheme: 'dark' });
  await desk.screenshot({ path: join(told.shots, 'desktop-dark.png'), ...PLAIN });
  await desk.emulateMedia({ colorScheme: 'light' });

  // Without a mouse: out of the desktop, along its tools, and back.
  await desk.locator('canvas').focus();
  await desk.keyboard.press('Control+F6');
  assert.equal(await desk.evaluate(() => document.activeElement?.textContent), 'Ctrl+Alt+Del');
  await desk.getByRole('button', { name: 'Windows key' }).click();
  assert.equal(await desk.evaluate(() => document.activeElement?.tagName), 'CANVAS');

  // A browser's session like any other: listed, and ended with a word, within a second.
  const ended = await admin.evaluate(async () => {
    const rows = (await (await fetch('api/v1/sessions')).json()).items;
    const row = rows.find((one) => one.application === 'desk1');
    const began = performance.now();
    await fetch(`api/v1/sessions/${row.id}?message=until+five`, { method: 'DELETE' });
    return { door: row.door, user: row.user, took: performance.now() - began };
  });
  const killed = Date.now();
  await desk.getByRole('alert').getByText(/an administrator ended this session: until five/i).waitFor();
  const took = Date.now() - killed + ended.took;
  assert.deepEqual([ended.door, ended.user], ['desktop', 'alice']);
  assert.ok(took < 3000, `it was told after ${took} ms`);
  await desk.screenshot({ path: join(told.shots, 'ended-light.png'), ...PLAIN });
  await desk.getByRole('button', { name: 'Connect again' }).click();
  await desk.getByRole('heading', { name: 'Sign in to desk1' }).waitFor();

  // A host that hangs up has not refused a password. This one does where a channel is spoken on that it
  // has not opened.
  await desk.evaluate(() => {
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data) {
      globalThis.said = this;
      send.call(this, data);
    };
  });
  await signIn(desk);
  await isOpen(desk);
  await desk.evaluate(() => globalThis.said.send(new Uint8Array(
    [3, 0, 0, 23, 2, 0xf0, 0x80, 0x64, 0, 5, 3, 0xec, 0x70, 9, 1, 0, 0, 0, 3, 0, 0, 0, 0])));
  await desk.getByRole('alert').getByText('The desktop ended the connection').waitFor();
  await desk.getByRole('heading', { name: 'The desktop is over' }).waitFor();

  // The decoder runs in this page and in no other.
  const policy = async (path) => (await alice.request.get(`${told.url}/${path}`)).headers()['content-security-policy'];
  assert.ok((await policy('desktop')).includes("'wasm-unsafe-eval'"));
  assert.ok(!(await policy('')).includes('wasm'));
  await until('nothing is open', async () => (await alice.evaluate(async () => (await (await fetch('api/v1/me/sessions')).json()).items.length)) === 0);
});
