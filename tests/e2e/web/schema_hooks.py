"""Schemathesis' check that an answer by the relay is what the origin answers when it is asked itself.
BASE is the address at the relay, with the token where it stands in the URL; DIRECT the origin's."""
import os
import socket

import requests
import schemathesis

BASE, DIRECT = os.environ["BASE"], os.environ["DIRECT"]
KEPT = ("accept", "content-type", "cookie")
resolve = socket.getaddrinfo
# Not every resolver knows names below localhost.
socket.getaddrinfo = lambda host, *rest, **more: resolve(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)


@schemathesis.check
def as_direct(ctx, response, case):
    sent = response.request
    assert sent.url.startswith(BASE), sent.url
    headers = {name: value for name, value in sent.headers.items() if name.lower() in KEPT}
    direct = requests.Request(sent.method, DIRECT + "/x", data=sent.body, headers=headers).prepare()
    # As it was sent: not made plain once more.
    direct.url = DIRECT + sent.url[len(BASE):]
    with requests.Session() as session:
        said = session.send(direct, allow_redirects=False, timeout=20)
    assert response.status_code == said.status_code, f"{response.status_code}, not {said.status_code}: {sent.url}"
    assert response.content == said.content, f"{response.content!r}, not {said.content!r}"
    kind = (response.headers.get("content-type") or [None])[0]
    assert kind == said.headers.get("content-type"), kind
    location = said.headers.get("location")
    if location:
        prefix = "/" + BASE.split("/", 3)[3] if BASE.count("/") > 2 else ""
        assert response.headers["location"] == [prefix + location], response.headers["location"]
        assert f"Path={prefix}/items" in response.headers["set-cookie"][0], response.headers["set-cookie"]
