"""Two HTTP libraries against one application: uploads, streams, redirects, events, trailers."""
import hashlib
import socket
import sys

import httpx
import requests

host, token, ca = sys.argv[1:4]
base, key = f"https://{host}", {"X-Adit-Key": token}
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda name, *rest, **more: resolve("127.0.0.1", *rest, **more)


def pieces():
    for n in range(64):
        yield bytes([n]) * 16384


digest = hashlib.sha256(b"".join(pieces())).hexdigest()

with requests.Session() as session:
    session.trust_env, session.verify = False, ca
    session.headers.update(key)
    for _ in range(3):
        said = session.post(f"{base}/echo", data=pieces()).json()
        assert said["sha256"] == digest, said
    landed = session.get(f"{base}/redirect")
    assert landed.text == "landed with seen=1\n", landed.text
    session.headers.clear()
    session.cookies.clear()
    in_url = session.get(f"{base}/odoapi/{token}/absolute")
    assert in_url.text == "landed with no cookie\n", in_url.text

for http2 in [False, True]:
    with httpx.Client(verify=ca, http2=http2, headers=key) as client:
        said = client.put(f"{base}/echo", content=pieces())
        assert said.json()["sha256"] == digest, said.text
        assert said.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        with client.stream("GET", f"{base}/events") as events:
            told = filter(None, map(str.strip, events.iter_lines()))
            lines = [line for line, _ in zip(told, range(3))]
            assert lines == ["data: 0", "data: 1", "data: 2"], lines
        whole = client.get(f"{base}/big?bytes=3000000")
        assert len(whole.content) == 3000000
        try:
            client.get(f"{base}/cut")
            raise SystemExit("half an answer looked whole")
        except httpx.RemoteProtocolError:
            pass
        assert client.head(f"{base}/landing").status_code == 200

print("done")
