// What a terminal's line takes and what it does not, said to the relay as a page would.
import assert from 'node:assert/strict';
import { journey, signedIn } from './lib.mjs';

const SECRET = (letter) => letter.repeat(40);

await journey(async (browser) => {
  const [alice, bob] = [await signedIn(browser, 'alice'), await signedIn(browser, 'bob')];
  for (const page of [alice, bob]) await page.evaluate(prepare);
  const ask = (page, first, wait = 'opened') => page.evaluate(([first, wait]) => globalThis.ask(first, wait), [first, wait]);
  const size = { columns: 80, rows: 24 };
  const opened = (await ask(alice, { open: { application: 'web1', next: SECRET('a'), ...size } })).opened;
  assert.equal(opened.from, 0);
  assert.equal(opened.grace, 60);
  const { terminal } = opened;
  const resume = (secret, next, seen = 0) => ({ resume: { terminal, secret, next, seen, ...size } });

  // Only this browser comes back, by the secret, once; and whoever does takes over.
  assert.equal((await ask(bob, resume(SECRET('a'), SECRET('b')))).end.code, 'terminal.gone');
  assert.equal((await ask(alice, resume(SECRET('x'), SECRET('b')))).end.code, 'terminal.gone');
  const again = (await ask(alice, resume(SECRET('a'), SECRET('b')))).opened;
  assert.equal(again.terminal, terminal);
  assert.equal(again.session, opened.session);
  assert.deepEqual(await alice.evaluate(() => globalThis.overOf(0)), { code: 4100, end: 'terminal.taken_over' });
  assert.equal((await ask(alice, resume(SECRET('a'), SECRET('c')))).end.code, 'terminal.gone', 'it was spent');
  const beyond = (await ask(alice, resume(SECRET('b'), SECRET('c'), 10 ** 9))).opened;
  assert.ok(beyond.reset, 'who has seen what never was sees all anew');

  // Files need a secret of their own, announced on the terminal's line.
  assert.equal((await ask(alice, { files: { terminal, secret: SECRET('f') } }, 'end')).end.code, 'terminal.gone');

  // What nobody understands, or is too large, ends the line, and not the session.
  for (const first of ['x', '{}', '[1]', { open: { application: 'web1', next: 'short', ...size } }, { open: { application: 'web1', next: SECRET('d'), more: 1, ...size } }]) {
    assert.equal((await ask(alice, first, 'end')).end.code, 'request.invalid', JSON.stringify(first));
  }
  const denied = await ask(bob, { open: { application: 'web2', next: SECRET('d'), login: 'root', ...size } }, 'end');
  const unknown = await ask(bob, { open: { application: 'nothing-there', next: SECRET('d'), login: 'root', ...size } }, 'end');
  assert.match(denied.end.reason, /access\.denied/);
  assert.deepEqual(unknown.end, denied.end, 'absent and forbidden are told alike');
  await alice.evaluate(() => globalThis.last().send(new Uint8Array(200_000)));
  assert.ok((await alice.evaluate(() => globalThis.lastOver())).code !== 1000);
  const back = (await ask(alice, resume(SECRET('c'), SECRET('e')))).opened;
  assert.equal(back.session, opened.session);

  // Signed out elsewhere: it ends.
  await alice.evaluate(async () => {
    const [mine] = (await (await fetch('api/v1/me/sign-ins')).json()).items;
    await fetch(`api/v1/me/sign-ins/${mine.id}`, { method: 'DELETE' });
  });
  assert.deepEqual(await alice.evaluate(() => globalThis.lastOver()), { code: 4009, end: 'session.signed_out' });
});

/** In the page: lines that are asked for one by one. */
function prepare() {
  const lines = [];
  globalThis.ask = (first, wait) => new Promise((resolve, reject) => {
    const url = new URL('api/v1/me/terminal', document.baseURI);
    url.protocol = 'wss:';
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    const one = { socket, end: undefined };
    one.over = new Promise((over) => { socket.onclose = ({ code }) => { over({ code, end: one.end }); reject(new Error(`closed with ${code}`)); }; });
    socket.onopen = () => socket.send(typeof first === 'string' ? first : JSON.stringify(first));
    socket.onmessage = ({ data }) => {
      if (typeof data !== 'string') return;
      const told = JSON.parse(data);
      if (told.end) one.end = told.end.code;
      if (told.opened) lines.push(one);
      if (told[wait] || told.end) resolve(told);
    };
    setTimeout(() => reject(new Error('no answer')), 15_000);
  });
  globalThis.overOf = (n) => lines[n].over;
  globalThis.lastOver = () => lines.at(-1).over;
  globalThis.last = () => lines.at(-1).socket;
}
