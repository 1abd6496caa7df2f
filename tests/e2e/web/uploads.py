"""A library that writes its whole body before it reads: each upload and the status it is to have."""
import socket
import sys

import requests

ca, *cases = sys.argv[1:]
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda name, *rest, **more: resolve("127.0.0.1", *rest, **more)

with requests.Session() as session:
    session.trust_env, session.verify = False, ca
    for token, url, status in zip(*[iter(cases)] * 3):
        for _ in range(3):
            said = session.put(url, data=b"x" * 10_000_000, headers={"X-Adit-Key": token}, timeout=20)
            assert said.status_code == int(status), (url, said.status_code, said.text)

print("done")
