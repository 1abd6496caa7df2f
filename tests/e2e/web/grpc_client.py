"""Calls the service of bytes through the relay."""
import sys
import time

import grpc

host, ca, what, token, *rest = sys.argv[1:]
name, port = host.split(":")


def channel(host):
    options = [
        ("grpc.ssl_target_name_override", host.split(":")[0]),
        ("grpc.default_authority", host),
        ("grpc.enable_http_proxy", 0),
    ]
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    return grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)


def refused(call, status, words):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == status and words in error.details(), (error.code(), error.details())
        return
    raise SystemExit(f"{status} was expected")


def calls(other, dead):
    with channel(host) as service:
        unary = {m: service.unary_unary(f"/test.Bytes/{m}") for m in ["Echo", "Hang", "Gone", "Fail"]}
        key = [("x-adit-key", token)]
        said, call = unary["Echo"].with_call(b"hello", metadata=key)
        assert said == b"hello" and dict(call.trailing_metadata())["x-user"] == "alice", call
        numbers = list(service.unary_stream("/test.Bytes/Count")(b"1000", metadata=key))
        assert numbers == [str(n).encode() for n in range(1000)], numbers[:5]
        pieces = (bytes(65536) for _ in range(500))
        total = service.stream_unary("/test.Bytes/Total")(pieces, metadata=key)
        assert total == str(500 * 65536).encode(), total
        chat(service, key)
        refused(lambda: unary["Fail"](b"", metadata=key), grpc.StatusCode.NOT_FOUND, "100 %")
        hang(unary, key)
        status = grpc.StatusCode
        refused(lambda: unary["Echo"](b""), status.UNAUTHENTICATED, "authn.required")
        wrong = [("x-adit-key", token + "x")]
        refused(lambda: unary["Echo"](b"", metadata=wrong), status.UNAUTHENTICATED, "authn.failed")
        wrong = [("x-adit-key", other)]
        refused(lambda: unary["Echo"](b"", metadata=wrong), status.PERMISSION_DENIED, "access.denied")
    with channel(dead) as service:
        echo = service.unary_unary("/test.Bytes/Echo")
        refused(lambda: echo(b"", metadata=wrong), status.UNAVAILABLE, "dial.refused")


def chat(service, key):
    """Each message is sent after the answer to the one before."""
    answers = []

    def messages():
        for n in range(100):
            assert len(answers) == n, (len(answers), n)
            yield str(n).encode()
            while len(answers) == n:
                time.sleep(0.001)

    for answer in service.stream_stream("/test.Bytes/Chat")(messages(), metadata=key, timeout=30):
        answers.append(answer)
    assert answers == [str(n).encode() for n in range(100)], answers[:5]


def hang(unary, key):
    refused(
        lambda: unary["Hang"](b"", metadata=key, timeout=0.5),
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "",
    )
    end = time.time() + 20
    while unary["Gone"](b"", metadata=key) != b"1":
        assert time.time() < end, "the server goes on with a call that nobody waits for"
        time.sleep(0.05)


def stream():
    with channel(host) as service:
        try:
            for n, _ in enumerate(service.unary_stream("/test.Bytes/Ticks")(b"", metadata=[("x-adit-key", token)])):
                if n == 3:
                    print("streaming")
        except grpc.RpcError as error:
            print(f"{error.code()}: {error.details()}")


if what == "calls":
    calls(*rest)
    print("done")
else:
    stream()
