import fs from 'node:fs';
import { createRequire } from 'node:module';
const [port, token, ca, other, modules] = process.argv.slice(2);
const mysql = createRequire(modules + '/')('mysql2/promise');
const options = (file) => ({ host: 'localhost', port: +port, user: 'x+orders-db', database: 'orders', password: token,
  ssl: { ca: fs.readFileSync(file), rejectUnauthorized: true, verifyIdentity: true } });
const c = await mysql.createConnection(options(ca));
const is = (got, wanted) => { if (got !== wanted) throw new Error(`${got} is not ${wanted}`); };
const login = async () => is((await c.query('select 1 as n'))[0][0].n, 1);
const cases = {
  login,
  prepared: async () => { for (let n = 0; n < 20; n++) is((await c.execute('select ? + 1 as n', [n]))[0][0].n, n + 1); },
  large: async () => is((await c.query("select repeat('z', 8388608) as z"))[0][0].z.length, 8388608),
  cancel: async () => {
    const began = Date.now();
    const asked = c.query('select sleep(60) as s').then(([rows]) => rows[0].s, (e) => e.errno);
    await new Promise((done) => setTimeout(done, 1000));
    const second = await mysql.createConnection(options(ca));
    await second.query(`kill query ${c.threadId}`);
    await second.end();
    is([1, 1317].includes(await asked), true);
    is(Date.now() - began < 20000, true);
    await login();
  },
  'verify-full': async () => {
    await mysql.createConnection(options(other)).then(() => { throw new Error('trusted'); },
      (e) => { if (!/certificate|self.signed/i.test(e.message + e.code)) throw e; });
  },
};
for (const [name, run] of Object.entries(cases)) {
  try { await run(); console.log(name, 'ok'); } catch (e) { console.log(name, 'failed:', e); }
}
process.exit(0);
