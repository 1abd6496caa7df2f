const { readFileSync } = require('node:fs');
const assert = require('node:assert/strict');
const Redis = require('ioredis');

const [port, password, ca] = process.argv.slice(2);
const connect = (more = {}) =>
  new Redis({ host: 'localhost', port: Number(port), password, tls: { ca: readFileSync(ca) }, ...more });

(async () => {
  const client = connect({ username: 'me+cache', connectionName: 'io', db: 1 });
  assert.equal(await client.set('a', '1'), 'OK');
  assert.equal(await client.get('a'), '1');
  const results = await client.multi().incr('n').incr('n').exec();
  assert.deepEqual(results, [[null, 1], [null, 2]]);
  const pipeline = client.pipeline();
  for (let n = 0; n < 5000; n += 1) pipeline.set(`k${n % 10}`, n);
  assert.equal((await pipeline.exec()).length, 5000);
  await assert.rejects(client.lpush('a', 'x'), /WRONGTYPE/);

  const listener = connect();
  const got = new Promise((resolve) => listener.on('message', (channel, text) => resolve([channel, text])));
  await listener.subscribe('news', 'more');
  assert.equal(await client.publish('news', 'hello'), 1);
  assert.deepEqual(await got, ['news', 'hello']);
  assert.equal(await listener.unsubscribe(), 0);
  assert.equal(await listener.ping(), 'PONG');

  const waiting = connect({ db: 1 }).blpop('queue', 10);
  setTimeout(() => client.rpush('queue', 'job'), 200);
  assert.deepEqual(await waiting, ['queue', 'job']);

  const wrong = connect({ password: 'adit_access_wrong', retryStrategy: null });
  wrong.on('error', () => {});
  await assert.rejects(wrong.get('a'), /authn.failed|Connection is closed|NOAUTH/);
  console.log('done');
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
