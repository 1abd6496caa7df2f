"""A relay with its writers, for the soak parts: set up as its users would, and killed as no user
would. Linux, as root; no packages needed."""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what, ready, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return
        time.sleep(0.01)
    raise TimeoutError(f"{what}: not within {seconds} s")


class World:
    """A relay whose data folder may be a mount of the caller's, and with more in its configuration
    where that is given."""

    def __init__(self, bins, data=None, more="", metrics=False):
        self.bins = Path(bins)
        self.root = Path(tempfile.mkdtemp(prefix="adit-soak-"))
        self.data = Path(data) if data else self.root / "relay"
        self.home = self.root / "home"
        self.ports = {door: free_port() for door in ("https", "quic", "ssh")}
        self.started = []
        listen = [word for door, port in self.ports.items() for word in (f"--{door}", f"127.0.0.1:{port}")]
        setup = self.run("adit-relay", "init", "--data", self.data, "--domain", "localhost", *listen)
        with open(self.data / "relay.toml", "a") as configuration:
            configuration.write(more)
        if metrics:
            self.ports["admin"] = free_port()
            file = self.data / "relay.toml"
            listen = f'[listen]\nadmin = "127.0.0.1:{self.ports["admin"]}"'
            file.write_text(file.read_text().replace("[listen]", listen, 1))
        self.log = self.root / "relay.log"
        self.start()
        (self.root / "setup").write_text(setup)
        self.run("adit", "login", self.url(), "--token-file", self.root / "setup")
        self.token = self.run("adit", "admin", "token", "issue", "--user", "admin", "--kind", "admin")
        self.tls = ssl.create_default_context(cafile=str(self.home / "ca.pem"))

    def url(self):
        return f"https://localhost:{self.ports['https']}"

    def spawn(self, name, *command, log=None):
        with open(log or self.root / f"{name}.log", "ab") as out:
            env = dict(os.environ, ADIT_HOME=str(self.home))
            child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, env=env)
        self.started.append(child)
        return child

    def start(self, *before):
        """Starts the relay, under `before` where given, and says how long it took to be ready."""
        ready, began = self.data / "ready.json", time.monotonic()
        ready.unlink(missing_ok=True)
        self.relay = self.spawn("relay", *before, self.bins / "adit-relay", "serve", "--config",
                                self.data / "relay.toml", log=self.log)
        wait_for("the relay is ready", lambda: ready.exists() or self.relay.poll() is not None)
        if self.relay.poll() is not None:
            raise RuntimeError("the relay ended: " + self.log.read_text()[-1500:])
        return time.monotonic() - began

    def kill(self):
        self.relay.send_signal(signal.SIGKILL)
        self.relay.wait()

    def join(self):
        """A connector of site hq that may dial this machine."""
        self.run("adit", "admin", "site", "add", "hq")
        (self.root / "join").write_text(self.run("adit", "admin", "site", "join-token", "hq"))
        state = self.root / "connector"
        self.run("adit-connector", "join", self.url(), "--token-file", self.root / "join",
                 "--state", state, "--allow", "127.0.0.0/8:*")
        self.connector = self.spawn("connector", self.bins / "adit-connector", "run", "--state", state)

    def application(self, name, kind, port, *more):
        self.run("adit", "admin", "app", "add", name, "--site", "hq", "--kind", kind, "--address",
                 f"127.0.0.1:{port}", *more)
        self.run("adit", "admin", "grant", "add", "--user", "admin", "--application", name)

    def tunnel(self, name):
        port = free_port()
        agent = self.spawn(f"tunnel-{name}", self.bins / "adit", "tunnel", name, "--listen",
                           f"127.0.0.1:{port}")
        wait_for(f"the tunnel to {name}", lambda: listening(port))
        return port, agent

    def run(self, name, *args):
        env = dict(os.environ, ADIT_HOME=str(self.home))
        done = subprocess.run([str(self.bins / name), *map(str, args)], env=env, capture_output=True,
                              text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{name} {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout.strip()

    def api(self):
        return http.client.HTTPSConnection("localhost", self.ports["https"], timeout=20, context=self.tls)

    def call(self, connection, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, "/api/v1/" + path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def users(self):
        """Through the agent, which knows how lists are paged."""
        return {row["name"] for row in json.loads(self.run("adit", "admin", "user", "ls", "--json"))}

    def audit(self):
        lines = self.run("adit", "admin", "audit", "export").splitlines()
        return [json.loads(line) for line in lines]

    def unpaired(self):
        """Sessions whose records are not one opening and one end."""
        count = {}
        for row in self.audit():
            if row["action"] in ("session.opened", "session.ended"):
                pair = count.setdefault(row["session"], [0, 0])
                pair[row["action"] == "session.ended"] += 1
        return [session for session, pair in count.items() if pair != [1, 1]]

    def chain(self):
        """Whether the audit log is whole, in the words of who verifies it."""
        done = subprocess.run([self.bins / "adit", "admin", "audit", "verify"], capture_output=True, text=True,
                              env=dict(os.environ, ADIT_HOME=str(self.home)), timeout=300)
        if done.returncode:
            print(done.stderr, flush=True)
        return "whole" if done.returncode == 0 else "damaged"

    def panics(self):
        return sum(log.read_text(errors="replace").count("panicked") for log in self.root.glob("*.log"))

    def end(self):
        for child in self.started:
            if child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self.root, ignore_errors=True)


class Writers:
    """Threads that add users until they are stopped; `acknowledged` are those the relay took."""

    def __init__(self, world, prefix, count=3):
        self.world, self.prefix, self.stop = world, prefix, threading.Event()
        self.acknowledged, self.refused = [], {}
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def write(self, n):
        connection, number = self.world.api(), 0
        while not self.stop.is_set():
            name = f"{self.prefix}-{n}-{number}"
            number += 1
            try:
                status, body = self.world.call(connection, "POST", "users", {"name": name})
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = self.world.api()
                time.sleep(0.01)
                continue
            if status == 429:
                # One token has a rate; that is not what is being tried here.
                time.sleep(0.1)
            elif status in (200, 201):
                self.acknowledged.append(name)
            else:
                code = json.loads(body or b"{}").get("code", status)
                self.refused[code] = self.refused.get(code, 0) + 1
                time.sleep(0.01)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        return self.acknowledged


def table(title, head, rows):
    print(f"### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def fail(why):
    print(f"FAILED: {why}", file=sys.stderr, flush=True)
    return 1
