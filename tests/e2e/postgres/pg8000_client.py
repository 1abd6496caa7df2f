import io, ssl, sys
import pg8000.native

port, token, ca = sys.argv[1:]
c = pg8000.native.Connection("reporting+orders-db", host="localhost", port=int(port), database="orders",
                             password=token, ssl_context=ssl.create_default_context(cafile=ca))
assert c.run("select 1") == [[1]]
p = c.prepare("select :a::int + 1")
for n in range(20):
    assert p.run(a=n) == [[n + 1]]
p.close()
c.run("create temp table t (a int)")
c.run("copy t from stdin", stream=io.BytesIO(b"1\n2\n3\n"))
assert c.run("select sum(a) from t") == [[6]]
out = io.BytesIO()
c.run("copy t to stdout", stream=out)
assert out.getvalue() == b"1\n2\n3\n"
assert len(c.run("select repeat('z', 5000000)")[0][0]) == 5000000
c.run("listen news")
c.run("notify news, 'hello'")
c.run("select 1")
assert list(c.notifications)[0][2] == "hello"
try:
    c.run("select 1/0")
    raise SystemExit("no error")
except pg8000.exceptions.DatabaseError as e:
    assert e.args[0]["C"] == "22012"
assert c.run("select 7") == [[7]]
c.close()
print("done")
