#!/usr/bin/env python3
"""Requests and bodies through the web door, beside nginx as a reverse proxy of the same origin.

  web.py --proxy HOST:PORT@PIDS --door HOST:PORT@PIDS --name HOST --key TOKEN --work FOLDER
         [--what requests bodies memory] [--reps 5] [--seconds 5] [--gib 1] [--memory-gib 10]

Both speak TLS to wrk and curl, keep their connections to the origin, and have the same two CPUs. Each
round measures both, one after the other, so that a ratio compares what was measured together."""
import argparse
import re
import statistics
import subprocess
import time
from pathlib import Path

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--proxy", required=True)
options.add_argument("--door", required=True)
options.add_argument("--name", required=True, help="the application's Host")
options.add_argument("--key", required=True)
options.add_argument("--what", nargs="+", default=["requests", "bodies", "memory"])
options.add_argument("--reps", type=int, default=5)
options.add_argument("--seconds", type=int, default=5)
options.add_argument("--gib", type=float, default=1)
options.add_argument("--memory-gib", type=int, default=10)
opts = options.parse_args()

TICKS = 100
UNITS = {"us": 1, "ms": 1000, "s": 1_000_000}


class Way:
    def __init__(self, name, text):
        self.name = name
        self.address, pids = text.split("@")
        self.pids = [int(pid) for pid in pids.split(",")]

    def cpu(self):
        """Seconds of CPU of the way itself, without load and origin."""
        def spent(pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / TICKS
        return sum(spent(pid) for pid in self.pids)

    def resident(self, field):
        """MB of each program: VmRSS now, VmHWM at most since `forget_peak`."""
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids]
        return [int(re.search(rf"{field}:\s+(\d+)", text)[1]) / 1024 for text in texts]

    def forget_peak(self):
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def headers(self):
        return ["-H", f"Host: {opts.name}", "-H", f"X-Adit-Key: {opts.key}"]

    def wrk(self, connections):
        """Requests per second, p50 and p99 in microseconds, CPU microseconds per request."""
        before = self.cpu()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{opts.seconds}", "--latency", *self.headers(),
             f"https://{self.address}/small"], capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in done or "Socket errors" in done:
            raise SystemExit(f"{self.name}: {done}")
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])
        count = int(re.search(r"(\d+) requests in", done)[1])

        def at(share):
            number, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", done).groups()
            return float(number) * UNITS[unit]
        return rate, at(50), at(99), (self.cpu() - before) * 1e6 / count

    def body(self, up, gib, page="large"):
        """Bytes per second of one body, CPU seconds per GiB."""
        size, before = int(gib * 2**30), self.cpu()
        command = ["curl", "-sSfk", "--http1.1", "-o", "/dev/null", *self.headers()]
        if up:
            command += ["-X", "PUT", "-H", "Expect:", "-H", "Transfer-Encoding:", "-H",
                        f"Content-Length: {size}", "-T", "-"]
            command += [f"https://{self.address}/sink"]
            source = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
            began = time.monotonic()
            subprocess.run(command, stdin=source.stdout, check=True)
            source.wait()
        else:
            began = time.monotonic()
            subprocess.run([*command, f"https://{self.address}/{page}"], check=True)
        took = time.monotonic() - began
        return size / took, (self.cpu() - before) / gib


def show(values, form):
    return f"{format(statistics.median(values), form)} ({format(min(values), form)}-{format(max(values), form)})"


def table(title, heads, rows):
    print(f"### {title}: median (min-max)\n")
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def requests(ways, connections):
    rounds = [[way.wrk(connections) for way in ways] for _ in range(opts.reps)]
    rows = []
    for n, way in enumerate(ways):
        rate, p50, p99, cpu = zip(*(each[n] for each in rounds))
        ratio = [each[n][0] / each[0][0] for each in rounds]
        added = [(each[n][2] - each[0][2]) / 1000 for each in rounds]
        rows.append([way.name, str(opts.reps), show(rate, ".0f"), show(ratio, ".2f"), show(p50, ".0f"),
                     show(p99, ".0f"), show(added, ".2f"), show(cpu, ".0f")])
    table(f"Requests for 128 bytes, {connections} connection(s), {opts.seconds} s a sample",
          ["way", "n", "requests/s", "ratio to nginx", "p50 us", "p99 us", "added p99 ms", "CPU us/request"],
          rows)


def bodies(ways, up):
    rounds = [[way.body(up, opts.gib) for way in ways] for _ in range(opts.reps)]
    rows = []
    for n, way in enumerate(ways):
        rate, cpu = zip(*(each[n] for each in rounds))
        ratio = [each[n][0] / each[0][0] for each in rounds]
        rows.append([way.name, str(opts.reps), show([r / 2**20 for r in rate], ".0f"), show(ratio, ".2f"),
                     show(cpu, ".2f")])
    table(f"{'Upload' if up else 'Download'} of {opts.gib:g} GiB", ["way", "n", "MiB/s", "ratio to nginx",
          "CPU s/GiB"], rows)


def memory(door):
    """One body each way, after one of a tenth that warms up."""
    rows = []
    for up in (False, True):
        door.body(up, opts.memory_gib / 10, "tenth")
        door.forget_peak()
        before = door.resident("VmRSS")
        rate, _ = door.body(up, opts.memory_gib, "huge")
        peak, after = door.resident("VmHWM"), door.resident("VmRSS")
        rows += [["up" if up else "down", name, f"{rate / 2**20:.0f}", *(f"{mb:.1f}" for mb in row)]
                 for name, *row in zip(("relay", "connector"), before, peak, after)]
    print(f"### Memory over one body of {opts.memory_gib} GiB each way, MB of RSS\n")
    print("| body | program | MiB/s | before | at most | after |\n|" + " --- |" * 6)
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


nginx, door = Way("nginx", opts.proxy), Way("relay and connector", opts.door)
if "requests" in opts.what:
    requests([nginx, door], 64)
    requests([nginx, door], 1)
if "bodies" in opts.what:
    bodies([nginx, door], False)
    bodies([nginx, door], True)
if "memory" in opts.what:
    memory(door)
