"""kill -9 of the relay while three writers and a tunnel are at work."""
import random
import socket
import threading
import time

from world import Writers, World, fail, free_port, table


def run(opts):
    world = World(opts.bin)
    try:
        return measure(world, opts.kills)
    finally:
        world.end()


def measure(world, kills):
    world.join()
    target = echo()
    world.application("echo", "tcp", target)
    port, _ = world.tunnel("echo")
    acknowledged, slowest = [], 0
    for round_ in range(kills):
        writers, opening = Writers(world, f"k{round_}"), Opening(port)
        time.sleep(random.uniform(0.05, 0.4))
        world.kill()
        acknowledged += writers.end()
        opening.end()
        slowest = max(slowest, world.start())
    held, sessions = world.users(), settled(world)
    chain = world.chain()
    lost = [name for name in acknowledged if name not in held]
    ended = [row for row in world.audit() if row["action"] == "session.ended"]
    abandoned = sum(row["event"]["reason"] == "abandoned" for row in ended)
    table(f"kill -9 × {kills}", ["", ""], [
        ("acknowledged writes", len(acknowledged)), ("of them lost", len(lost)),
        ("sessions recorded, of them abandoned", f"{len(ended)}, {abandoned}"),
        ("openings without exactly one end", len(sessions)), ("audit chain", chain),
        ("slowest start until ready", f"{slowest * 1000:.0f} ms"), ("panics", world.panics())])
    broken = lost or sessions or chain != "whole" or slowest > 2 or world.panics() or len(acknowledged) < kills
    return fail("kill") if broken else 0


def settled(world, seconds=30):
    """Sessions without their records, once those under way have had time to end."""
    end = time.monotonic() + seconds
    while (left := world.unpaired()) and time.monotonic() < end:
        time.sleep(0.5)
    return left


class Opening:
    """Opens connections through the tunnel and keeps up to eight."""

    def __init__(self, port):
        self.port, self.stop, self.kept = port, threading.Event(), []
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.stop.wait(0.02):
            try:
                self.kept.append(socket.create_connection(("127.0.0.1", self.port), 1))
            except OSError:
                continue
            if len(self.kept) > 8:
                self.close()

    def close(self):
        for kept in self.kept:
            kept.close()
        self.kept.clear()

    def end(self):
        self.stop.set()
        self.thread.join()
        self.close()


def echo():
    """An echo service of this process; its port."""
    server = socket.create_server(("127.0.0.1", free_port()), backlog=1024)

    def answer(peer):
        with peer:
            while data := received(peer):
                peer.sendall(data)

    def serve():
        while True:
            peer, _ = server.accept()
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


def received(peer):
    try:
        return peer.recv(65536)
    except OSError:
        return b""
