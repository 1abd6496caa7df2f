// Desktops in Chromium, for desktop.py: counts the frames that one shows, or opens as many as it is told, and
// waits for a line on its standard input before each step.
import { createInterface } from 'node:readline';
import { chromium } from '../portal/ui/node_modules/playwright-core/index.mjs';

const { link, url, name, count, seconds } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium', headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--no-proxy-server', '--disable-quic', '--disable-background-networking'],
});
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
// A frame is one of the browser's in which something was drawn.
await context.addInitScript(() => {
  let drawn = false;
  globalThis.frames_shown = 0;
  const { putImageData } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.putImageData = function (...what) {
    drawn = true;
    return putImageData.apply(this, what);
  };
  const look = () => {
    if (drawn) globalThis.frames_shown += 1;
    drawn = false;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
});
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what) => console.log(JSON.stringify(what));
const page = await context.newPage();
await page.goto(link);
await page.getByRole('heading', { level: 1, name: 'Applications', exact: true }).waitFor();
say({ ready: true });
await lines.next();

async function open() {
  const desk = await context.newPage();
  await desk.goto(`${url}/desktop#${name}`);
  await desk.getByRole('toolbar', { name: 'Desktop' }).waitFor({ timeout: 120_000 });
  return desk;
}

if (seconds) {
  const desk = await open();
  // A login shows other things first.
  await desk.waitForTimeout(4000);
  const shown = () => desk.evaluate(() => globalThis.frames_shown);
  const [before, began] = [await shown(), performance.now()];
  say({ counting: true });
  await desk.waitForTimeout(seconds * 1000);
  say({ fps: (await shown() - before) / ((performance.now() - began) / 1000) });
} else {
  for (let n = 0; n < count; n++) await open();
  say({ open: count });
}
// Until it is ended: Chromium goes with it.
await lines.next();
