#!/usr/bin/env python3
"""Desktops with a native client where the relay signs in: memory of the relay for each that is open, and its
CPU while they paint. The clients are FreeRDP's, through the RD Gateway, on an X server of their own.

What scrolls is at the target already. Example:
  native.py --adit target/release/adit --gateway 127.0.0.1:443 --name screen --relay PID --connector PID --count 4"""
import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from common import cpu_seconds, memory_kb, table

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--adit", required=True, help="`adit`, which is signed in (ADIT_HOME)")
p.add_argument("--gateway", required=True, help="the relay's HTTPS port")
p.add_argument("--name", action="append", required=True, help="application, or title=application")
p.add_argument("--relay", type=int, required=True)
p.add_argument("--connector", type=int, required=True)
p.add_argument("--count", type=int, default=4)
p.add_argument("--seconds", type=int, default=10)
o = p.parse_args()

home = Path(tempfile.mkdtemp(prefix="adit-native-"))
number = next(n for n in range(200, 400) if not Path(f"/tmp/.X{n}-lock").exists())
screen = subprocess.Popen(["Xvfb", f":{number}", "-screen", "0", "1280x752x24", "-nolisten", "tcp"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not Path(f"/tmp/.X11-unix/X{number}").exists():
    time.sleep(0.05)
env = dict(os.environ, DISPLAY=f":{number}", HOME=str(home))


def opened():
    return sum(1 for client in clients if client.poll() is None)


def measure(application):
    empty = memory_kb([o.relay])[0]
    for n in range(o.count):
        with open(home / f"client-{n}.log", "w") as log:
            clients.append(subprocess.Popen(
                [o.adit, "rdp", application, "--", f"/g:{o.gateway}", "/size:1280x752", "/bpp:32", "/network:lan"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        time.sleep(2)
    before, began = cpu_seconds([o.relay, o.connector]), time.time()
    time.sleep(o.seconds)
    cores = (cpu_seconds([o.relay, o.connector]) - before) / (time.time() - began)
    if opened() < o.count:
        ends = [client.poll() for client in clients]
        raise SystemExit(f"clients ended with {ends}:\n" + "".join(log.read_text()[-1000:] for log in home.glob("*.log")))
    many = memory_kb([o.relay])[0]
    for client in clients:
        client.terminate()
        client.wait(10)
    clients.clear()
    return [f"{empty / 1024:.1f}", f"{many / 1024:.1f}", f"{(many - empty) / 1024 / o.count:.2f}", f"{cores / o.count:.3f}"]


clients = []
try:
    rows = []
    for name in o.name:
        title, _, application = name.rpartition("=")
        rows.append([title or application, *measure(application)])
        time.sleep(3)
    print(f"### A native client where the relay signs in, a terminal that scrolls: memory of the relay, MB RSS, {o.count} desktops\n")
    table(["", "at none", f"at {o.count}", "each, MB", "relay and connector, cores each"], rows)
    print()
finally:
    for client in clients:
        client.kill()
    screen.terminate()
    screen.wait(10)
    shutil.rmtree(home, ignore_errors=True)
