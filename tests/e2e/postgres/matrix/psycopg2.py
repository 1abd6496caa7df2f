import sys, threading, psycopg2
port, token, ca, other = sys.argv[1:]
base = dict(host="localhost", port=port, user="x+orders-db", dbname="orders", password=token,
            sslmode="verify-full", sslrootcert=ca)
c = psycopg2.connect(**base); c.autocommit = True
cur = c.cursor()

def ask(sql, *values):
    cur.execute(sql, values)
    return cur.fetchone()[0]

def login(): assert ask("select 1") == 1
def prepared():
    cur.execute("prepare p(int) as select $1 + 1")
    assert [ask("execute p(%s)", n) for n in range(20)] == list(range(1, 21))
def large(): assert len(ask("select repeat('z', 8388608)")) == 8388608
def cancel():
    threading.Timer(1, c.cancel).start()
    try: ask("select pg_sleep(60)")
    except psycopg2.errors.QueryCanceled: return login()
    raise AssertionError("not cancelled")
def verify_full():
    try: psycopg2.connect(**{**base, "sslrootcert": other})
    except psycopg2.OperationalError as e: assert "certificate" in str(e), e
    else: raise AssertionError("trusted")

for name, case in [("login", login), ("prepared", prepared), ("large", large), ("cancel", cancel), ("verify-full", verify_full)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
