// What journeys to desktops need: opening one, and comparing what it shows with the screen behind it.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { told, until, watch } from './lib.mjs';

/** The page of a desktop, in the browser of `page`. */
export async function openDesk(page, name) {
  await page.goto(`${told.url}/#/`);
  const [desk] = await Promise.all([
    page.context().waitForEvent('page'),
    page.getByRole('link', { name: `Desktop of ${name}.hq` }).first().click(),
  ]);
  watch(desk);
  desk.setDefaultTimeout(30_000);
  // A tab begins empty.
  await desk.waitForURL((url) => url.pathname.endsWith('/desktop'));
  return desk;
}

export async function signIn(desk, password = told.password, user = told.user) {
  await desk.getByLabel('User name').fill(user);
  await desk.getByLabel('Password').fill(password);
  await desk.getByRole('button', { name: 'Connect' }).click();
}

export const isOpen = (desk) => desk.getByRole('toolbar', { name: 'Desktop' }).waitFor();

/** Waits until the page shows what the screen does: 999 pixels of 1000, for something may move. */
export async function same(desk, target, seconds = 20) {
  let share = 0;
  await until('the desktop is seen', async () => (share = likeness(await drawn(desk), screen(target))) >= 0.999, seconds)
    .catch((error) => { throw new Error(`${error.message}: ${share}`); });
  return share;
}

/** Types into the terminal on the desktop, which is the whole of it, and reads what came of it. */
export async function types(desk, target, word) {
  await desk.locator('canvas').click({ position: { x: 150, y: 200 } });
  await desk.keyboard.type(`touch there-${word}\n`, { delay: 20 });
  await until('a command was typed and run', () => existsSync(join(target.dir, `there-${word}`)));
}

/** Types a line into the terminal on an xrdp desktop until it has written this file, and gives what is in
    that: what comes before the terminal is there is lost. */
export async function typed(desk, line, file) {
  const path = join(told.xrdp.dir, file);
  rmSync(path, { force: true });
  await until(`${line} has run`, async () => {
    await desk.locator('canvas').click({ position: { x: 150, y: 200 } });
    await desk.keyboard.type(`${line}\n`, { delay: 20 });
    await desk.waitForTimeout(1500);
    return existsSync(path);
  }, 60);
  return readFileSync(path, 'utf8');
}

/** What the canvas holds: measures, and pixels of four bytes. */
async function drawn(desk) {
  const text = await desk.evaluate(() => {
    const canvas = document.querySelector('canvas');
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d');
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let text = '';
    for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192));
    return { width: canvas.width, height: canvas.height, pixels: btoa(text) };
  });
  return { ...text, pixels: Buffer.from(text.pixels, 'base64') };
}

/** The same of an X window dump with four bytes for each pixel, blue first. */
function screen(target) {
  const file = readFileSync(target.screen);
  const head = (at) => file.readUInt32BE(at * 4);
  assert.ok(head(11) === 32 && head(7) === 0, 'another form of pixels');
  const [width, height, line, start] = [head(4), head(5), head(12), head(0) + head(19) * 12];
  const pixels = Buffer.alloc(width * height * 4, 255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [start + y * line + x * 4, (y * width + x) * 4];
      [pixels[to], pixels[to + 1], pixels[to + 2]] = [file[from + 2], file[from + 1], file[from]];
    }
  }
  return { width, height, pixels };
}

/** The share of pixels that look alike. */
function likeness(one, other) {
  if (one.width !== other.width || one.height !== other.height) return 0;
  let alike = 0;
  for (let at = 0; at < one.pixels.length; at += 4) {
    const near = (n) => Math.abs(one.pixels[at + n] - other.pixels[at + n]) <= 8;
    if (near(0) && near(1) && near(2)) alike += 1;
  }
  return alike / (one.pixels.length / 4);
}
