import sys, threading, time
import mysql.connector
port, token, ca, other = sys.argv[1:]

def connect(ca):
    return mysql.connector.connect(host="localhost", port=int(port), user="x+orders-db", database="orders",
                                   password=token, ssl_ca=ca, ssl_verify_cert=True, ssl_verify_identity=True,
                                   charset="utf8mb4", collation="utf8mb4_general_ci", use_pure=True, autocommit=True)
c = connect(ca)

def ask(sql):
    cur = c.cursor(); cur.execute(sql); return cur.fetchone()[0]

def login(): assert ask("select 1") == 1
def prepared():
    p = c.cursor(prepared=True)
    for n in range(20):
        p.execute("select %s + 1", (n,))
        assert p.fetchone()[0] == n + 1
    p.close()
def large(): assert len(ask("select repeat('z', 8388608)")) == 8388608
def cancel():
    def kill():
        d = connect(ca); d.cursor().execute("kill query %d" % c.connection_id); d.close()
    began = time.time(); threading.Timer(1, kill).start()
    try: assert ask("select sleep(60)") == 1
    except mysql.connector.Error as e: assert e.errno == 1317, e
    assert time.time() - began < 20
    login()
def verify_full():
    try: connect(other)
    except mysql.connector.Error as e: assert "certificate" in str(e).lower(), e
    else: raise AssertionError("trusted")

for name, case in [("login", login), ("prepared", prepared), ("large", large), ("cancel", cancel), ("verify-full", verify_full)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
