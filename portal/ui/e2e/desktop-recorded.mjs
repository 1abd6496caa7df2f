// A desktop that is recorded: an admin watches it while it goes on, ends it, and plays it again.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOpen, openDesk, same, types } from './desks.mjs';
import { journey, PLAIN, signedIn, told, until, watch } from './lib.mjs';

await journey(async (browser) => {
  const [alice, admin] = [await signedIn(browser, 'alice'), await signedIn(browser, 'admin')];
  const desk = await openDesk(alice, 'desk6');
  await isOpen(desk);
  await same(desk, told.nla);
  await types(desk, told.nla, 'first');

  const sessions = () => admin.evaluate(async () => (await (await fetch('api/v1/sessions')).json()).items);
  const row = (await sessions()).find((one) => one.application === 'desk6');
  const events = async () => {
    const all = [];
    for (let after; ;) {
      const page = await admin.evaluate(async ([id, after]) => (await fetch(`api/v1/sessions/${id}/recording${after ? `?after=${after}` : ''}`)).json(), [row.id, after]);
      all.push(...page.events);
      if (!page.next || page.events.length === 0) return all;
      after = page.next;
    }
  };

  // Much is shown, so that the target is asked to paint its screen again.
  writeFileSync(join(told.nla.dir, 'noise'), 'for n in $(seq 50); do od -x -N 3000 /dev/urandom; sleep 0.3; done; touch silence\n');
  await desk.keyboard.type('sh noise\n', { delay: 20 });
  await until('the screen was painted again', async () => (await events()).some((one) => one.what === 'repaint'), 60);

  await until('it is quiet', () => existsSync(join(told.nla.dir, 'silence')), 60);

  // While it goes on: what the user sees, the admin sees.
  const player = await admin.context().newPage();
  watch(player);
  const began = Date.now();
  await player.goto(`${told.url}/desktop#recording=${row.id}`);
  await player.getByRole('status').getByText('Live').waitFor();
  await same(player, told.nla);
  console.error(`watched after ${Date.now() - began} ms`);
  const typed = Date.now();
  await types(desk, told.nla, 'second');
  await same(player, told.nla);
  console.error(`what was typed was seen after ${Date.now() - typed} ms`);
  await player.getByRole('log', { name: 'Keys' }).getByText(/T O U C H/).waitFor();
  await player.screenshot({ path: join(told.shots, 'live-light.png'), ...PLAIN });

  // Ended with a word, which stands on the user's screen.
  await player.getByRole('button', { name: 'End…' }).click();
  await player.getByLabel('What its user is told besides').fill('until six');
  await player.getByRole('button', { name: 'End it' }).click();
  await desk.getByRole('alert').getByText(/an administrator ended this session: until six/i).waitFor();
  await player.close();

  // From its beginning, and on to its end: by the place where the screen was painted, and back.
  await until('it is closed', async () => (await admin.evaluate(async (id) => (await (await fetch(`api/v1/sessions/${id}/recording`)).json()).live, row.id)) === false);
  const page = await admin.context().newPage();
  watch(page);
  const asked = [];
  page.on('response', async (response) => {
    if (response.url().includes('/playbacks/')) asked.push(await response.json().catch(() => ({})));
  });
  await page.goto(`${told.url}/#/admin/recording?session=${row.id}`);
  await page.waitForURL(/desktop#recording=/);
  const at = () => asked.at(-1)?.at_ms;
  await until('it plays', () => at() > 0);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Play' }).waitFor();
  const paused = at();
  await page.waitForTimeout(1500);
  assert.equal(at(), paused, 'a recording that pauses stands still');
  const length = asked.at(-1).length_ms;
  const seek = async (to) => {
    const slider = page.getByRole('slider', { name: 'Time' });
    await slider.evaluate((input, to) => {
      input.value = to;
      input.dispatchEvent(new Event('input', { bubbles: true }));
      input.dispatchEvent(new Event('change', { bubbles: true }));
    }, String(to));
  };
  const sought = Date.now();
  await seek(length);
  await same(page, told.nla);
  console.error(`its end was seen after ${Date.now() - sought} ms, of ${length} ms`);
  await page.screenshot({ path: join(told.shots, 'player-light.png'), ...PLAIN });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: join(told.shots, 'player-dark.png'), ...PLAIN });
  await seek(1000);
  await until('another picture is seen', async () => !(await same(page, told.nla, 0.2).then(() => true, () => false)));
  await page.getByLabel('Speed').selectOption('16');
  await page.getByRole('button', { name: 'Play' }).click();
  await same(page, told.nla, 60);
  await until('it is at its end', () => at() >= length - 100, 60);

  // Only who may read recordings.
  const refused = await alice.evaluate(async (id) => {
    const socket = new WebSocket(`wss://${location.host}/api/v1/sessions/${id}/desktop?playback=${crypto.randomUUID()}`);
    const opened = await new Promise((resolve) => {
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    });
    const steered = await fetch(`api/v1/playbacks/${crypto.randomUUID()}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    return [opened, steered.status];
  }, row.id);
  assert.deepEqual(refused, [false, 403]);
  const audit = await admin.evaluate(async () => (await (await fetch('api/v1/audit?latest=true&limit=100')).json()).events);
  const viewed = audit.filter((one) => one.action === 'recording.viewed' && one.session === row.id);
  assert.ok(viewed.length >= 2, 'who has looked is recorded');
  const recorded = audit.find((one) => one.action === 'session.recorded' && one.session === row.id);
  assert.ok(recorded.event.whole && recorded.event.sha256.length === 64);
}, [], [/Failed to load resource/, /WebSocket connection to/]);
