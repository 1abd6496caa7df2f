// Every client that Connect has a tab for, and that what a tab shows is whole.
import assert from 'node:assert/strict';
import { journey, open, signedIn, told } from './lib.mjs';
import { look, nothingFound } from './look.mjs';

const KINDS = [
  ['box', 'ssh', '127.0.0.1:22', ['OpenSSH', 'PuTTY', 'VS Code', 'adit']],
  ['site', 'web', '127.0.0.1:80', ['Browser', 'curl', 'Address only']],
  ['orders', 'postgres', '127.0.0.1:5432', ['psql', 'DBeaver']],
  ['shop', 'mysql', '127.0.0.1:3306', ['mysql', 'HeidiSQL', 'DBeaver']],
  ['cache', 'redis', '127.0.0.1:6379', ['redis-cli']],
  ['win', 'rdp', '127.0.0.1:3389', ['File', 'mstsc, by a tunnel']],
];

await journey(async (browser) => {
  const page = await signedIn(browser, 'admin');
  await page.evaluate(async (kinds) => {
    const send = async (path, body) => {
      const answer = await fetch(`api/v1/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(await answer.text());
    };
    const me = await (await fetch('api/v1/me')).json();
    for (const [name, kind, address] of kinds) {
      await send('applications', { name, site: 'hq', kind, address, allow_api: true });
      await send('grants', { user: me.user, application: `${name}.hq` });
    }
  }, KINDS);
  await open(page, '', 'Applications');
  await page.reload();
  for (const [name, , , tabs] of KINDS) {
    await page.getByRole('button', { name: `Connect to ${name}.hq` }).first().click();
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    const there = await dialog.getByRole('tab').allInnerTexts();
    for (const tab of tabs) {
      assert.ok(tabs.length === 1 || there.some((one) => one.trim() === tab), `${name}: ${tab} among ${there}`);
      if (there.length > 0) await dialog.getByRole('tab', { name: tab, exact: true }).click();
      const said = await dialog.innerText();
      assert.ok(!/undefined|NaN|\[object/.test(said), `${name}, ${tab}: ${said}`);
      assert.ok((await dialog.locator('pre, dl, a, button').count()) > 2, `${name}, ${tab}: ${said}`);
    }
    await look(page, `window-connect-${name}`);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  }
  nothingFound();
});
