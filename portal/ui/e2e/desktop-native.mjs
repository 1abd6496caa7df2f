// A session of a native client that is recorded: an admin watches it while it goes on and ends it with a
// word, or plays it again to its end.
import { join } from 'node:path';
import { same } from './desks.mjs';
import { journey, PLAIN, signedIn, told, until, watch } from './lib.mjs';

await journey(async (browser) => {
  const admin = await signedIn(browser, 'admin');
  const player = await admin.context().newPage();
  watch(player);
  const asked = [];
  player.on('response', async (response) => {
    if (response.url().includes('/playbacks/')) asked.push(await response.json().catch(() => ({})));
  });
  await player.goto(`${told.url}/desktop#recording=${told.recording}`);
  if (told.live) {
    await player.getByRole('status').getByText('Live').waitFor();
    await same(player, told);
    await player.screenshot({ path: join(told.shots, 'native-live.png'), ...PLAIN });
    await player.getByRole('button', { name: 'End…' }).click();
    await player.getByLabel('What its user is told besides').fill('until six');
    await player.getByRole('button', { name: 'End it' }).click();
    await until('it is over', async () => (await admin.evaluate(async () => (await (await fetch('api/v1/sessions')).json()).items)).length === 0);
    return;
  }
  await until('it plays', () => asked.at(-1)?.at_ms > 0);
  const slider = player.getByRole('slider', { name: 'Time' });
  await slider.evaluate((input, to) => {
    input.value = to;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }, String(asked.at(-1).length_ms));
  await same(player, told);
  await player.screenshot({ path: join(told.shots, `native-played-${process.pid}.png`), ...PLAIN });
}, [], [/Failed to load resource/, /WebSocket connection to/]);
