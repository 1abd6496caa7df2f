// Stock ssh on a terminal, with neither token nor key: let in by a browser.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { journey, signedIn, told, until } from './lib.mjs';
import { look, nothingFound } from './look.mjs';

const children = [];

/** OpenSSH on a terminal of its own, which asks there whatever it asks. */
function ssh(login, command) {
  const options = `-F none -o UserKnownHostsFile=${told.knownHosts} -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o PreferredAuthentications=keyboard-interactive -o NumberOfPasswordPrompts=4`;
  const line = `exec /usr/bin/ssh ${options} -p ${told.sshPort} ${login}@127.0.0.1 '${command}'`;
  const env = { ...process.env, SSH_AUTH_SOCK: '', TERM: 'dumb' };
  delete env.SSH_ASKPASS;
  const child = spawn('script', ['-qfec', line, '/dev/null'], { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  children.push(child);
  const terminal = { text: '', child, type: (text) => child.stdin.write(`${text}\n`) };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { terminal.text += data; });
  terminal.done = new Promise((resolve) => child.on('close', (code) => resolve(code)));
  terminal.shows = (text) => until(`ssh shows ${text}`, () => terminal.text.includes(text) || assertNever(terminal, text));
  return terminal;
}

function assertNever(terminal, text) {
  if (terminal.child.exitCode !== null) throw new Error(`ssh ended before ${text}: ${terminal.text}`);
  return false;
}

/** To the link, by an empty answer to the question for a token. */
async function led(login, command) {
  const terminal = ssh(login, command);
  await terminal.shows('Access token:');
  assert.match(terminal.text, /Leave it empty to sign in with a browser/);
  terminal.type('');
  await terminal.shows('Number from the page:');
  const [, url, code] = /(https:\/\/\S+\/ssh\?code=([A-Z]{4}-[A-Z]{4}))/.exec(terminal.text);
  assert.ok(terminal.text.includes(`the page shows ${code}`), terminal.text);
  return { terminal, url, code };
}

async function approved(page) {
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.getByRole('heading', { name: 'Type this number in the terminal' }).waitFor();
  const number = (await page.locator('.code').innerText()).trim();
  assert.match(number, /^\d{3} \d{3}$/);
  return number;
}

async function gone(page, url) {
  await page.goto(url).catch(() => undefined);
  await page.getByText('No terminal waits under that code.').waitFor();
}

await journey(async (browser) => {
  const alice = await signedIn(browser, 'alice');
  try {
    const command = 'echo said $((40 + 2))';
    const first = await led(`${told.account}+web1`, command);
    await alice.goto(first.url);
    await alice.getByRole('heading', { name: 'Let this terminal in as you?' }).waitFor();
    const asked = await alice.locator('main').innerText();
    for (const part of ['web1', told.account, '127.0.0.1', first.code]) assert.ok(asked.includes(part), `${part}: ${asked}`);
    assert.ok(!asked.includes('not where this browser is'), asked);
    await look(alice, 'ssh-question');
    const number = await approved(alice);
    await look(alice, 'ssh-number');
    first.terminal.type(number);
    assert.equal(await first.terminal.done, 0, first.terminal.text);
    assert.match(first.terminal.text, /said 42/);
    await gone(alice, first.url);

    // Where no application is named, it is picked on the page.
    const second = await led(told.account, command);
    await alice.goto(second.url);
    await alice.getByLabel('Application').selectOption('web1.hq');
    second.terminal.type((await approved(alice)).replace(' ', ''));
    assert.equal(await second.terminal.done, 0, second.terminal.text);

    // A wrong number opens nothing, and after three of them the right one neither.
    const third = await led(`${told.account}+web1`, command);
    third.terminal.type('000000');
    await third.terminal.shows('ssh.not_approved');
    await alice.goto(third.url);
    const right = await approved(alice);
    const wrong = right === '111 111' ? '222222' : '111111';
    for (let n = 0; n < 3; n++) {
      const before = third.terminal.text.length;
      third.terminal.type(wrong);
      await until('it is refused', () => third.terminal.child.exitCode !== null || third.terminal.text.slice(before).includes('Access token:') || third.terminal.text.slice(before).includes('Number from the page:'));
    }
    if (third.terminal.child.exitCode === null) third.terminal.type(right);
    assert.notEqual(await third.terminal.done, 0, third.terminal.text);
    assert.ok(!third.terminal.text.includes('said 42'), third.terminal.text);

    // What is denied is told, and opens nothing.
    const fourth = await led(`${told.account}+web1`, command);
    await alice.goto(fourth.url);
    await alice.getByRole('button', { name: 'Deny' }).click();
    await alice.getByRole('heading', { name: 'Denied' }).waitFor();
    fourth.terminal.type('123456');
    await fourth.terminal.shows('sign_in.not_completed');
    fourth.terminal.child.stdin.end();

    // Who leaves is waited for by nobody.
    const fifth = await led(`${told.account}+web1`, command);
    process.kill(-fifth.terminal.child.pid);
    await fifth.terminal.done;
    await until('it is forgotten', async () => {
      await alice.goto(fifth.url);
      return (await alice.getByText('No terminal waits under that code.').count()) > 0;
    });

    // An application that is absent and one that is not theirs: the page says the same.
    const told_ = [];
    for (const application of ['sandbox', 'nothing-of-the-kind']) {
      const other = await led(`${told.account}+${application}`, command);
      await alice.goto(other.url);
      await alice.getByRole('button', { name: 'Approve' }).click();
      await alice.getByRole('heading', { name: 'You can not open this' }).waitFor();
      told_.push((await alice.locator('main').innerText()).split('Request')[0]);
      process.kill(-other.terminal.child.pid);
    }
    assert.equal(told_[0], told_[1]);

    // The way by a token is as it was. Pages like that one may ask nothing.
    await alice.goto(`${told.url}/#/`);
    await alice.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
    const token = await alice.evaluate(async () => {
      const answer = await fetch('./api/v1/me/tokens', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ application: 'web1' }) });
      return (await answer.json()).token;
    });
    const sixth = ssh(`${told.account}+web1`, command);
    await sixth.shows('Access token:');
    sixth.type(token);
    assert.equal(await sixth.done, 0, sixth.text);
    nothingFound();
  } finally {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) { try { process.kill(-child.pid); } catch { /* it is over */ } }
  }
}, [], [/status of 40[34]/]);
