import fs from 'node:fs';
import { createRequire } from 'node:module';
const [port, token, ca, other, modules] = process.argv.slice(2);
const postgres = createRequire(modules + '/')('postgres');
const options = (file) => ({ host: 'localhost', port: +port, user: 'x+orders-db', database: 'orders', max: 1,
  password: token, ssl: { ca: fs.readFileSync(file), rejectUnauthorized: true, servername: 'localhost' } });
const sql = postgres(options(ca));
const is = (got, wanted) => { if (got !== wanted) throw new Error(`${got} is not ${wanted}`); };
const login = async () => is((await sql`select 1 as n`)[0].n, 1);
const cases = {
  login,
  prepared: async () => { for (let n = 0; n < 20; n++) is((await sql`select ${n}::int + 1 as n`)[0].n, n + 1); },
  large: async () => is((await sql`select repeat('z', 8388608) as z`)[0].z.length, 8388608),
  cancel: async () => {
    const asked = sql`select pg_sleep(60)`;
    const ended = asked.then(() => null, (e) => e);
    setTimeout(() => asked.cancel(), 1000);
    is((await ended)?.code, '57014');
    await login();
  },
  'verify-full': async () => {
    await postgres({ ...options(other), connect_timeout: 10 })`select 1`.then(() => { throw new Error('trusted'); },
      (e) => { if (!/certificate|self.signed/i.test(e.message + e.code)) throw e; });
  },
};
for (const [name, run] of Object.entries(cases)) {
  try { await run(); console.log(name, 'ok'); } catch (e) { console.log(name, 'failed:', e); }
}
process.exit(0);
