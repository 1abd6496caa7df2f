// What a ticket opens and what it does not, said to the relay as a page would.
import assert from 'node:assert/strict';
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

/** In the page: asks for tickets, and speaks RDCleanPath by hand. */
function prepare() {
  const json = async (response) => response.json();
  globalThis.offer = async (application) => json(await fetch('api/v1/me/desktops', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ application }),
  }));
  globalThis.how = async (id) => json(await fetch(`api/v1/me/desktops/${id}`));
  globalThis.ask = (ticket) => new Promise((resolve) => {
    const socket = new WebSocket(new URL('api/v1/me/desktop', location.href.replace('https', 'wss')));
    socket.binaryType = 'arraybuffer';
    let status;
    socket.onopen = () => socket.send(request(ticket));
    socket.onmessage = ({ data }) => {
      const bytes = new Uint8Array(data);
      // 0xa1 has an error, whose second field is an HTTP status.
      const at = bytes.findIndex((byte, n) => byte === 0xa1 && bytes[n + 2] === 0x02 && bytes[n + 3] === 2);
      if (at >= 0) status = bytes[at + 4] * 256 + bytes[at + 5];
      else resolve({ open: bytes.length > 500 });
    };
    socket.onclose = ({ reason }) => {
      if (status === undefined) globalThis.firstClosed ??= reason;
      resolve({ status, closed: reason });
    };
  });
  globalThis.firstClosed = undefined;
  function request(ticket) {
    const der = (tag, content) => [tag, ...(content.length < 128 ? [content.length] : [0x81, content.length]), ...content];
    const text = (value) => der(0x0c, [...new TextEncoder().encode(value)]);
    const frame = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];
    const fields = [
      der(0xa0, der(2, [0x0d, 0x3e])), der(0xa2, text('10.0.0.1:3389')), der(0xa3, text(ticket)), der(0xa6, der(4, frame)),
    ];
    return new Uint8Array(der(0x30, fields.flat()));
  }
}
