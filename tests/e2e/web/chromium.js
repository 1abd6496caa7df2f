// Drives Chromium over its debugging pipe: a command per line on stdin, an answer per line on stdout.
// {"tab": "a", "goto": URL}   {"tab": "a", "until": EXPRESSION}   {"tab": "a", "shot": FILE, "dark": true, "width": 390}
'use strict';
const { spawn } = require('child_process');
const fs = require('fs');
const readline = require('readline');

const [program, profile] = process.argv.slice(2);
const browser = spawn(program, [
  '--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--no-first-run',
  '--disable-dev-shm-usage', '--disable-background-networking', '--no-proxy-server',
  // The relay's own CA is in no list of browsers.
  '--ignore-certificate-errors', `--user-data-dir=${profile}`, 'about:blank',
], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
const [, , , out, back] = browser.stdio;

let last = 0;
const waiting = new Map();
function send(method, params = {}, sessionId = undefined) {
  last += 1;
  out.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
}

let rest = '';
back.setEncoding('utf8');
back.on('data', (text) => {
  const parts = (rest + text).split('\0');
  rest = parts.pop();
  for (const { id, result, error } of parts.map((part) => JSON.parse(part))) {
    const asked = waiting.get(id);
    if (!asked) continue;
    waiting.delete(id);
    if (error) asked.reject(new Error(error.message)); else asked.resolve(result);
  }
});

const tabs = new Map();
async function tab(name) {
  if (!tabs.has(name)) {
    const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    await send('Page.enable', {}, sessionId);
    tabs.set(name, sessionId);
  }
  return tabs.get(name);
}

async function evaluate(expression, session) {
  const asked = { expression, awaitPromise: true, returnByValue: true };
  const { result, exceptionDetails } = await send('Runtime.evaluate', asked, session);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

async function run({ tab: name, goto, until, shot, dark, width }) {
  const session = await tab(name);
  if (goto) {
    const { errorText } = await send('Page.navigate', { url: goto }, session);
    return errorText ?? '';
  }
  if (shot) {
    const value = dark ? 'dark' : 'light';
    await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] }, session);
    const metrics = { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 };
    await send('Emulation.setDeviceMetricsOverride', metrics, session);
    const { data } = await send('Page.captureScreenshot', {}, session);
    fs.writeFileSync(shot, Buffer.from(data, 'base64'));
    return '';
  }
  let seen;
  for (const end = Date.now() + 20000; Date.now() < end;) {
    // A page that is just being left answers nothing.
    try { seen = await evaluate(until, session); } catch (error) { seen = undefined; var why = error; }
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  const where = await evaluate('location.href + " " + document.title + " " + document.body.innerText', session);
  throw new Error(`not in time: ${until}; ${where} ${why ?? ''}`);
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try { answer = { value: await run(JSON.parse(line)) }; } catch (error) { answer = { error: error.message }; }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  browser.kill();
})();
