// Passkeys, by Chromium's own authenticator: made, alone and besides a password, and taken away.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { copied, forgive, journey, open, signedIn, told } from './lib.mjs';
import { look, nothingFound } from './look.mjs';

// A page whose certificate is not good is given no passkey, however one waves it through: this says
// that the relay's is.
const key = createHash('sha256').update(await relayKey()).digest('base64');

await journey(async (browser) => {
  const page = await signedIn(browser, 'alice');
  await authenticator(page);
  await open(page, 'security', 'Security');
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('laptop');
  await look(page, 'window-new-passkey');
  await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('never used').waitFor();
  await look(page, 'security-passkeys');

  // By itself.
  await signOut(page);
  await page.getByRole('button', { name: 'Use a passkey' }).waitFor();
  await look(page, 'sign-in-passkey');
  await page.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
  await open(page, 'security', 'Security');
  await page.getByText('last used').waitFor();

  // The same authenticator takes no second one of the same user.
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('again');
  await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('This authenticator has a passkey of yours already.').waitFor();
  await page.keyboard.press('Escape');

  // Besides a password.
  const admin = await signedIn(browser, 'admin');
  await open(admin, 'admin/users', 'Users');
  await admin.getByRole('button', { name: 'One-time password for alice' }).click();
  await admin.getByRole('button', { name: 'Give', exact: true }).click();
  const password = await copied(admin, 'Password');
  await admin.keyboard.press('Escape');
  await page.goto(`${told.url}/sign-in`);
  await page.getByLabel('User name').fill('alice');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('heading', { name: 'Your second factor' }).waitFor();
  await look(page, 'sign-in-second-passkey');
  await page.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByRole('heading', { name: 'Choose a password' }).waitFor();
  await page.getByLabel('New password').fill('four words of my own');
  await page.getByLabel('The same again').fill('four words of my own');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();

  // Whoever has lost it asks an admin; then it signs nobody in.
  await admin.getByRole('button', { name: 'Edit alice' }).click();
  await admin.getByRole('dialog').getByText('laptop', { exact: true }).waitFor();
  await admin.getByRole('button', { name: 'Take app and passkeys away…' }).click();
  await admin.getByRole('button', { name: 'Take them away', exact: true }).click();
  await admin.getByText('App and passkeys are removed', { exact: false }).waitFor();
  await signOut(page);
  await page.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByText('authn.passkey').waitFor();
  forgive(/401/);

  // A new one, removed by its owner.
  await page.goto(told.links.bob);
  await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
  await open(page, 'security', 'Security');
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('phone');
  await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('button', { name: 'Remove the passkey phone' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByRole('button', { name: 'Remove the passkey phone' }).waitFor({ state: 'detached' });
  nothingFound();
}, [`--ignore-certificate-errors-spki-list=${key}`]);

/** One that is part of the machine, knows its user and agrees by itself. */
async function authenticator(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  await devtools.send('WebAuthn.addVirtualAuthenticator', { options: {
    protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true,
  } });
}

async function signOut(page) {
  await page.goto(`${told.url}/sign-out`);
  await page.getByRole('button', { name: 'Sign out', exact: true }).last().click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
}

function relayKey() {
  const { hostname, port } = new URL(told.url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port), servername: hostname, rejectUnauthorized: false }, () => {
      const certificate = new X509Certificate(socket.getPeerCertificate().raw);
      assert.ok(certificate.publicKey);
      resolve(certificate.publicKey.export({ type: 'spki', format: 'der' }));
      socket.end();
    });
    socket.on('error', reject);
  });
}
