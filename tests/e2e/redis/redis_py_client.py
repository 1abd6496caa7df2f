import sys, threading, time
import redis

port, token, ca = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def connect(protocol, **more):
    return redis.Redis(host="localhost", port=port, password=token, ssl=True, ssl_ca_certs=ca,
                       protocol=protocol, decode_responses=True, **more)


for protocol in (2, 3):
    client = connect(protocol, client_name=f"test-{protocol}", username="me+cache")
    client.flushall()
    assert client.client_getname() == f"test-{protocol}"
    assert client.set("a", "1") and client.get("a") == "1"
    client.hset("h", mapping={"x": 1, "y": 2})
    assert client.hgetall("h") == {"x": "1", "y": "2"}
    # Pipelines, of more than are followed one by one, and transactions.
    with client.pipeline(transaction=False) as pipe:
        for n in range(40_000):
            pipe.set(f"k{n % 50}", n)
        assert len(pipe.execute()) == 40_000
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("n").incr("n").get("n")
        assert pipe.execute() == [1, 2, "2"]
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("n").lpush("n", "x")
        try:
            pipe.execute()
            raise SystemExit("a wrong type is an error")
        except redis.ResponseError as error:
            assert "WRONGTYPE" in str(error), error
    # A watched key that changes.
    with client.pipeline() as pipe:
        pipe.watch("a")
        client.set("a", "2")
        pipe.multi()
        pipe.set("a", "3")
        try:
            pipe.execute()
            raise SystemExit("a watched key that changes is an error")
        except redis.WatchError:
            pass
    # Messages.
    pubsub = client.pubsub()
    pubsub.subscribe("c1", "c2")
    pubsub.psubscribe("p*")
    kinds = [pubsub.get_message(timeout=5)["type"] for _ in range(3)]
    assert kinds == ["subscribe", "subscribe", "psubscribe"], kinds
    assert client.publish("c1", "hello") == 1
    assert client.publish("px", "world") == 1
    got = [pubsub.get_message(timeout=5)["data"] for _ in range(2)]
    assert got == ["hello", "world"], got
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    deadline = time.time() + 5
    while pubsub.subscribed and time.time() < deadline:
        pubsub.get_message(timeout=1)
    assert not pubsub.subscribed
    pubsub.close()
    # Blocking commands, from another connection meanwhile.
    threading.Timer(0.3, lambda: connect(protocol).rpush("queue", "job")).start()
    assert client.blpop("queue", timeout=10) == (["queue", "job"] if protocol == 3 else ("queue", "job"))
    # Streams, scripts, sorted sets and large values.
    client.xadd("s", {"f": "v"})
    assert len(client.xread({"s": "0"})) == 1
    assert client.eval("return {KEYS[1], ARGV[1]}", 1, "a", "b") == ["a", "b"]
    client.zadd("z", {"m": 1.5})
    assert client.zscore("z", "m") == 1.5
    big = "x" * 20_000_000
    client.set("big", big)
    assert client.get("big") == big
    # Who signs in again is who they were, and nobody else.
    assert client.execute_command("AUTH", token)
    try:
        client.execute_command("AUTH", "adit_access_wrong")
        raise SystemExit("a wrong token is an error")
    except redis.AuthenticationError as error:
        assert "authn.failed" in str(error), error
    assert client.get("a") == "2"
    client.close()

try:
    redis.Redis(host="localhost", port=port, password="adit_access_wrong", ssl=True,
                ssl_ca_certs=ca).ping()
    raise SystemExit("a wrong token is an error")
except redis.AuthenticationError:
    pass
try:
    redis.Redis(host="localhost", port=port, password=token, ssl=True).ping()
    raise SystemExit("a CA that nobody named is an error")
except redis.ConnectionError:
    pass
print("done")
