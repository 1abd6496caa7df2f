// Pages as people see them: pictures to look at, and what axe finds.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { PLAIN, told } from './lib.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const found = [];

/** Light, dark, and as narrow as a phone: nothing serious by axe, nothing wider than the screen. */
export async function look(page, name, fullPage = !name.startsWith('window')) {
  for (const [how, scheme, width] of [['light', 'light', 1280], ['dark', 'dark', 1280], ['narrow', 'light', 360]]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: width < 600 ? 740 : 800 });
    await page.waitForTimeout(200);
    await page.screenshot({ path: join(told.shots, `${name}-${how}.png`), fullPage, ...PLAIN });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    for (const one of violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))) {
      found.push(`${name} ${how}: ${one.id}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join('; ')}`);
    }
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (over > 0) found.push(`${name} ${how}: ${over} px wider than the screen`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

export const nothingFound = () => assert.deepEqual(found, [], 'what axe found');
