#!/usr/bin/env python3
"""Breaks a relay in the ways machines break, and prints the tables of docs/reliability.md.

  run.py [--parts kill power disk sessions crowd fleet api] [--bin target/release] [--kills 200]
         [--cuts 50] [--ssh 5000] [--tcp 1000] [--strangers 10000] [--connectors 2000] [--new 500] [--examples 1000]
         [--roles admin] [--schemathesis PROGRAM]

Needs root (mounts, strace, limits). `cargo xtask soak` builds what it needs and calls it."""
import argparse
import os
import sys
from pathlib import Path

PARTS = ["kill", "power", "disk", "sessions", "crowd", "fleet", "api"]

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
options.add_argument("--bin", default=str(Path(__file__).resolve().parents[2] / "target/release"))
options.add_argument("--kills", type=int, default=200)
options.add_argument("--cuts", type=int, default=50, help="power cuts of each file system")
options.add_argument("--ssh", type=int, default=5000, help="idle SSH sessions")
options.add_argument("--tcp", type=int, default=1000, help="idle sessions through a tunnel")
options.add_argument("--strangers", type=int, default=10_000, help="silent connections at a door")
options.add_argument("--connectors", type=int, default=2000, help="connectors that come back")
options.add_argument("--new", type=int, default=500, help="of them that come and go each second")
options.add_argument("--examples", type=int, default=1000, help="cases made up for each operation of the API")
options.add_argument("--roles", nargs="+", default=["admin", "auditor", "user"], help="who calls the API")
options.add_argument("--schemathesis", type=Path, help="the program that makes up the calls of the API")
opts = options.parse_args()

memory = next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]
print(f"{os.cpu_count()} processors, {int(memory) / 1048576:.0f} GiB of memory\n", flush=True)
failed = sum(__import__(part).run(opts) for part in opts.parts)
sys.exit(1 if failed else 0)
