#!/usr/bin/env python3
"""Memory of relay and connector at the doors of databases: while a result, and what is copied in, of
--gib go through, and for --idle sessions of PostgreSQL that wait. Example:
  db_memory.py --pg 127.0.0.1:443 --mysql 127.0.0.1:3306 --pids PID,PID --gib 1 --idle 1000
The tokens stand in PG_TOKEN and MYSQL_TOKEN. `copied` is a table (text) in PostgreSQL and one with a
text in MySQL, whose LOAD DATA LOCAL has to be allowed."""
import argparse
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

from common import memory_kb, table

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--pg", default="")
p.add_argument("--mysql", default="")
p.add_argument("--pids", required=True)
p.add_argument("--gib", type=float, default=1.0)
p.add_argument("--idle", type=int, default=1000)
o = p.parse_args()
pids = [int(pid) for pid in o.pids.split(",")]
LINE = b"x" * 999 + b"\n"
LINES = int(o.gib * 2**30) // len(LINE)


def mib():
    return memory_kb(pids)[0] / 1024


class Peak:
    """The most memory while something goes on."""

    def __enter__(self):
        self.most, self.over = mib(), threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.over.wait(0.1):
            self.most = max(self.most, mib())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def bulk(name, command, env, send):
    before, began = mib(), time.time()
    with Peak() as peak:
        child = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if send:
            piece = LINE * 1000
            for _ in range(LINES // 1000):
                child.stdin.write(piece)
        child.stdin.close()
        got = 0
        while piece := child.stdout.read(1 << 20):
            got += len(piece)
        if child.wait():
            raise RuntimeError(f"{name} failed")
    took = time.time() - began
    return [name, f"{o.gib:g}", f"{took:.1f}", f"{before:.1f}", f"{peak.most:.1f}", f"{peak.most - before:.1f}"]


def session(address, token):
    """A session of PostgreSQL that has logged in and asks nothing."""
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)))
    plain.sendall(struct.pack("!ii", 8, 80877103))
    assert plain.recv(1) == b"S"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = context.wrap_socket(plain)
    said = b"user\0bench\0database\0postgres\0\0"
    line.sendall(struct.pack("!ii", 8 + len(said), 196608) + said)
    line.recv(65536)
    line.sendall(b"p" + struct.pack("!i", 5 + len(token)) + token.encode() + b"\0")
    got = b""
    while not got.endswith(b"Z\0\0\0\5I"):
        piece = line.recv(65536)
        if not piece:
            raise RuntimeError(f"no session: {got[-300:]}")
        got += piece
    return line


rows = []
if o.pg:
    host, port = o.pg.rsplit(":", 1)
    env = dict(os.environ, PGSSLMODE="require", PGPASSWORD=os.environ["PG_TOKEN"], PGUSER="bench",
               PGDATABASE="postgres", PGHOST=host, PGPORT=port)
    select = f"copy (select repeat('x', 999) from generate_series(1, {LINES})) to stdout"
    rows.append(bulk("PostgreSQL, COPY out", ["psql", "-X", "-q", "-c", select], env, False))
    rows.append(bulk("PostgreSQL, COPY in", ["psql", "-X", "-q", "-c", "copy copied from stdin"], env, True))
if o.mysql:
    host, port = o.mysql.rsplit(":", 1)
    env = dict(os.environ, MYSQL_PWD=os.environ["MYSQL_TOKEN"])
    client = ["mariadb", "--no-defaults", "-h", host, f"--port={port}", "-ubench", "--ssl", "--quick", "-N", "-B",
              "--local-infile=1", "bench", "-e"]
    select = f"select repeat('x', 999) from seq_1_to_{LINES}"
    rows.append(bulk("MySQL, result", client + [select], env, False))
    load = "load data local infile '/dev/stdin' into table copied"
    rows.append(bulk("MySQL, LOAD DATA LOCAL", client + [load], env, True))
print("### Memory of relay and connector while much goes through\n")
table(["what", "GiB", "s", "MiB before", "MiB at most", "MiB more"], rows)
if o.pg and o.idle:
    before = mib()
    lines = [session(o.pg, os.environ["PG_TOKEN"]) for _ in range(o.idle)]
    time.sleep(5)
    after = mib()
    print("\n### Idle sessions of PostgreSQL\n")
    table(["sessions", "MiB before", "MiB", "KiB per session"],
          [[len(lines), f"{before:.1f}", f"{after:.1f}", f"{(after - before) * 1024 / len(lines):.1f}"]])
