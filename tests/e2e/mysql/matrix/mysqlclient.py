import os, sys, threading, time, MySQLdb
port, token, ca, other = sys.argv[1:]

def connect(ca):
    # "localhost" is a socket to it. What it has no argument for, its library reads here.
    file = os.environ["HOME"] + "/mysqlclient.cnf"
    with open(file, "w") as f: f.write(f"[client]\nssl-ca={ca}\nssl-verify-server-cert\n")
    return MySQLdb.connect(host="127.0.0.1", port=int(port), user="x+orders-db", passwd=token, db="orders",
                           read_default_file=file, read_default_group="client", autocommit=True)
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
    def kill(): connect(ca).cursor().execute("kill query %d" % c.thread_id())
    began = time.time(); threading.Timer(1, kill).start()
    try: assert ask("select sleep(60)") == 1
    except MySQLdb.OperationalError as e: assert e.args[0] == 1317, e
    assert time.time() - began < 20
    login()
def verify_full():
    try: connect(other)
    except MySQLdb.OperationalError as e: assert "certificate" in str(e).lower(), e
    else: raise AssertionError("trusted")

for name, case in [("login", login), ("prepared", prepared), ("large", large), ("cancel", cancel), ("verify-full", verify_full)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
