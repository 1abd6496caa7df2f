#!/usr/bin/env python3
"""Redis: redis-benchmark through each route, requests/s and latency against direct.

`--with name=args` gives redis-benchmark more for one route; `--with =args` for all. Example:
  redis_door.py --direct 127.0.0.1:6390@PID --via door=127.0.0.1:443@PID,PID
        --with =-a\\ password --with door=--tls\\ --insecure\\ -a\\ TOKEN --pipelines 1 16"""
import csv
import io
import shlex
import subprocess

from common import arguments, mmm, rounds, table

p = arguments(__doc__)
p.add_argument("--with", dest="more", action="append", default=[])
p.add_argument("--pipelines", type=int, nargs="+", default=[1, 16])
p.add_argument("--clients", type=int, default=50)
p.add_argument("--requests", type=int, default=100_000)
p.add_argument("--tests", default="set,get")
o = p.parse_args()

more = {}
for text in o.more:
    name, _, args = text.partition("=")
    more[name] = shlex.split(args)


def benchmark(route, pipeline):
    cmd = ["redis-benchmark", "-h", route.host, "-p", route.port, "-c", str(o.clients), "-n", str(o.requests),
           "-P", str(pipeline), "-t", o.tests, "-r", "10000", "--csv"]
    cmd += more.get(route.name, more.get("", []))
    done = subprocess.run(cmd, capture_output=True, text=True, timeout=600)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if done.returncode or not rows:
        raise RuntimeError((done.stderr or done.stdout).strip()[-300:])
    each = {row["test"]: row for row in rows}
    return {"rate": {test: float(row["rps"]) for test, row in each.items()},
            "p50": {test: float(row["p50_latency_ms"]) for test, row in each.items()},
            "n": o.requests * len(each)}


for pipeline in o.pipelines:
    got = rounds(o, lambda r: benchmark(r, pipeline), f"redis-benchmark -P {pipeline}")
    print(f"### redis-benchmark -P {pipeline} -c {o.clients}: median (min-max)\n")
    lines = []
    for name, g in got.items():
        for test in g[0][0]["rate"]:
            lines.append([f"{name}, {test}", len(g), mmm((v["rate"][test] for v, _ in g), 0),
                          mmm((d["rate"][test] for _, d in g), 0),
                          mmm((v["rate"][test] / d["rate"][test] for v, d in g), 3),
                          mmm((v["p50"][test] for v, _ in g), 3), mmm((d["p50"][test] for _, d in g), 3),
                          mmm((v["tunnel_cpu_s"] * 1e6 / v["n"] for v, _ in g), 1)])
    table(["route", "n", "requests/s", "direct", "ratio", "p50 ms", "direct p50 ms", "CPU us/request"], lines)
