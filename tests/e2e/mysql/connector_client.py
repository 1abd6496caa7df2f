import sys
import mysql.connector
from mysql.connector import errorcode

port, token, ca = sys.argv[1:]
base = dict(host="localhost", port=int(port), user="reporting", database="orders", password=token,
            ssl_ca=ca, ssl_verify_cert=True, ssl_verify_identity=True, use_pure=True,
            charset="utf8mb4", collation="utf8mb4_general_ci", autocommit=True,
            conn_attrs={"adit_application": "orders-db"})

c = mysql.connector.connect(**base)
cur = c.cursor()
cur.execute("select 1")
assert cur.fetchone() == (1,)

# Prepared, over and over, with errors between.
p = c.cursor(prepared=True)
for n in range(50):
    p.execute("select %s + 1, %s", (n, "x" * n))
    assert p.fetchone() == (n + 1, "x" * n)
try:
    p.execute("select nothing_at_all")
    raise SystemExit("no error")
except mysql.connector.Error as e:
    assert e.errno == errorcode.ER_BAD_FIELD_ERROR, e
p.close()
big = b"\x00\xff" * (9 << 20)
p = c.cursor(prepared=True)
p.execute("select length(%s)", (big,))
assert p.fetchone() == (len(big),)
p.close()

# The same connection anew: the state goes, and a token is asked for again.
cur.execute("set @a = 5")
c.cmd_reset_connection()
cur = c.cursor()
cur.execute("select @a")
assert cur.fetchone() == (None,)
cur.execute("set @a = 6")
c.cmd_change_user("reporting+orders-db", token, "orders")
cur = c.cursor()
cur.execute("select @a, database()")
assert cur.fetchone() == (None, "orders")
c.cmd_change_user("reporting", token, "information_schema")
cur = c.cursor()
cur.execute("select database()")
assert cur.fetchone() == ("information_schema",)
for user, password, code in [("reporting", "adit_access_no", "authn.failed"),
                             ("reporting+other-db", token, "access.denied")]:
    other = mysql.connector.connect(**base)
    try:
        other.cmd_change_user(user, password, "orders")
        raise SystemExit("changed to %s" % user)
    except mysql.connector.Error as e:
        assert code in str(e), e
    try:
        other.cursor().execute("select 1")
        raise SystemExit("it goes on")
    except mysql.connector.Error:
        pass
c.close()
print("done")
