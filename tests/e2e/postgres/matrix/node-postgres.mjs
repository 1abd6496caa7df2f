import fs from 'node:fs';
import { createRequire } from 'node:module';
const [port, token, ca, other, modules] = process.argv.slice(2);
const pg = createRequire(modules + '/')('pg');
const options = (file) => ({ host: 'localhost', port: +port, user: 'x+orders-db', database: 'orders',
  password: token, ssl: { ca: fs.readFileSync(file), rejectUnauthorized: true } });
const c = new pg.Client(options(ca));
await c.connect();
const is = (got, wanted) => { if (got !== wanted) throw new Error(`${got} is not ${wanted}`); };
const login = async () => is((await c.query('select 1 as n')).rows[0].n, 1);
const cases = {
  login,
  prepared: async () => {
    for (let n = 0; n < 20; n++) is((await c.query({ name: 'p', text: 'select $1::int + 1 as n', values: [n] })).rows[0].n, n + 1);
  },
  large: async () => is((await c.query("select repeat('z', 8388608) as z")).rows[0].z.length, 8388608),
  cancel: async () => {
    // Its cancel is in the clear.
    const asked = new pg.Query('select pg_sleep(60)');
    const ended = new Promise((done) => { asked.on('error', done); asked.on('end', done); });
    c.query(asked);
    setTimeout(() => new pg.Client({ ...options(ca), ssl: false }).cancel(c, asked), 1000);
    is((await ended)?.code, '57014');
    await login();
  },
  'verify-full': async () => {
    const bad = new pg.Client(options(other));
    bad.on('error', () => {});
    await bad.connect().then(() => { throw new Error('trusted'); }, (e) => { if (!/certificate|self.signed/i.test(e.message + e.code)) throw e; });
  },
};
for (const [name, run] of Object.entries(cases)) {
  try { await run(); console.log(name, 'ok'); } catch (e) { console.log(name, 'failed:', e); }
}
process.exit(0);
