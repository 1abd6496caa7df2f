// Keys of a German and of a French keyboard at xrdp: the page knows which one it is, and the desktop takes
// it. What is typed as text reaches a desktop with another layout, also what no key of it makes. The
// buttons for keys that a browser keeps for itself.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOpen, openDesk, signIn } from './desks.mjs';
import { journey, PLAIN, signedIn, told, until } from './lib.mjs';

const { dir } = told.xrdp;
// What a line was, as the terminal got it.
writeFileSync(join(dir, 'k'), 'touch ready; IFS= read -r line; printf %s "$line" > part; mv part line\n');
writeFileSync(join(dir, 'v'), 'touch ready; stdbuf -oL xev -geometry 100x100+0+0 -event keyboard > keys &\n');

const env = { ...process.env, DISPLAY: told.display };
const x = (program, ...words) => execFileSync(program, words, { env, encoding: 'utf8' });
// By where they are (evdev numbers), which is all that a keyboard says.
const [DIGIT2, DIGIT0, MINUS, EQUAL, Q, E, Y, BRACKET, RETURN, S, H, K, SEMICOLON, QUOTE, Z, V, SPACE, ALT_GR] =
  [11, 19, 20, 21, 24, 26, 29, 34, 36, 39, 43, 45, 47, 48, 52, 55, 65, 108];
const strike = (...keys) => x('xdotool', 'key', '--delay', '60', ...keys.map(String));
const level3 = (key) => x('xdotool', 'keydown', String(ALT_GR), 'key', '--delay', '60', String(key), 'keyup', String(ALT_GR));

await journey(async (browser) => {
  x('setxkbmap', '-layout', 'de');
  const alice = await signedIn(browser, 'alice');
  const focus = async (desk) => {
    await desk.bringToFront();
    const windows = x('xdotool', 'search', '--onlyvisible', '--class', 'chromium').trim().split('\n');
    x('xdotool', 'windowfocus', windows.at(-1));
    await desk.locator('canvas').click({ position: { x: 150, y: 200 } });
  };
  /** What the desktop's terminal reads while `keys` are struck. */
  const reads = async (desk, keys, script = K) => {
    for (const file of ['ready', 'line']) rmSync(join(dir, file), { force: true });
    await until('the terminal waits for a line', async () => {
      await focus(desk);
      strike(S, H, SPACE, script, RETURN);
      await desk.waitForTimeout(1500);
      return existsSync(join(dir, 'ready'));
    }, 60);
    await desk.waitForTimeout(300);
    await keys();
    if (script !== K) return '';
    strike(RETURN);
    await until('a line was read', () => existsSync(join(dir, 'line')));
    return readFileSync(join(dir, 'line'), 'utf8');
  };
  const layout = (desk) => desk.getByLabel('Keyboard layout').locator('option:checked').innerText();

  const german = await openDesk(alice, 'desk7');
  await signIn(german, told.xrdp.password, told.xrdp.user);
  await isOpen(german);
  assert.equal(await layout(german), 'German');
  assert.equal(await reads(german, () => { strike(Y, Z, QUOTE, SEMICOLON, MINUS); level3(Q); strike(EQUAL, E); }), 'zyäöß@é');

  // The same keys, buttons and all, are what a program there sees.
  await reads(german, async () => {
    await german.locator('canvas').hover({ position: { x: 50, y: 50 } });
    await german.waitForTimeout(1000);
    await german.getByRole('button', { name: 'Ctrl+Alt+Del' }).click();
    await german.locator('canvas').hover({ position: { x: 50, y: 50 } });
    await german.getByRole('button', { name: 'Windows key' }).click();
  }, V);
  const seen = () => [...readFileSync(join(dir, 'keys'), 'utf8').matchAll(/Key(Press|Release) event[^]*?keysym 0x[0-9a-f]+, (\w+)\)/g)].map(([, way, name]) => `${way} ${name}`);
  await until('xev saw the Windows key', () => seen().includes('Release Super_L')).catch((error) => { throw new Error(`${error.message} ${seen()}`); });
  const pressed = seen().filter((one) => one.startsWith('Press')).join(', ');
  assert.match(pressed, /Press Control_L, Press Alt_L, Press Delete, Press Super_L/);
  await german.screenshot({ path: join(told.shots, 'keys-light.png'), ...PLAIN });
  await german.emulateMedia({ colorScheme: 'dark' });
  await german.screenshot({ path: join(told.shots, 'keys-dark.png'), ...PLAIN });
  await german.getByRole('button', { name: 'Disconnect' }).click();
  await german.close();

  x('setxkbmap', '-layout', 'fr');
  const french = await openDesk(alice, 'desk10');
  await isOpen(french);
  assert.equal(await layout(french), 'French');
  assert.equal(await reads(french, () => { strike(Q, DIGIT2, Y, Z); level3(DIGIT0); strike(BRACKET, E); }), 'aéyw@ê');
  await french.getByRole('button', { name: 'Disconnect' }).click();
  await french.close();

  // A desktop that has other keys than its user: text needs none of them.
  x('setxkbmap', '-layout', 'de');
  const text = await openDesk(alice, 'desk11');
  await isOpen(text);
  await text.getByLabel('Keyboard layout').selectOption('English (US)');
  await text.getByRole('toolbar', { name: 'Desktop' }).waitFor({ state: 'detached' });
  await isOpen(text);
  assert.equal(await layout(text), 'English (US)');
  assert.equal(await reads(text, () => strike(Y, Z)), 'yz', 'keys are those of the chosen layout');
  const field = text.getByRole('button', { name: 'Type as text' });
  await field.click();
  const got = await reads(text, async () => {
    strike(Y, Z, QUOTE); level3(Q); strike(EQUAL, E, MINUS);
    // What a list of characters, or another program, puts there.
    await text.keyboard.insertText('中😀');
  });
  // This host has no way to what its layout has not.
  assert.match(got, /^zy.?@/);
  await text.getByRole('button', { name: 'Disconnect' }).click();
}, [], [], { headless: false, env });
