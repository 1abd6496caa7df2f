import socket, ssl, struct, sys, threading
import pg8000.native
port, token, ca, other = sys.argv[1:]

def connect(ca):
    return pg8000.native.Connection("x+orders-db", host="localhost", port=int(port), database="orders",
                                    password=token, ssl_context=ssl.create_default_context(cafile=ca))
c = connect(ca)

def login(): assert c.run("select 1") == [[1]]
def prepared():
    p = c.prepare("select :a::int + 1")
    assert [p.run(a=n) for n in range(20)] == [[[n + 1]] for n in range(20)]
def large(): assert len(c.run("select repeat('z', 8388608)")[0][0]) == 8388608
def cancel():
    # It has no cancel of its own, but the key.
    def ask():
        with socket.create_connection(("localhost", int(port))) as s:
            s.sendall(struct.pack(">II", 16, 80877102) + c._backend_key_data); s.recv(1)
    threading.Timer(1, ask).start()
    try: c.run("select pg_sleep(60)")
    except pg8000.exceptions.DatabaseError as e:
        assert e.args[0]["C"] == "57014", e
        return login()
    raise AssertionError("not cancelled")
def verify_full():
    try: connect(other)
    except ssl.SSLCertVerificationError: return
    except pg8000.exceptions.InterfaceError as e: assert "CERTIFICATE_VERIFY" in repr(e.__cause__ or e); return
    raise AssertionError("trusted")

for name, case in [("login", login), ("prepared", prepared), ("large", large), ("cancel", cancel), ("verify-full", verify_full)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
