// xrdp in a window: the desktop takes its size, also that of a full screen; it has the pointers of its
// programs; and after the network broke it is the same desktop, with all that runs on it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOpen, openDesk, typed } from './desks.mjs';
import { journey, network, signedIn, told, until } from './lib.mjs';

const { dir } = told.xrdp;
writeFileSync(join(dir, 'size'), 'xwininfo -root > size.part; mv size.part size-$1\n');
// Letters and signs that need no Shift are all that is typed.
writeFileSync(join(dir, 'points'), 'xterm -geometry 20x20+700+200 -xrm "*pointerShape: watch" &\nsleep 1; touch points-are\n');
writeFileSync(join(dir, 'show'), 'echo $before > after\n');
const net = await network();

await journey(async (browser) => {
  const alice = await signedIn(browser, 'alice');
  const desk = await openDesk(alice, 'desk10');
  await isOpen(desk);
  const canvas = desk.locator('canvas');
  const run = (line, file) => typed(desk, line, file);
  /** What the desktop's own programs hold for its size, once that is what there is room for. */
  const fits = async (name) => {
    const room = () => desk.evaluate(() => {
      const { clientWidth, clientHeight } = document.querySelector('.place');
      return [clientWidth, clientHeight].map((size) => Math.floor(size / 2) * 2);
    });
    const drawn = () => canvas.evaluate(({ width, height }) => [width, height]);
    await until(`the picture fills the window ${name}`, async () => String(await drawn()) === String(await room()))
      .catch(async (error) => { throw new Error(`${error.message}: ${await drawn()} in ${await room()}`); });
    const said = await run(`sh size ${name}`, `size-${name}`);
    const there = ['Width', 'Height'].map((one) => Number(new RegExp(`${one}: (\\d+)`).exec(said)[1]));
    assert.deepEqual(there, await room(), name);
    return there;
  };
  const first = await fits('a');
  await desk.setViewportSize({ width: 1000, height: 700 });
  const smaller = await fits('b');
  assert.ok(smaller[0] < first[0] && smaller[1] < first[1]);

  await desk.getByRole('button', { name: 'Full screen' }).click();
  await until('it fills the screen', async () => desk.evaluate(() => document.fullscreenElement !== null));
  await desk.setViewportSize({ width: 1400, height: 900 });
  const full = await fits('c');
  assert.ok(full[0] === 1400 && full[1] > smaller[1]);
  await desk.getByRole('button', { name: 'Full screen' }).click();
  await until('it is a window again', async () => desk.evaluate(() => document.fullscreenElement === null));

  // Over text it is another one than beside it.
  const pointer = () => canvas.evaluate((one) => one.style.cursor);
  await run('sh points', 'points-are');
  const seen = async (x, y) => {
    await canvas.hover({ position: { x, y } });
    await desk.waitForTimeout(500);
    return pointer();
  };
  let beside = '';
  await until('a program has a pointer of its own', async () => (beside = await seen(750, 350)) !== await seen(300, 350) && beside.startsWith('url('))
    .catch(async (error) => { throw new Error(`${error.message}: ${beside} ${await seen(300, 350)}`); });
  assert.match(await pointer(), /^url\(/);

  await run('before=break; touch set', 'set');
  net.cut();
  await desk.getByRole('heading', { name: 'The connection broke' }).waitFor();
  net.mend();
  await isOpen(desk);
  assert.equal(await run('. ./show', 'after'), 'break\n', 'it is the same shell');
}, [net.rules], [/Failed to load resource|WebSocket connection|net::ERR/]);
