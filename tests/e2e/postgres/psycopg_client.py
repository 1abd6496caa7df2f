import sys, threading, time
import psycopg

port, token, ca = sys.argv[1:]
base = dict(host="localhost", port=port, user="reporting+orders-db", dbname="orders", password=token,
            sslmode="verify-full", sslrootcert=ca)
version = psycopg.pq.version()

c = psycopg.connect(**base, autocommit=True, application_name="psy")
assert c.execute("select 1").fetchone() == (1,)
assert c.info.parameter_status("server_version")
assert c.execute("select pg_backend_pid()").fetchone() == (c.info.backend_pid,)

# Prepared, by name, many times over.
for n in range(20):
    assert c.execute("select %s::int + 1", (n,), prepare=True).fetchone() == (n + 1,)

# A pipeline, and an error in the middle of one.
with c.pipeline() as p:
    curs = [c.execute("select %s::int", (n,)) for n in range(300)]
    p.sync()
    assert [cur.fetchone()[0] for cur in curs] == list(range(300))
try:
    with c.pipeline():
        c.execute("select 1")
        c.execute("select 1/0")
        c.execute("select 2")
    raise SystemExit("no error")
except psycopg.errors.DivisionByZero:
    pass
assert c.execute("select 5").fetchone() == (5,)

# COPY both ways, and one that fails.
c.execute("create temp table t (a int, b text)")
with c.cursor().copy("copy t from stdin") as copy:
    for n in range(10000):
        copy.write_row((n, "x" * 100))
assert c.execute("select count(*) from t").fetchone() == (10000,)
with c.cursor().copy("copy t to stdout") as copy:
    assert sum(1 for _ in copy.rows()) == 10000
try:
    with c.cursor().copy("copy t from stdin") as copy:
        copy.write("no number\tx\n")
    raise SystemExit("no error")
except psycopg.errors.InvalidTextRepresentation:
    pass
assert c.execute("select 6").fetchone() == (6,)

# A transaction with a cursor of the server's.
with c.transaction():
    cur = c.cursor(name="many")
    cur.execute("select * from generate_series(1, 5000)")
    assert sum(r[0] for r in cur) == 5000 * 5001 // 2

# Notifications.
c.execute("listen news")
with psycopg.connect(**base, autocommit=True) as other:
    other.execute("notify news, 'hello'")
got = [n.payload for n in c.notifies(timeout=5, stop_after=1)]
assert got == ["hello"], got

# Large objects, by SQL and by the functions of the protocol.
with c.transaction():
    oid = c.execute("select lo_create(0)").fetchone()[0]
    fd = c.execute("select lo_open(%s, 131072|262144)", (oid,)).fetchone()[0]
    c.execute("select lowrite(%s, %s)", (fd, b"y" * 100000))
    assert len(c.execute("select lo_get(%s)", (oid,)).fetchone()[0]) == 100000
    c.execute("select lo_unlink(%s)", (oid,))

# A large row, and one value of megabytes as a parameter.
assert len(c.execute("select repeat('z', 30000000)").fetchone()[0]) == 30000000
big = "w" * 20000000
assert c.execute("select length(%s)", (big,)).fetchone() == (len(big),)

# Cancelling, by the old way and by the one over TLS.
for way in ("cancel", "cancel_safe"):
    timer = threading.Timer(1, getattr(c, way))
    timer.start()
    started = time.time()
    try:
        c.execute("select pg_sleep(60)")
        raise SystemExit("not cancelled")
    except psycopg.errors.QueryCanceled:
        assert time.time() - started < 20
    timer.join()
assert c.execute("select 7").fetchone() == (7,)
c.close()

if version >= 160000:
    proving = dict(base, user="reporting+orders-db+adit_" + token.split("_")[2][:10],
                   require_auth="scram-sha-256", channel_binding="require")
    ways = ({}, {"sslnegotiation": "direct"}) if version >= 170000 else ({},)
    for way in ways:
        with psycopg.connect(**proving, **way) as c:
            assert c.execute("select 10").fetchone() == (10,)
    try:
        psycopg.connect(**{**proving, "password": token[:-1] + "x"})
        raise SystemExit("a wrong token proves nothing")
    except psycopg.OperationalError as e:
        assert "authn.failed" in str(e), e
    try:
        psycopg.connect(**{**base, "require_auth": "scram-sha-256"})
        raise SystemExit("no token is named")
    except psycopg.OperationalError as e:
        assert "require" in str(e), e
if version >= 170000:
    with psycopg.connect(**base, sslnegotiation="direct") as direct:
        assert direct.execute("select 8").fetchone() == (8,)
if version >= 180000:
    with psycopg.connect(**base, max_protocol_version="3.2") as newer:
        assert newer.execute("select 9").fetchone() == (9,)
        timer = threading.Timer(1, newer.cancel_safe)
        timer.start()
        try:
            newer.execute("select pg_sleep(60)")
            raise SystemExit("not cancelled")
        except psycopg.errors.QueryCanceled:
            pass
try:
    psycopg.connect(**{**base, "password": "adit_access_no"})
    raise SystemExit("no token is needed")
except psycopg.OperationalError as e:
    assert "authn.failed" in str(e), e
print("libpq", version, "done")
