"""Bad disk and too little of everything: fsync that fails, no file descriptors, no memory."""
import json
import os
import socket
import subprocess
import time
from pathlib import Path

from kill import echo, settled
from world import Writers, World, fail, table, wait_for


def run(opts):
    rows = [fault(opts, *one) for one in FAULTS]
    table("Faults under load",
          ["fault", "shown by", "live sessions kept", "refused with", "an admin signs in meanwhile",
           "takes work again", "acknowledged, lost", "openings without exactly one end", "panics"],
          [row[1:] for row in rows])
    return sum(not row[0] and fail(row[1]) for row in rows)


def fault(opts, name, begin):
    world = World(opts.bin)
    try:
        world.join()
        world.application("echo", "tcp", echo())
        port, _ = world.tunnel("echo")
        live = [opened(port) for _ in range(20)]
        before = Writers(world, "before")
        time.sleep(1)
        early = before.end()
        shown, stop = begin(world)
        during = Writers(world, "during")
        time.sleep(3)
        kept = sum(echoes(one) for one in live)
        admin = signs_in(world)
        late = during.end()
        stop()
        again = heals(world, port)
        if again == "no":
            world.kill()
            world.start()
        for one in live:
            one.close()
        held, acknowledged = world.users(), early + late
        lost = sum(one not in held for one in acknowledged)
        unpaired, panics = settled(world), world.panics()
        good = not (lost or unpaired or panics) and kept == len(live)
        return (good, name, shown(), f"{kept} of {len(live)}", codes(during.refused), admin, again,
                f"{len(acknowledged)}, {lost}", len(unpaired), panics)
    finally:
        world.end()


def failing_fsync(world):
    """Each fsync and fdatasync of the relay fails with EIO, as of a disk that is dying."""
    trace = world.root / "strace.out"
    strace = world.spawn("strace", "strace", "-f", "-p", world.relay.pid, "-o", trace, "-e",
                         "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")
    time.sleep(1)

    def stop():
        strace.terminate()
        strace.wait()

    return (lambda: f"{trace.read_text().count('(INJECTED)')} calls failed"), stop


def no_descriptors(world):
    """Two more file descriptors than are open, then none."""
    count = len(os.listdir(f"/proc/{world.relay.pid}/fd"))
    limit(world, f"--nofile={count + 2}:20000")
    return (lambda: f"{count + 2} descriptors allowed"), lambda: limit(world, "--nofile=20000:20000")


def little_memory(world):
    """As many sessions as fit into a control group of 40 MiB, until the relay takes no more. What it
    has from before it came into the group does not count there."""
    root = Path("/sys/fs/cgroup")
    two = (root / "cgroup.controllers").exists()
    top, most = (root, "memory.max") if two else (root / "memory", "memory.limit_in_bytes")
    group = top / f"adit-soak-{world.relay.pid}"
    group.mkdir()
    (group / "cgroup.procs").write_text(str(world.relay.pid))
    (group / most).write_text(str(40 << 20))
    port, _ = world.tunnel("echo")
    crowd = []
    while len(crowd) < 8000 and (one := opened_or_none(port)):
        crowd.append(one)

    def stop():
        for one in crowd:
            one.close()
        (top / "cgroup.procs").write_text(str(world.relay.pid))
        group.rmdir()

    refused = "the next was refused" if len(crowd) < 8000 else "none was refused"
    return (lambda: f"{len(crowd)} more sessions in 40 MiB, {refused}"), stop


def opened_or_none(port):
    one = socket.create_connection(("127.0.0.1", port), 10)
    return one if echoes(one) else one.close()


def limit(world, what):
    subprocess.run(["prlimit", f"--pid={world.relay.pid}", what], check=True)


def opened(port):
    one = socket.create_connection(("127.0.0.1", port), 10)
    assert echoes(one)
    return one


def echoes(one):
    try:
        one.settimeout(10)
        one.sendall(b"x")
        return one.recv(1) == b"x"
    except OSError:
        return False


def signs_in(world):
    connection = world.api()
    connection.timeout = 10
    try:
        status, body = world.call(connection, "GET", "sessions")
        return "yes" if status == 200 else json.loads(body).get("code", status)
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def heals(world, port):
    began = time.monotonic()

    def works():
        if world.relay.poll() is not None:
            return False
        try:
            status, _ = world.call(world.api(), "POST", "users", {"name": f"again-{time.monotonic_ns()}"})
            return status in (200, 201) and echoes(socket.create_connection(("127.0.0.1", port), 5))
        except OSError:
            return False

    try:
        wait_for("it takes work again", works, 40)
    except TimeoutError:
        return "no"
    return f"after {time.monotonic() - began:.1f} s"


def codes(refused):
    return ", ".join(f"{code} × {count}" for code, count in refused.items()) or "nothing"


FAULTS = [("fsync fails (EIO)", failing_fsync), ("no file descriptors", no_descriptors),
          ("little memory", little_memory)]
