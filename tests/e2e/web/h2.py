"""HTTP/2 frames as they are, to the web door: `h2.py NAME PORT TOKEN smuggle|flood`. Prints one line of
JSON for each case: what became of its request, or of its connection."""
import hpack, json, socket, ssl, struct, sys, threading, time

NAME, PORT, TOKEN, MODE = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
AUTHORITY = f"{NAME}:{PORT}"


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name, value):
    """A field without indexing or checks: what an encoder would refuse to write."""
    assert len(name) < 127 and len(value) < 127
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def fields(*pairs):
    return b"".join(literal(n.encode("latin1"), v.encode("latin1")) for n, v in pairs)


def pseudo(method="GET", path="/page", authority=AUTHORITY):
    return [(":method", method), (":path", path), (":scheme", "https"), (":authority", authority)]


def key():
    # Longer than the literal's one byte of length would be for other tokens: Huffman is not needed.
    return [("x-adit-key", TOKEN)]


def connect():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", PORT), 10)
    stream = context.wrap_socket(raw, server_hostname=NAME)
    assert stream.selected_alpn_protocol() == "h2"
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    return stream


def outcome(stream, wait=5.0):
    """The status of stream 1, or how it or the connection was refused."""
    decoder, data, end = hpack.Decoder(), b"", time.time() + wait
    while time.time() < end:
        stream.settimeout(max(end - time.time(), 0.01))
        try:
            part = stream.recv(65536)
        except (TimeoutError, socket.timeout):
            return "silence"
        except OSError:
            return "cut"
        if not part:
            return "cut"
        data += part
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            length, kind, number = int.from_bytes(data[:3], "big"), data[3], data[5:9]
            body, data = data[9:9 + length], data[9 + length:]
            if kind == 4 and not data[4:5]:
                pass
            if kind == 7:
                return "goaway"
            if kind == 3 and number == b"\0\0\0\1":
                return "reset"
            if kind == 1 and number == b"\0\0\0\1":
                return dict(decoder.decode(body))[":status"]
    return "silence"


def one(name, block, body=b"", end=True):
    stream = connect()
    head = frame(1, 4 if body else 5, 1, block)
    rest = frame(0, 1 if end else 0, 1, body) if body else b""
    try:
        stream.sendall(head + rest)
        result = outcome(stream)
    except OSError:
        result = "cut"
    stream.close()
    print(json.dumps({"case": name, "outcome": result}), flush=True)


def smuggle():
    inner = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    good, post = pseudo() + key(), pseudo("POST") + key()
    one("honest", fields(*good))
    for name, value in [
        ("x", "a\r\nTransfer-Encoding: chunked"), ("x", "a\nb: c"), ("x", "a\rb"), ("x", "a\0"),
        ("x", "a\r\n\r\n" + inner), ("a\r\nb", "c"), ("a: b", "c"), ("X-Upper", "a"), ("", "a"),
        ("a b", "c"), ("transfer-encoding", "chunked"), ("connection", "close"),
        ("connection", "transfer-encoding"), ("keep-alive", "5"), ("proxy-connection", "a"),
        ("upgrade", "websocket"), ("te", "gzip"), ("host", "evil.test"),
    ]:
        one(f"field {name!r}: {value!r}", fields(*good, (name, value)))
    for path in ["/a\r\nX: y", "/a b HTTP/1.1\r\n\r\n" + inner, "a", "", "//\0", "http://evil.test/", "*"]:
        one(f"path {path!r}", fields(*pseudo(path=path), *key()))
    for method in ["GET /hidden HTTP/1.1\r\nA:", "G T", "", "CONNECT"]:
        one(f"method {method!r}", fields(*pseudo(method), *key()))
    for authority in ["evil.test", "", AUTHORITY + "\r\nX: y", "user@" + AUTHORITY]:
        one(f"authority {authority!r}", fields(*pseudo(authority=authority), *key()))
    for twice in pseudo():
        one(f"two {twice[0]}", fields(*pseudo(), (twice[0], twice[1]), *key()))
        one(f"no {twice[0]}", fields(*[p for p in pseudo() if p != twice], *key()))
        one(f"late {twice[0]}", fields(*[p for p in pseudo() if p != twice], *key(), twice))
    one("unknown pseudo", fields(*pseudo(), (":odd", "x"), *key()))
    one("status in a request", fields(*pseudo(), (":status", "200"), *key()))
    one("extended connect", fields(*pseudo("CONNECT"), (":protocol", "connect-udp"), *key()))
    for length, body in [("0", inner), ("3", inner), ("9999", "x"), ("+4", "AAAA"), ("4, 4", "AAAA"),
                         ("-1", "A"), ("0x4", "AAAA"), ("", "A"), ("18446744073709551620", "AAAA")]:
        one(f"length {length!r}", fields(*post, ("content-length", length)), body.encode())
    one("two lengths", fields(*post, ("content-length", "4"), ("content-length", "30")), inner.encode())
    one("a length and no body", fields(*post, ("content-length", "4")))


