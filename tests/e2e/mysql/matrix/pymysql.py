import sys, threading, time, pymysql
port, token, ca, other = sys.argv[1:]

def connect(ca):
    return pymysql.connect(host="localhost", port=int(port), user="x+orders-db", database="orders", password=token,
                           ssl_ca=ca, ssl_verify_cert=True, ssl_verify_identity=True, autocommit=True)
c = connect(ca)
cur = c.cursor()

def ask(sql, values=None): cur.execute(sql, values); return cur.fetchone()[0]

def login(): assert ask("select 1") == 1
def prepared():
    # It prepares nothing by itself.
    cur.execute("prepare p from 'select ? + 1'")
    for n in range(20):
        cur.execute("set @n = %s", (n,))
        assert ask("execute p using @n") == n + 1
def large(): assert len(ask("select repeat('z', 8388608)")) == 8388608
def cancel():
    def kill():
        with connect(ca) as d: d.cursor().execute("kill query %d" % c.thread_id())
    began = time.time(); threading.Timer(1, kill).start()
    try: assert ask("select sleep(60)") == 1
    except pymysql.err.OperationalError as e: assert e.args[0] == 1317, e
    assert time.time() - began < 20
    login()
def verify_full():
    try: connect(other)
    except pymysql.err.OperationalError as e: assert "CERTIFICATE_VERIFY_FAILED" in str(e), e
    else: raise AssertionError("trusted")

for name, case in [("login", login), ("prepared", prepared), ("large", large), ("cancel", cancel), ("verify-full", verify_full)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
