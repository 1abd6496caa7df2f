// Targets that mean harm: each costs its own desktop and little of the relay's memory.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { prepare } from './cleanpath.mjs';
import { journey, signedIn, told } from './lib.mjs';

const MOST_MIB = 64;
const status = `/proc/${told.relay}/status`;
const peak = () => Number(/VmHWM:\s*(\d+)/.exec(readFileSync(status, 'utf8'))[1]) / 1024;

await journey(async (browser) => {
  const page = await signedIn(browser, 'alice');
  await page.evaluate(prepare);
  const desktop = async (application) => {
    const offered = await page.evaluate((application) => globalThis.offer(application), application);
    assert.ok(offered.ticket, JSON.stringify(offered));
    return page.evaluate((ticket) => globalThis.ask(ticket, true), offered.ticket);
  };
  const costs = [];
  // Those that only wait wait together.
  for (const harms of told.harms) {
    writeFileSync(`/proc/${told.relay}/clear_refs`, '5');
    const [before, started] = [peak(), Date.now()];
    const ends = await Promise.all(harms.map(([harm]) => desktop(`${harm}.hq`)));
    const cost = Math.round(peak() - before);
    costs.push([harms, cost, Date.now() - started, ends]);
    for (const [n, [harm, code, opens]] of harms.entries()) {
      assert.equal(ends[n].closed, code, `${harm}: ${JSON.stringify(costs)}`);
      assert.equal(ends[n].open, opens, `${harm}: ${JSON.stringify(costs)}`);
    }
    assert.ok(cost < MOST_MIB, JSON.stringify(costs));
  }
}, [], [/Failed to load resource/]);
