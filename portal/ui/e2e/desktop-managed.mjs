// Desktops at which the relay signs in: with NLA and without.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { isOpen, openDesk, same, types } from './desks.mjs';
import { journey, PLAIN, signedIn, told } from './lib.mjs';

await journey(async (browser) => {
  const alice = await signedIn(browser, 'alice');
  for (const [name, target] of [['desk2', told.nla], ['desk3', told.tls]]) {
    const said = [];
    const desk = await openDesk(alice, name);
    desk.on('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => said.push(Buffer.from(payload)));
      socket.on('framereceived', ({ payload }) => said.push(Buffer.from(payload)));
    });
    await desk.reload();
    await isOpen(desk);
    await desk.getByText(`Signed in by the relay as ${told.user}`).waitFor();
    await same(desk, target);
    await types(desk, target, name);
    if (name === 'desk3') await desk.getByText('The clipboard is off here.').waitFor();
    await desk.screenshot({ path: join(told.shots, `${name}.png`), ...PLAIN });
    const all = Buffer.concat(said);
    assert.ok(all.length > 10_000, 'its line was listened to');
    for (const password of [Buffer.from(told.password), Buffer.from(told.password, 'utf16le')]) {
      assert.ok(!all.includes(password), 'the browser has the password');
    }
    await desk.getByRole('button', { name: 'Disconnect' }).click();
    await desk.getByRole('heading', { name: 'The desktop is closed' }).waitFor();
    await desk.close();
  }
});