def forge():
    for name in ["x-adit-user", "x_adit_user", "x-adit_user", "x-adit-identity", "x_adit_identity",
                 "x-forwarded-for", "x_forwarded_for", "x-forwarded-host", "x-forwarded-user", "forwarded",
                 "x-real-ip", "x_real_ip", "remote-user", "remote_user", "x-remote-user", "x-checkpoint-user",
                 "x-auth-request-user", "x-warpgate-username", "x-webauth-user", "true-client-ip",
                 "x-original-url", "x-rewrite-url"]:
        one(name, fields(*pseudo(), (name, "mallory"), *key()))


def read_out(stream, ended):
    try:
        while stream.recv(65536):
            pass
    except OSError:
        pass
    ended.set()


def flood():
    get, post = fields(*pseudo()), fields(*pseudo("POST"))
    odd = lambda n: 2 * n + 1
    cases = {
        "rapid reset": lambda: (b"".join(frame(1, 5, odd(i), get) + frame(3, 0, odd(i), b"\0\0\0\x08")
                                         for i in range(j, j + 100)) for j in range(0, 20000, 100)),
        "resets that it must send": lambda: (
            b"".join(frame(1, 4, odd(i), post) + frame(8, 0, odd(i), b"\x7f\xff\xff\xff")
                     for i in range(j, j + 100)) for j in range(0, 20000, 100)),
        "continuation": lambda: iter([frame(1, 1, 1, get)] + [
            frame(9, 0, 1, literal(b"x%d" % i, b"a" * 100)) for i in range(20000)]),
        "header list": lambda: iter([frame(1, 4, 1, get + literal(b"x", b"a" * 120) * 120)]),
        "compressed bomb": lambda: iter(
            [frame(1, 5, 1, get + b"\x40\x01x\x7f\x81\x1e" + b"a" * 4000)]
            + [frame(1, 5, 3 + 2 * i, get + b"\xbe" * 16000) for i in range(100)]),
        "settings": lambda: (frame(4, 0, 0, struct.pack(">HI", 3, i % 100 + 1)) * 100 for i in range(1000)),
        "ping": lambda: (frame(6, 0, 0, b"12345678") * 100 for i in range(1000)),
        "empty data": lambda: iter([frame(1, 4, 1, post)] + [frame(0, 0, 1) * 100] * 5000),
        "priority": lambda: (frame(2, 0, odd(i % 1000), b"\0\0\0\0\x10") * 100 for i in range(1000)),
        "unknown frames": lambda: (frame(99, 0, 0, b"x" * 100) * 100 for i in range(500)),
        "window of zero": lambda: iter([frame(4, 0, 0, struct.pack(">HI", 4, 0))] + [
            frame(1, 5, odd(i), get) for i in range(1000)]),
        "window overflow": lambda: iter([frame(8, 0, 0, b"\x7f\xff\xff\xff")] * 2),
        "window step of zero": lambda: iter([frame(8, 0, 0, b"\0\0\0\0")]),
        "a frame too large": lambda: iter([frame(0, 0, 1, b"x" * 20000)]),
        "data on no stream": lambda: iter([frame(0, 0, 0, b"x")]),
        "an even stream": lambda: iter([frame(1, 5, 2, get)]),
        "a settings frame of odd length": lambda: iter([frame(4, 0, 0, b"xyz")]),
    }
    for name, frames in cases.items():
        stream, ended = connect(), threading.Event()

        # Of this case's own: the names are the next one's before a reader of this one is done.
        threading.Thread(target=read_out, args=(stream, ended), daemon=True).start()
        sent = 0
        try:
            for part in frames():
                stream.sendall(part)
                sent += 1
        except OSError:
            pass
        over = ended.wait(3)
        print(json.dumps({"case": name, "outcome": "ended" if over else "open", "sent": sent}), flush=True)
        stream.close()


{"smuggle": smuggle, "forge": forge, "flood": flood}[MODE]()
