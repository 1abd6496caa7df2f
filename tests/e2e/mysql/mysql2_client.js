const fs = require('fs')
const mysql = require('mysql2/promise')
const assert = require('assert')
const [port, token, ca] = process.argv.slice(2)
const base = {
  host: 'localhost', port: Number(port), user: 'reporting+orders-db', database: 'orders', password: token,
  ssl: { ca: fs.readFileSync(ca), rejectUnauthorized: true, verifyIdentity: true },
}

async function main() {
  const c = await mysql.createConnection({ ...base, multipleStatements: true })
  assert.equal((await c.query('select 1 as one'))[0][0].one, 1)
  for (let n = 0; n < 50; n++) {
    const [rows] = await c.execute('select ? + 1 as n, ? as t', [n, 'x'.repeat(n)])
    assert.equal(rows[0].n, n + 1)
  }
  const [several] = await c.query('select 1 as a; select 2 as b; update orders set cents = cents where id < 4')
  assert.equal(several[1][0].b, 2)
  assert.equal(several[2].affectedRows, 3)
  await assert.rejects(c.query('select nothing'), { errno: 1054 })
  const big = 'w'.repeat(17 << 20)
  const [long] = await c.query('select ? as big', [big])
  assert.equal(long[0].big.length, big.length)
  // Asked ahead of the answers.
  const all = await Promise.all(Array.from({ length: 100 }, (_, n) => c.execute('select ? as n', [n])))
  all.forEach(([rows], n) => assert.equal(rows[0].n, n))
  await c.changeUser({ user: 'reporting+orders-db', password: token, database: 'orders' })
  assert.equal((await c.query('select 3 as three'))[0][0].three, 3)
  await c.ping()
  // What runs is killed from another connection.
  const other = await mysql.createConnection(base)
  const running = c.query('select sleep(60) as s').then(([rows]) => rows[0].s, (error) => error.errno)
  await new Promise((done) => setTimeout(done, 500))
  await other.query(`kill query ${c.threadId}`)
  const ended = await running
  assert.ok(ended === 1 || ended === 1317, String(ended))
  await other.end()
  await c.end()
  await assert.rejects(mysql.createConnection({ ...base, password: 'adit_access_no' }), /authn.failed/)
  await assert.rejects(mysql.createConnection({ ...base, ssl: undefined }), /tls.required/)
  console.log('done')
}
main().catch((error) => { console.error(error); process.exit(1) })
