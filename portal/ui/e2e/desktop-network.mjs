// The network between browser and relay is cut: the page says so and comes back by itself, for the
// password is still in it.
import { join } from 'node:path';
import { isOpen, openDesk, same, signIn, types } from './desks.mjs';
import { journey, network, PLAIN, signedIn, told } from './lib.mjs';

const net = await network();
await journey(async (browser) => {
  const alice = await signedIn(browser, 'alice');
  const desk = await openDesk(alice, 'desk1');
  await signIn(desk);
  await isOpen(desk);
  net.cut();
  await desk.getByRole('heading', { name: 'The connection broke' }).waitFor();
  await desk.screenshot({ path: join(told.shots, 'lost-light.png'), ...PLAIN });
  net.mend();
  await isOpen(desk);
  await same(desk, told.nla);
  await types(desk, told.nla, 'again');
}, [net.rules], [/Failed to load resource|WebSocket connection|net::ERR/]);
