// How people sign in: a one-time password, an authenticator app, a real OpenID provider; and how they
// bring a machine. Each page on the way is looked at in light, dark and as narrow as a phone.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { journey, open, shell, told, until } from './lib.mjs';
import { look, nothingFound } from './look.mjs';

const OWN = 'four words of my own';

await journey(async (browser) => {
  const issuer = await provider();
  const page = await fresh(browser);
  await page.goto(`${told.url}/sign-in`);
  await look(page, 'sign-in');
  await sign(page, 'carol', 'not this one at all');
  await page.getByText('authn.password').waitFor();
  await look(page, 'sign-in-wrong');

  // A one-time password signs in only whoever chooses another.
  await sign(page, 'carol', told.oneTime);
  await page.getByRole('heading', { name: 'Choose a password' }).waitFor();
  await look(page, 'sign-in-choose');
  await page.getByLabel('New password').fill(OWN);
  await page.getByLabel('The same again').fill(OWN);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();

  // An app is set up by a picture or by its key, and asked for from then on.
  await open(page, 'security', 'Security');
  await page.getByRole('button', { name: 'Set up an app' }).click();
  const key = (await page.locator('dialog code').innerText()).replace(/\s/g, '');
  const used = step();
  await page.getByLabel('Code', { exact: true }).fill(code(key, used));
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('dialog', { name: 'Keep your recovery codes' }).waitFor();
  assert.equal(await page.locator('ul.codes li').count(), 10);
  const recovery = await page.locator('ul.codes li').first().innerText();
  await page.waitForTimeout(300);
  await look(page, 'window-recovery', false);
  await page.getByRole('button', { name: 'I have kept them' }).click();
  await page.getByText('Recovery codes left: 10').waitFor();
  await signOut(page);
  await sign(page, 'carol', OWN);
  await page.getByRole('heading', { name: 'Your second factor' }).waitFor();
  await look(page, 'sign-in-code');
  await page.getByLabel('Code', { exact: true }).fill(code(key, used));
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('authn.second_factor').waitFor();
  await page.getByLabel('Code', { exact: true }).fill(recovery);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
  await open(page, 'security', 'Security');
  await page.getByText('Recovery codes left: 9').waitFor();

  // Whoever has to have an app sets it up on the way in.
  const admin = await fresh(browser);
  await admin.goto(`${told.url}/sign-in`);
  await sign(admin, 'eve', told.oneTimeOfEve);
  await admin.getByRole('heading', { name: 'Set up an authenticator app' }).waitFor();
  await look(admin, 'sign-in-app');
  const shown = (await admin.locator('main code').innerText()).replace(/\s/g, '');
  await admin.getByLabel('Code', { exact: true }).fill(code(shown, step()));
  await admin.getByRole('button', { name: 'Go on' }).click();
  await admin.getByRole('heading', { name: 'Keep your recovery codes' }).waitFor();
  await look(admin, 'sign-in-recovery');
  await admin.getByRole('button', { name: 'I have kept them' }).click();
  await admin.getByRole('heading', { name: 'Choose a password' }).waitFor();

  // A machine is signed in as whoever approves the code that it shows.
  const login = shell(`adit --ca ${told.ca} login --browser ${told.relay ?? told.url} && adit status`, { background: true });
  const link = await until('a link', () => login.text.match(/https:\S+\/device\?code=\S+/)?.[0]);
  const waiting = await until('its code', () => login.text.match(/Code: (\S+)\./)?.[1]);
  await page.goto(link);
  await page.getByText(waiting).waitFor();
  await look(page, 'device');
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.getByRole('heading', { name: 'The machine is signed in' }).waitFor();
  const { code: status, text } = await login.done;
  assert.equal(status, 0, text);
  assert.match(text, /Signed in to \S+ as carol/);

  // A provider's user is let in, made and put in their group; and signs out there too.
  const other = await fresh(browser);
  await other.goto(`${told.url}/sign-in`);
  await other.getByRole('link', { name: 'Sign in with Corp' }).click();
  await other.waitForURL((url) => url.origin === issuer);
  await other.locator('input[name="login"]').fill('dora');
  await other.locator('input[name="password"]').fill('whatever');
  await other.locator('button[type="submit"]').click();
  await other.getByRole('button', { name: 'Continue' }).click();
  await other.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
  await other.getByText('dora', { exact: true }).first().waitFor();
  const { request } = await browser.newContext({ ignoreHTTPSErrors: true });
  const groups = await request.get(`${told.url}/api/v1/users/dora`, { headers: { authorization: `Bearer ${told.adminToken}` } });
  assert.deepEqual((await groups.json()).groups, ['dba']);
  await other.goto(`${told.url}/sign-out`);
  await other.getByRole('button', { name: 'Sign out', exact: true }).last().click();
  await other.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await look(other, 'signed-out');
  await other.getByRole('link', { name: 'Sign out there too' }).click();
  await other.waitForURL((url) => url.origin === issuer);
  nothingFound();
});

/** A browser that has never been here. Pages of the provider are its own matter: their console is not watched. */
async function fresh(browser) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(20_000);
  return context.newPage();
}

async function sign(page, user, password) {
  await page.getByLabel('User name').fill(user);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

async function signOut(page) {
  await page.goto(`${told.url}/sign-out`);
  await page.getByRole('button', { name: 'Sign out', exact: true }).last().click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
}

function step() {
  return Math.floor(Date.now() / 30_000);
}

/** RFC 6238. */
function code(key, at) {
  const bits = [...key].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const bytes = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(at));
  const tag = createHmac('sha1', bytes).update(counter).digest();
  const from = tag[19] & 15;
  return String((tag.readUInt32BE(from) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** A real provider, over TLS by a certificate of its own. */
async function provider() {
  const issuer = `https://localhost:${told.provider}`;
  const at = (name) => join(told.dir, name);
  const openssl = (...words) => execFileSync('openssl', words, { stdio: 'ignore' });
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  writeFileSync(at('provider.ext'), 'subjectAltName=DNS:localhost\n');
  openssl('req', '-x509', ...made, '-days', '2', '-subj', '/CN=the CA of a provider', '-keyout', at('provider-ca.key'), '-out', at('provider.pem'));
  openssl('req', ...made, '-subj', '/CN=localhost', '-keyout', at('provider.key'), '-out', at('provider.csr'));
  openssl('x509', '-req', '-days', '2', '-in', at('provider.csr'), '-CA', at('provider.pem'), '-CAkey', at('provider-ca.key'), '-CAcreateserial',
    '-extfile', at('provider.ext'), '-out', at('provider-leaf.pem'));
  const { Provider } = await import('oidc-provider');
  const oidc = new Provider(issuer, {
    clients: [{
      client_id: 'adit', client_secret: told.providerSecret, redirect_uris: [`${told.url}/sign-in/from/corp`],
      post_logout_redirect_uris: [`${told.url}/sign-in`],
    }],
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['only for this test'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: ['Engineering'] }) }),
  });
  const server = createServer({ key: readFileSync(at('provider.key')), cert: readFileSync(at('provider-leaf.pem')) }, oidc.callback());
  await new Promise((resolve) => server.listen(told.provider, '127.0.0.1', resolve));
  server.unref();
  return issuer;
}
