// ssh2 of npm, whose clients have no function that asks for new keys.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
const { Client } = createRequire(process.argv.at(-1) + '/')('ssh2');
const { PORT, LOGIN, TOKEN, DIR, ECHO } = process.env;
const c = new Client();
await new Promise((done, fail) => c.on('ready', done).on('error', fail)
  .connect({ host: '127.0.0.1', port: +PORT, username: LOGIN, password: TOKEN }));
const is = (got, wanted) => { if (got !== wanted) throw new Error(`${got} is not ${wanted}`); };
const asked = (command, options = {}) => new Promise((done, fail) => c.exec(command, options, (error, s) => {
  if (error) return fail(error);
  let out = '', code;
  s.on('data', (data) => { out += data; }).on('exit', (n) => { code = n; }).on('close', () => done([out, code]));
}));
const execs = async () => is(JSON.stringify(await asked('echo out; exit 5')), JSON.stringify(['out\n', 5]));
const sftp = async () => {
  const f = await promisify(c.sftp.bind(c))();
  const [up, there, back] = ['up', 'ssh2', 'ssh2.back'].map((n) => `${DIR}/${n}`);
  await promisify(f.fastPut.bind(f))(up, there);
  await promisify(f.fastGet.bind(f))(there, back);
  for (const copy of [there, back]) is(readFileSync(up).compare(readFileSync(copy)), 0);
  f.end();
};
const cases = {
  exec: execs,
  pty: async () => {
    const [said] = await asked('stty size; tty', { pty: { rows: 45, cols: 123, term: 'vt100' } });
    if (!said.startsWith('45 123\r\n/dev/pts/')) throw new Error(said);
  },
  sftp,
  forward: async () => {
    const s = await promisify(c.forwardOut.bind(c))('127.0.0.1', 1, '127.0.0.1', +ECHO);
    s.write('ping');
    is(String(await new Promise((done) => s.once('data', done))), 'ping');
    s.end();
  },
};
for (const [name, run] of Object.entries(cases)) {
  try { await run(); console.log(name, 'ok'); } catch (error) { console.log(name, 'failed:', error.message); }
}
c.end();
