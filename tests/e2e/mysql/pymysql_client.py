import sys, threading, time
import pymysql

port, token, ca = sys.argv[1:]
base = dict(host="localhost", port=int(port), user="reporting+orders-db", database="orders",
            password=token, ssl_ca=ca, ssl_verify_cert=True, ssl_verify_identity=True,
            autocommit=True, local_infile=True, max_allowed_packet=64 << 20)

c = pymysql.connect(**base, program_name="pymy")
cur = c.cursor()
cur.execute("select 1")
assert cur.fetchone() == (1,)
cur.execute("select %s, %s", ("ü'\\", None))
assert cur.fetchone() == ("ü'\\", None)
for n in range(200):
    cur.execute("select %s + 1", (n,))
    assert cur.fetchone() == (n + 1,)

# Errors leave the connection as it is.
try:
    cur.execute("select nothing")
    raise SystemExit("no error")
except pymysql.err.OperationalError as e:
    assert e.args[0] == 1054, e
cur.execute("select 5")
assert cur.fetchone() == (5,)

# Rows one by one, and a large one each way.
u = c.cursor(pymysql.cursors.SSCursor)
u.execute("select seq from seq_1_to_50000")
assert sum(r[0] for r in u.fetchall_unbuffered()) == 50000 * 50001 // 2
u.close()
big = "w" * (17 << 20)
cur.execute("select length(%s), %s", (big, big))
row = cur.fetchone()
assert row[0] == len(big) and row[1] == big

# Several statements, and a procedure with several results.
m = pymysql.connect(**base, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
mc = m.cursor()
mc.execute("select 1; select 2; select 3")
got = [mc.fetchone()[0]]
while mc.nextset():
    got.append(mc.fetchone()[0])
assert got == [1, 2, 3], got
mc.execute("create or replace procedure two() begin select 'a'; select 'b'; end")
mc.execute("call two(); select 'c'")
got = [mc.fetchall()]
while mc.nextset():
    got.append(mc.fetchall())
assert [g[0][0] for g in got if g] == ["a", "b", "c"], got

# Another database, a ping, and the same connection anew.
m.select_db("information_schema")
m.ping(reconnect=False)
m.select_db("orders")
mc.execute("select count(*) from orders")
assert mc.fetchone() == (100,)
m.close()

# Killing what runs, by the number that the connection was given and by the server's.
for how in ("given", "asked"):
    if how == "given":
        number = c.thread_id()
    else:
        cur.execute("select connection_id()")
        number = cur.fetchone()[0]
    def kill():
        with pymysql.connect(**base) as other:
            other.cursor().execute("kill query %d" % number)
    timer = threading.Timer(1, kill)
    timer.start()
    started = time.time()
    try:
        cur.execute("select sleep(60)")
        assert cur.fetchone() == (1,)
    except pymysql.err.OperationalError as e:
        assert e.args[0] == 1317, e
    assert time.time() - started < 20
    timer.join()
cur.execute("select 7")
assert cur.fetchone() == (7,)
try:
    cur.execute("kill 1")
    raise SystemExit("killed")
except pymysql.err.MySQLError as e:
    assert e.args[0] == 1095 and "database.kill" in e.args[1], e
c.close()

try:
    pymysql.connect(**{**base, "password": "adit_access_no"})
    raise SystemExit("no token is needed")
except pymysql.err.OperationalError as e:
    assert e.args[0] == 1045 and "authn.failed" in e.args[1], e
try:
    pymysql.connect(**{**base, "ssl_ca": None, "ssl_disabled": True})
    raise SystemExit("no TLS is needed")
except pymysql.err.MySQLError as e:
    assert "tls.required" in str(e), e
print("done")
