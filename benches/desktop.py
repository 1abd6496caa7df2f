#!/usr/bin/env python3
"""A desktop in the browser: frames a second of a terminal that scrolls over the whole of it, with the CPU of
everybody who takes part; or memory of the relay for each desktop that is open.

Needs Chromium, Node and the portal's packages (`node portal/ui/make.mjs`). What scrolls is at the target
already; the desktops are of a managed application, which the relay signs in at. Examples:
  desktop.py frames --link https://…/sign-in#CODE --url https://… --name desk.hq --relay PID --connector PID
             --target PID,PID
  desktop.py memory --link https://…/sign-in#CODE --url https://… --name desk.hq --relay PID --count 4"""
import argparse
import json
import subprocess
import time

from common import HERE, cpu_seconds, memory_kb, table

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("what", choices=["frames", "memory"])
p.add_argument("--link", required=True)
p.add_argument("--url", required=True)
p.add_argument("--name", default="desk.hq")
p.add_argument("--relay", type=int, required=True)
p.add_argument("--connector", type=int)
p.add_argument("--target", help="pids of what paints")
p.add_argument("--count", type=int, default=4, help="desktops for the memory")
p.add_argument("--seconds", type=int, default=20)
o = p.parse_args()

what = dict(link=o.link, url=o.url, name=o.name, count=o.count, seconds=o.seconds if o.what == "frames" else 0)
browser = subprocess.Popen(["node", str(HERE / "desktop.mjs"), json.dumps(what)], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)


def told(key):
    line = browser.stdout.readline()
    if not line:
        raise SystemExit("Chromium has no desktop")
    return json.loads(line)[key]


def go():
    browser.stdin.write("\n")
    browser.stdin.flush()


def frames():
    groups = {"relay": [o.relay], "connector": [o.connector],
              "host and what paints": [int(t) for t in o.target.split(",")], "Chromium": [browser.pid]}
    go()
    told("counting")
    before, began = {name: cpu_seconds(pids) for name, pids in groups.items()}, time.time()
    fps = told("fps")
    took = time.time() - began
    cores = {name: (cpu_seconds(pids) - before[name]) / took for name, pids in groups.items()}
    print(f"### A desktop in the browser: a terminal that scrolls, {o.seconds} seconds\n")
    table(["frames/s", *[f"{name}, cores" for name in cores]], [[f"{fps:.1f}", *[f"{c:.2f}" for c in cores.values()]]])


def memory():
    empty = memory_kb([o.relay])[0]
    go()
    told("open")
    time.sleep(5)
    many = memory_kb([o.relay])[0]
    print(f"### Memory of the relay, MB RSS, and for each of {o.count} desktops in the browser that are painting\n")
    table(["at none", f"at {o.count}", "each, MB"],
          [[f"{empty / 1024:.1f}", f"{many / 1024:.1f}", f"{(many - empty) / 1024 / o.count:.2f}"]])


try:
    told("ready")
    frames() if o.what == "frames" else memory()
    print(flush=True)
finally:
    # Busy pages take their time to close.
    browser.kill()
