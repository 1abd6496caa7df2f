// xrdp, which speaks TLS without NLA: signed in with what a person types and by the relay, a terminal that
// is typed into, and a clipboard that carries the way it may and no other.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOpen, openDesk, signIn, typed } from './desks.mjs';
import { journey, PLAIN, signedIn, told, until } from './lib.mjs';

const { dir, user, password } = told.xrdp;
// No more than a few letters have to be typed.
writeFileSync(join(dir, 'get'), 'xclip -o -selection clipboard > got-$1.part; mv got-$1.part got-$1\n');
writeFileSync(join(dir, 'put'), 'printf from-there-$1 | xclip -selection clipboard\ntouch put-$1\n');

await journey(async (browser) => {
  const alice = await signedIn(browser, 'alice');
  for (const [name, way, asked] of [['desk7', 'both', true], ['desk8', 'to-target', false], ['desk9', 'from-target', false]]) {
    const desk = await openDesk(alice, name);
    if (asked) await signIn(desk, password, user);
    await isOpen(desk);
    const canvas = desk.locator('canvas');
    const run = (line, file) => typed(desk, line, file);
    await run(`touch there-${name}`, `there-${name}`);
    await desk.screenshot({ path: join(told.shots, `xrdp-${name}.png`), ...PLAIN });

    await desk.evaluate((text) => navigator.clipboard.writeText(text), `from-here-${name}`);
    await desk.evaluate(() => document.activeElement.blur());
    await canvas.focus();
    await desk.waitForTimeout(500);
    const got = await run(`sh get ${name}`, `got-${name}`);
    assert.equal(got === `from-here-${name}`, way !== 'from-target', `${name} got ${got}`);

    await run(`sh put ${name}`, `put-${name}`);
    const own = () => desk.evaluate(() => navigator.clipboard.readText());
    if (way === 'to-target') {
      await desk.waitForTimeout(2000);
      assert.equal(await own(), `from-here-${name}`, 'nothing comes from there');
    } else {
      await until('what was copied there is here', async () => (await own()) === `from-there-${name}`);
    }
    await desk.getByRole('button', { name: 'Disconnect' }).click();
    await desk.close();
  }
  const wrong = await openDesk(alice, 'desk7');
  await signIn(wrong, 'wrong', user);
  await isOpen(wrong);
  // Without NLA it is the host that says so, on its screen.
  await wrong.waitForTimeout(3000);
  await wrong.screenshot({ path: join(told.shots, 'xrdp-wrong.png'), ...PLAIN });
});
