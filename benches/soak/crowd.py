"""Strangers at the doors: silent connections, and new ones all the time, from 200 addresses; whoever
comes from another address with a token must hardly notice."""
import http.server
import os
import resource
import socket
import subprocess
import threading
import time

from world import World, fail, free_port, table


def run(opts):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    world = World(opts.bin)
    try:
        world.join()
        origin = serve()
        world.application("page", "web", origin, "--allow-api")
        return measure(world, opts)
    finally:
        world.end()


def measure(world, opts):
    token = world.run("adit", "admin", "token", "issue", "--user", "admin", "--application", "page", "--kind", "api")
    ways = {"443": (world.ports["https"], lambda: page(world, token)),
            "ssh": (world.ports["ssh"], lambda: banner(world.ports["ssh"]))}
    rows, good = [], True
    for door, (port, honest) in ways.items():
        quiet = sorted(honest() for _ in range(20))
        crowd = Crowd(port, opts.strangers, opts.new)
        crowd.wait()
        busy = sorted(honest() for _ in range(100))
        held = crowd.end()
        answered = sum(seconds < 20 for seconds in busy)
        good &= answered == 100 and busy[98] <= 1
        rows.append((door, held, opts.new, show(quiet[-1]), show(busy[50]), show(busy[98]), f"{answered} of 100"))
    table("Strangers at a door", ["door", "silent connections", "new ones a second", "slowest of 20 before",
                                  "median of 100", "99 % of 100", "answered"], rows)
    return 0 if good and not world.panics() else fail("crowd")


class Crowd:
    """Connections that say nothing. Those the relay closes are opened anew."""

    def __init__(self, port, count, new):
        self.port, self.count, self.new = port, count, new
        self.held, self.over, self.full = [], threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.come)
        self.thread.start()

    def come(self):
        for number in range(self.count):
            self.one(number)
        self.full.set()
        due, number = time.monotonic(), 0
        while not self.over.is_set():
            gone, self.held = self.held[:self.new // 10], self.held[self.new // 10:]
            for stranger in gone:
                stranger.close()
            for _ in range(self.new // 10):
                self.one(number)
                number += 1
            due += 0.1
            time.sleep(max(0, due - time.monotonic()))

    def one(self, number):
        stranger = socket.socket()
        stranger.settimeout(3)
        try:
            stranger.bind((f"127.0.1.{number % 200 + 1}", 0))
            stranger.connect(("127.0.0.1", self.port))
            self.held.append(stranger)
        except OSError:
            stranger.close()

    def wait(self):
        self.full.wait()
        time.sleep(2)

    def end(self):
        held = len(self.held)
        self.over.set()
        self.thread.join()
        for stranger in self.held:
            stranger.close()
        return held


def page(world, token):
    """How long a request of somebody with a token takes; 20 seconds: it failed."""
    began = time.monotonic()
    done = subprocess.run(["curl", "-sk", "--interface", "127.0.0.7", "-o", os.devnull,
                           "-w", "%{http_code}", "--max-time", "20", "--connect-to", f"::127.0.0.1:{world.ports['https']}",
                           "-H", f"X-Adit-Key: {token}", f"https://page-hq.localhost:{world.ports['https']}/"],
                          capture_output=True, text=True)
    return time.monotonic() - began if done.stdout == "200" else 20


def banner(port):
    """How long it takes until the SSH door has said who it is."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), 20, ("127.0.0.7", 0)) as client:
            client.sendall(b"SSH-2.0-honest\r\n")
            said = client.recv(100).startswith(b"SSH-2.0")
        return time.monotonic() - began if said else 20
    except OSError:
        return 20


def serve():
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            pass

    port = free_port()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return port


def show(seconds):
    return f"{seconds * 1000:.0f} ms"
