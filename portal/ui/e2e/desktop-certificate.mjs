// A target is known by the certificate it showed first: what shows another gets neither password nor
// person, until an admin has forgotten the first.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { isOpen, openDesk, same } from './desks.mjs';
import { journey, signedIn, told } from './lib.mjs';

let to = told.nla.port;
const lines = new Set();
const server = createServer((near) => {
  const far = connect(to, '127.0.0.1');
  for (const [one, other] of [[near, far], [far, near]]) {
    lines.add(one);
    one.pipe(other);
    one.on('error', () => undefined);
    one.on('close', () => other.destroy());
  }
});
await new Promise((resolve) => server.listen(told.swapped, '127.0.0.1', resolve));

await journey(async (browser) => {
  const [alice, admin] = [await signedIn(browser, 'alice'), await signedIn(browser, 'admin')];
  const known = () => admin.evaluate(async () => (await (await fetch('api/v1/applications/desk5/host-key')).json()).learned);
  assert.equal(await known(), undefined);
  const desk = await openDesk(alice, 'desk5');
  await isOpen(desk);
  const first = await known();
  assert.match(first, /^certificate sha256:[0-9a-f]{64}$/);
  await desk.getByRole('button', { name: 'Disconnect' }).click();

  to = told.tls.port;
  await desk.getByRole('button', { name: 'Connect again' }).click();
  await desk.getByRole('alert').getByText(/shows another certificate/i).waitFor();
  await desk.getByText('target.certificate_changed').waitFor();
  assert.equal(await known(), first);

  await admin.evaluate(() => fetch('api/v1/applications/desk5/host-key', { method: 'DELETE' }));
  await desk.getByRole('button', { name: 'Connect again' }).click();
  await isOpen(desk);
  await same(desk, told.tls);
  assert.notEqual(await known(), first);
  lines.forEach((line) => line.destroy());
  server.close();
});
