"""Many connectors, each with a connection of its own, and a relay that is killed and started again:
how long until all are back, and what that costs the relay."""
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from world import World, fail, table


def run(opts):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    world = World(opts.bin, more="\n[limits]\napi_calls = 100000\n", metrics=True)
    try:
        world.run("adit", "admin", "site", "add", "hq")
        return measure(world, opts)
    finally:
        world.end()


def measure(world, opts):
    # In memory: two thousand machines do not share one disk for what they remember.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        fleet = Fleet(world, opts, folder)
        try:
            first = fleet.until_all(0)
            say(f"all are connected after {first:.1f} s; a minute of quiet, and the relay is killed")
            time.sleep(30)
            quiet = cost(world, 15)
            before = resident(world)
            world.kill()
            time.sleep(2)
            world.start()
            began = time.monotonic()
            spent = cpu(world)
            back = fleet.until_all(began)
            spent = cpu(world) - spent
            after = cost(world, 15)
        finally:
            fleet.end()
    rows = [("connectors", opts.connectors),
            ("all joined by one and connected, from the first start", f"{first:.1f} s"),
            ("all back after the relay was killed, from its being ready", f"{back:.1f} s"),
            ("half of them back after", f"{fleet.half - began:.1f} s"),
            ("CPU of the relay until then", f"{spent:.1f} s, {spent / opts.connectors * 1000:.1f} ms each"),
            ("CPU of the relay in 15 quiet seconds, before and after", f"{quiet:.2f} s, {after:.2f} s"),
            ("relay, MiB", f"{before:.0f}"), ("panics", world.panics())]
    table("Connectors that come back", ["", ""], rows)
    return 0 if back <= 15 and not world.panics() else fail("fleet")


class Fleet:
    """All connectors, in one process, and how many of them the relay lists as connected."""

    def __init__(self, world, opts, folder):
        self.world, self.count, self.half = world, opts.connectors, 0
        line, began = world.api(), time.monotonic()
        tokens = []
        for _ in range(self.count):
            status, answer = world.call(line, "POST", "sites/hq/join-tokens", {"expires": "1h"})
            if status not in (200, 201):
                raise RuntimeError(f"no join token: {status} {answer[:200]}")
            tokens.append(json.loads(answer)["token"])
        say(f"{self.count} join tokens after {time.monotonic() - began:.1f} s")
        program = Path(opts.bin) / "examples" / "fleet"
        command = [program, world.url(), str(self.count), folder]
        # A buffer of some MiB for each socket, of which little is used: whole maps stay empty, where what
        # malloc has used before would be cleared and kept.
        env = dict(os.environ, MALLOC_MMAP_THRESHOLD_="131072")
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=open(world.root / "fleet.log", "w"))
        self.process.stdin.write("\n".join(tokens) + "\n")
        self.process.stdin.close()
        joined = self.process.stdout.readline()
        if joined.strip() != "joined":
            raise RuntimeError("the connectors did not join: " + (world.root / "fleet.log").read_text()[-500:])
        self.joined, self.connected = time.monotonic(), 0
        say(f"all have joined after {self.joined - began:.1f} s")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.connected = int(line)

    def until_all(self, began):
        """Seconds from `began`, or from when all had joined, until all are connected."""
        began, self.half = began or self.joined, 0
        while time.monotonic() - began < 180:
            count = self.listed()
            if not self.half and count >= self.count / 2:
                self.half = time.monotonic()
            if count >= self.count:
                return time.monotonic() - began
            time.sleep(0.1)
        raise TimeoutError(f"{self.listed()} of {self.count} are connected")

    def listed(self):
        """As the relay counts them, on its port for metrics."""
        address = f"http://127.0.0.1:{self.world.ports['admin']}/metrics"
        with urllib.request.urlopen(address, timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        up = [line for line in lines if line.startswith("adit_connectors_up{")]
        return sum(int(float(line.split()[-1])) for line in up)

    def end(self):
        self.process.kill()
        self.process.wait()


def say(text):
    """How far it is, to whoever waits for the table."""
    print(text, file=sys.stderr, flush=True)


def cpu(world):
    fields = Path(f"/proc/{world.relay.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(world, seconds):
    before = cpu(world)
    time.sleep(seconds)
    return cpu(world) - before


def resident(world):
    status = Path(f"/proc/{world.relay.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
