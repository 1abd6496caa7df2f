// What the forms for applications and grants can say, and that they keep what they were given.
import assert from 'node:assert/strict';
import { journey, open, signedIn } from './lib.mjs';

const PIN = 'ab'.repeat(32);
const HOST_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/D9RpXsRdzgZAnjYUjPLVzFnTZhmtD9CxfAuXhxqYc';
const APPLICATIONS = [
  { name: 'site-a', site: 'hq', kind: 'web', address: '10.0.0.7:443', allow_api: true, require_active_session: true, requestable: true, approvers: ['dba'], web: {
    host_names: ['a.example.com', 'b.example.com'], scheme: 'https', http: '2', pin: PIN, sni: 'inner', host: 'inner:8443', base_path: '/a', connect_timeout: 5,
    answer_timeout: 90, set_headers: { 'X-Tenant': 'acme: one' }, remove_headers: ['X-Debug'], methods: ['GET', 'HEAD'], paths: ['/docs', '/img'],
    service: [{ address: '10.0.0.8:8080', path: '/api', base_path: '/v2' }, { address: '10.0.0.9:443', host_name: 'b.example.com', scheme: 'https', http: '1', pin: PIN, sni: 'x', host: 'y' }],
  } },
  { name: 'db-a', site: 'hq', kind: 'postgres', address: '10.0.0.7:5432', allow_api: false, database: {
    tls: 'verify-full', pin: PIN, sni: 'db', accounts: { owner: 'o', viewer: 'v' }, mask: ['\\b\\d{16}\\b', '(secret)'], values: true, replication: true }, level_passwords: { owner: 'x', viewer: 'y' } },
  { name: 'db-b', site: 'hq', kind: 'postgres', address: '10.0.0.7:5432', allow_api: false, account: 'maker', password: 'x', database: { roles: { editor: 'rw' }, tls: 'require' } },
  { name: 'ssh-a', site: 'hq', kind: 'ssh', address: '10.0.0.7:22', allow_api: false, certificate: true, account: 'ubuntu', host_key: HOST_KEY, legacy_algorithms: true },
  { name: 'raw-a', site: 'hq', kind: 'tcp', address: '10.0.0.7:9', allow_api: false },
];
const GRANTS = [
  { user: 'eve', tag: 'env=prod', logins: ['a', 'b'], sources: ['10.0.0.0/8'], hours: ['mon-fri 08:00-18:00', 'sat 09:00-12:00'], zone: 'Europe/Berlin', max_session: '8h', idle: '30m',
    valid_from: '2026-01-01T00:00:00Z', valid_until: '2031-02-03T04:05:06Z', forwarding: true, file_transfer: false, recording: 'with-input', require_active_session: true, level: 'viewer',
    databases: ['orders'], clipboard: 'to-target', ssh: { authentication: ['certificate', 'publickey,token'], shell: false, exec: ['du -s *', 'uptime'], sftp: 'read', scp: true, local: ['db:5432'],
      remote: false, agent: false, x11: true, streamlocal: true, environment: ['LC_*'], file_hashes: true } },
  { user: 'eve', tag: 'env=dev', forwarding: false, ssh: { local: 'all', exec: 'none', environment: 'none' } },
  { group: 'dba', tag: 'env=dev', logins: [], databases: [], forwarding: false },
];

await journey(async (browser) => {
  const page = await signedIn(browser, 'admin');
  const api = (method, path, body) => page.evaluate(async ([method, path, body]) => {
    const answer = await fetch(`api/v1/${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }, [method, path, body]);
  const saved = async () => {
    await page.getByRole('dialog').getByRole('button', { name: /^(Save|Add)$/ }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  };

  // A form that is opened and saved changes nothing but what was typed.
  for (const made of APPLICATIONS) {
    await api('POST', 'applications', made);
    const path = `applications/${made.name}.hq`;
    const before = await api('GET', path);
    await open(page, 'admin/applications', 'Applications');
    await page.reload();
    await page.getByRole('button', { name: `Edit ${made.name}`, exact: true }).click();
    await page.getByRole('dialog').getByLabel('Tags').fill('seen=yes');
    await saved();
    assert.deepEqual(await api('GET', path), { ...before, tags: { seen: 'yes' } }, made.name);
  }
  const terms = new Map((await api('GET', 'grants?limit=500')).items.map((row) => [row.id, row.grant]));
  for (const made of GRANTS) {
    await api('POST', 'grants', made);
    const row = (await api('GET', 'grants?limit=500')).items.find(({ id }) => !terms.has(id));
    terms.set(row.id, row.grant);
    const whose = made.user ?? `group ${made.group}`;
    await open(page, 'admin/grants', 'Grants');
    await page.reload();
    await page.getByRole('button', { name: `Edit the grant of ${whose} for tag ${made.tag}`, exact: true }).click();
    await page.getByLabel('Longest session').fill('7h');
    await saved();
    assert.deepEqual(await api('GET', `grants/${row.id}`), { ...row.grant, max_session: '7h' }, made.tag);
  }

  // A person fills it in: two origins below one name, by a path and by a host name.
  await open(page, 'admin/applications', 'Applications');
  await page.getByRole('button', { name: 'Add an application' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Web', { exact: true }).check();
  await form.getByLabel('Name', { exact: true }).fill('shop');
  await form.getByLabel('Site').selectOption('hq');
  await form.getByLabel('Address', { exact: true }).fill('10.0.0.7:8080');
  await form.getByLabel('Host names of its own').fill('shop.example.com, pay.example.com');
  await form.getByText('Services: other origins').click();
  await form.getByRole('button', { name: 'Add a service' }).click();
  await form.getByLabel('Path', { exact: true }).fill('/api');
  await form.getByLabel('Address of the origin').fill('10.0.0.8:8080');
  await form.getByRole('button', { name: 'Add a service' }).click();
  const second = form.getByRole('group', { name: 'Service 2' });
  await second.getByLabel('Host name', { exact: true }).selectOption('pay.example.com');
  await second.getByLabel('Address of the origin').fill('10.0.0.9:443');
  await form.getByRole('button', { name: 'Add and test' }).click();
  await page.getByRole('dialog', { name: 'Test connection to shop.hq' }).waitFor();
  await page.keyboard.press('Escape');
  const { web } = await api('GET', 'applications/shop.hq');
  assert.deepEqual(web, { host_names: ['shop.example.com', 'pay.example.com'], service: [
    { address: '10.0.0.8:8080', path: '/api' }, { address: '10.0.0.9:443', host_name: 'pay.example.com' }] });
  await page.getByRole('button', { name: 'Edit shop', exact: true }).click();
  await page.getByRole('button', { name: 'Take service 1 away' }).click();
  await saved();
  assert.equal((await api('GET', 'applications/shop.hq')).web.service.length, 1);

  // A grant without terms says nothing of any of them.
  await open(page, 'admin/grants', 'Grants');
  await page.getByRole('button', { name: 'Add a grant' }).click();
  await page.getByLabel('Who').selectOption('eve');
  await page.getByLabel('What').selectOption('shop.hq');
  await saved();
  const grants = (await api('GET', 'grants?limit=500')).items.map((row) => row.grant);
  assert.deepEqual(grants.find((one) => one.application === 'shop.hq'), { user: 'eve', application: 'shop.hq', forwarding: false });
});
