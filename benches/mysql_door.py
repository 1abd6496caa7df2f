#!/usr/bin/env python3
"""MySQL: mysqlslap through each route, one row by its key per query; queries/s against direct.

`--with name=args` gives mysqlslap more for one route; `--with =args` for all. Fill a table `numbers` of
the database first: id from 1 to --rows, and a word. Example:
  mysql_door.py --direct 127.0.0.1:3307@PID --via door=127.0.0.1:3306@PID,PID
        --with =-ubench\\ -ppassword --with door=-ux\\ -pTOKEN\\ --ssl --clients 1 8 64"""
import random
import shlex
import subprocess
import tempfile

from common import arguments, mmm, rounds, table

p = arguments(__doc__)
p.add_argument("--with", dest="more", action="append", default=[])
p.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
p.add_argument("--queries", type=int, default=20_000, help="for one client; twice that for more")
p.add_argument("--rows", type=int, default=100_000)
p.add_argument("--database", default="bench")
o = p.parse_args()

more = {}
for text in o.more:
    name, _, args = text.partition("=")
    more[name] = shlex.split(args)
rng = random.Random(7)
script = tempfile.NamedTemporaryFile("w", suffix=".sql")
script.write(";".join(f"select word from numbers where id = {rng.randint(1, o.rows)}" for _ in range(1000)))
script.flush()


def slap(route, clients):
    queries = o.queries * (1 if clients == 1 else 2)
    cmd = ["mysqlslap", "--no-defaults", "--protocol=tcp", "-h", route.host, f"--port={route.port}", "--silent",
           f"--create-schema={o.database}", "--no-drop", f"--query={script.name}", "--delimiter=;",
           f"--concurrency={clients}", f"--number-of-queries={queries}", "--csv"]
    cmd += more.get(route.name, more.get("", []))
    done = subprocess.run(cmd, capture_output=True, text=True, timeout=600)
    row = done.stdout.strip().split("\n")[-1].split(",")
    if done.returncode or len(row) < 5:
        raise RuntimeError((done.stderr or done.stdout).strip()[-300:])
    return {"rate": queries / float(row[2]), "ms": float(row[2]) * clients * 1000 / queries, "n": queries}


for clients in o.clients:
    got = rounds(o, lambda r: slap(r, clients), f"mysqlslap {clients}")
    print(f"### mysqlslap, {clients} client(s): median (min-max)\n")
    table(["route", "n", "queries/s", "direct queries/s", "ratio", "ms per query", "direct ms", "CPU us/query"],
          [[name, len(g), mmm((v["rate"] for v, _ in g), 0), mmm((d["rate"] for _, d in g), 0),
            mmm((v["rate"] / d["rate"] for v, d in g), 3), mmm((v["ms"] for v, _ in g), 3),
            mmm((d["ms"] for _, d in g), 3),
            mmm((v["tunnel_cpu_s"] * 1e6 / v["n"] for v, _ in g), 1)] for name, g in got.items()])
