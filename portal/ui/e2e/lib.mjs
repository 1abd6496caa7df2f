// What every journey needs: Chromium, pages that must stay free of errors, and programs to paste into.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as netServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const told = JSON.parse(process.env.ADIT_E2E ?? '{}');
export const home = mkdtempSync(join(tmpdir(), 'adit-portal-'));
const complaints = [];
const endings = [];

/** Runs a journey, and fails if any page complained on the way of anything but what is expected. */
export async function journey(walk, more = [], expected = [], options = {}) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-proxy-server', ...more],
    ...options,
  });
  endings.push(() => browser.close());
  let failed;
  try {
    await walk(browser);
    const surprises = complaints.filter((complaint) => !expected.some((pattern) => pattern.test(complaint)));
    assert.deepEqual(surprises, [], 'what pages complained about');
  } catch (error) {
    failed = error;
    await pictures(browser);
  }
  for (const end of endings.reverse()) await end();
  if (failed) {
    console.error(failed.stack ?? failed);
    if (complaints.length) console.error('pages complained:', complaints);
  }
  process.exit(failed ? 1 : 0);
}

async function pictures(browser) {
  let n = 0;
  for (const context of browser.contexts()) {
    for (const page of context.pages()) {
      n += 1;
      await page.screenshot({ path: join(told.shots, `failed-${process.pid}-${n}.png`), ...PLAIN }).catch(() => undefined);
      const text = await page.locator('body').innerText().catch(() => '');
      console.error(`page ${n}, ${page.url()}:\n${text.slice(0, 1500)}`);
    }
  }
}

/** What Playwright would otherwise write into the page, the relay's policy refuses. */
export const PLAIN = { caret: 'initial', animations: 'allow' };

/** A browser in which `user` has signed in by the link they were sent; before that they wanted `at`. */
export async function signedIn(browser, user, at = { path: '', heading: 'Applications' }) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(20_000);
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: told.url });
  const page = await context.newPage();
  watch(page);
  await page.goto(`${told.url}/#/${at.path}`);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.goto(told.links[user]);
  await page.getByRole('heading', { level: 1, name: at.heading, exact: true }).waitFor();
  return page;
}

/** From now on whatever the page's console says is a failure. */
export function watch(page) {
  page.on('console', (message) => {
    // Of a driver without a graphics card, and of xterm.js, about their own speed on a busy machine.
    if (/GL Driver Message|task queue exceeded/.test(message.text())) return;
    if (['error', 'warning'].includes(message.type())) complaints.push(`${page.url()}: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.stack}`));
}

/** What a page complained about of which a journey knows that it has to. */
export function forgive(pattern) {
  const at = complaints.findIndex((complaint) => pattern.test(complaint));
  assert.ok(at >= 0, `nothing like ${pattern} in ${JSON.stringify(complaints)}`);
  complaints.splice(at, 1);
}

/** The text beside a copy button, after a look that the button really copies it. */
export async function copied(page, label) {
  const box = page.locator(`pre[data-copy="${label}"]`);
  await box.waitFor();
  const text = await box.innerText();
  await page.getByRole('button', { name: `Copy ${label}`, exact: true }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  return text;
}

/** Pastes lines into a shell whose ssh knows nothing of this machine's configuration. */
export function shell(lines, { token = '', background = false } = {}) {
  mkdirSync(join(home, '.ssh'), { recursive: true });
  const options = `-F none -o UserKnownHostsFile=${home}/.ssh/known_hosts -o StrictHostKeyChecking=yes -o ConnectTimeout=20`;
  program('ssh', `exec /usr/bin/ssh ${options} "$@"`);
  const child = spawn('sh', ['-c', lines], {
    cwd: home,
    detached: true,
    env: {
      ...process.env, HOME: home, PATH: `${join(home, 'bin')}:${told.bin}:${process.env.PATH}`, SSH_AUTH_SOCK: '',
      SSH_ASKPASS: told.askpass, SSH_ASKPASS_REQUIRE: 'force', TOKEN: token, DISPLAY: '', ADIT_HOME: join(home, 'adit'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const shell = { text: '', child };
  child.stdout.on('data', (data) => { shell.text += data; });
  child.stderr.on('data', (data) => { shell.text += data; });
  shell.done = new Promise((resolve) => child.on('close', (code) => resolve({ code, text: shell.text })));
  // Its whole group: what it started goes with it.
  endings.push(() => { try { process.kill(-child.pid); } catch { /* it is over */ } });
  return background ? shell : shell.done;
}

/** A network between Chromium and the relay, which can be cut and mended. */
export async function network() {
  const { hostname, port } = new URL(told.url);
  const lines = new Set();
  let whole = true;
  const server = netServer((near) => {
    if (!whole) return near.destroy();
    const far = connect(Number(port), '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      lines.add(one);
      one.pipe(other);
      one.on('error', () => undefined);
      one.on('close', () => { lines.delete(one); other.destroy(); });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => { server.close(); lines.forEach((line) => line.destroy()); });
  const through = `127.0.0.1:${server.address().port}`;
  return {
    rules: `--host-resolver-rules=${[hostname, told.domain].map((host) => `MAP ${host}:${port} ${through}`).join(', ')}`,
    cut() { whole = false; lines.forEach((line) => line.destroy()); },
    mend() { whole = true; },
  };
}

/** What the terminal on the page shows, read as a screen reader does. */
export async function screen(page) {
  const pane = page.locator('.pane:not(.off)');
  const reader = pane.getByRole('button', { name: 'Screen reader' });
  if ((await reader.getAttribute('aria-pressed')) !== 'true') await reader.click();
  const rows = await pane.locator('.xterm-accessibility-tree > div').allTextContents();
  return rows.map((row) => row.replaceAll('\u00a0', ' ').trimEnd()).join('\n');
}

export const shows = (page, text, seconds) => until(`the terminal shows ${text}`, async () => (await screen(page)).includes(text), seconds);

/** Types into the terminal on the page. */
export async function type(page, text) {
  await page.locator('.pane:not(.off) textarea.xterm-helper-textarea').focus();
  await page.keyboard.type(text);
}

/** Waits for something, and says what it waited for. */
export async function until(what, look, seconds = 20) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not in time: ${what}`);
}

/** A program that lines which are pasted find before the machine's own. */
export function program(name, script) {
  const bin = join(home, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
}

/** The address of a server that takes connections and says nothing. */
export async function listener() {
  const server = netServer((socket) => socket.on('error', () => undefined));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => server.close());
  return `127.0.0.1:${server.address().port}`;
}

/** A web application that says who asks. */
export async function wiki() {
  const server = createServer((request, answer) => answer.end(`hello ${request.headers['x-adit-user']}\n`));
  await new Promise((resolve) => server.listen(told.web, '127.0.0.1', resolve));
  endings.push(() => server.closeAllConnections());
}

export async function open(page, path, heading) {
  await page.goto(`${told.url}/#/${path}`);
  await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
}

