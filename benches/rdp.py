#!/usr/bin/env python3
"""The RD Gateway door: round trips of a message as long as a key press, and a download, as a desktop's
picture is, through a channel in a WebSocket; with the CPU of what is between, against direct.

The target must be `loadgen serve`. The client is this program for all routes: at the door it also has to
speak TLS and WebSocket, which is in what it measures. Example:
  rdp.py --direct 127.0.0.1:7000@TARGETPID --via "RDP door=127.0.0.1:443@PID,PID" --door "RDP door"
         --token TOKEN --name desk"""
import socket
import ssl
import statistics
import struct
import time

from common import arguments, memory_kb, mmm, rounds, table

p = arguments(__doc__)
p.add_argument("--door", default="RDP door", help="the route that is the door")
p.add_argument("--token", required=True)
p.add_argument("--name", default="desk")
p.add_argument("--count", type=int, default=5_000)
p.add_argument("--size", type=int, default=64, help="bytes of one message")
p.add_argument("--held", type=int, default=100, help="channels for the memory")
p.add_argument("--mb", type=int, default=500)
o = p.parse_args()


class Plain:
    """Bytes as they are."""

    def __init__(self, route):
        self.socket = socket.create_connection((route.host, int(route.port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("it was closed")
        return len(data)

    def close(self):
        self.socket.close()


class Channel(Plain):
    """Bytes in the packets of a gateway, in the frames of a WebSocket, in TLS."""

    def __init__(self, route):
        super().__init__(route)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.sendall(b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: localhost\r\n"
                            b"RDG-Connection-Id: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        self.have = b""
        while b"\r\n\r\n" not in self.have:
            self.have += self.socket.recv(4096)
        head, _, self.have = self.have.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(head.decode())
        text = lambda t: struct.pack("<H", 2 * len(t)) + t.encode("utf-16le")
        for kind, body in ((1, b"\1\0\0\0\2\0"), (4, struct.pack("<IHH", 0, 1, 0) + text(o.token)),
                           (6, b"\0\0" + text("bench")),
                           (8, struct.pack("<BBHH", 1, 0, 3389, 3) + text(o.name))):
            self.packet(kind, body)
            while not (payload := self.frame()):
                pass
            if payload[0] != kind + 1 or b"\x59\x07\x80" in payload:
                raise RuntimeError(f"packet {kind} was answered {payload.hex()}")

    def packet(self, kind, body):
        packet = struct.pack("<HHI", kind, 0, len(body) + 8) + body
        head = bytes([0x82, 0x80 | len(packet)]) if len(packet) < 126 else struct.pack(">BBH", 0x82, 0xfe, len(packet))
        # A mask of zeros is one.
        self.socket.sendall(head + bytes(4) + packet)

    def send(self, data):
        self.packet(10, struct.pack("<H", len(data)) + data)

    def frame(self):
        """The payload of the next frame, if that is there as a whole after one read at most."""
        for read in (True, False):
            if len(self.have) >= 4:
                short = self.have[1] < 126
                length, start = (self.have[1], 2) if short else (struct.unpack(">H", self.have[2:4])[0], 4)
                if len(self.have) >= start + length:
                    payload, self.have = self.have[start:start + length], self.have[start + length:]
                    return payload
            if read:
                data = self.socket.recv(1 << 18)
                if not data:
                    raise RuntimeError("it was closed")
                self.have += data
        return b""

    def receive(self):
        while not (payload := self.frame()):
            pass
        return len(payload) - 10 if payload[0] == 10 else 0


def opened(route):
    return Channel(route) if route.name == o.door else Plain(route)


def ping(route):
    line, took = opened(route), []
    line.send(b"E")
    for _ in range(o.count + 200):
        began, left = time.perf_counter(), o.size
        line.send(b"x" * o.size)
        while left:
            left -= line.receive()
        took.append((time.perf_counter() - began) * 1e6)
    line.close()
    took = took[200:]
    return {"p50": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98], "n": len(took)}


def download(route):
    line, left = opened(route), o.mb * 1_000_000
    began = time.perf_counter()
    line.send(b"D" + struct.pack("<Q", left))
    while left > 0:
        left -= line.receive()
    line.close()
    return {"rate": o.mb / (time.perf_counter() - began)}


def held(route):
    """Memory of what is between for each of some channels that have carried a megabyte, in KB."""
    before, lines = memory_kb(route.pids)[0], []
    for _ in range(o.held):
        line, left = opened(route), 1_000_000
        line.send(b"D" + struct.pack("<Q", left))
        while left > 0:
            left -= line.receive()
        lines.append(line)
    time.sleep(2)
    each = (memory_kb(route.pids)[0] - before) / o.held
    for line in lines:
        line.close()
    return each


# Freshly, as an allocator keeps what a load took.
print(f"### Memory of all programs between for each of {o.held} open channels\n")
table(["route", "KB"], [[route.name, f"{held(route):.0f}"] for route in o.via])
print()
got = rounds(o, ping, "a key press")
print(f"### Echo of {o.size} bytes through a channel, {o.count} round trips a sample, microseconds: median (min-max)\n")
table(["route", "n", "p50", "p99", "added p50", "CPU us/ping"],
      [[name, len(g), mmm((v["p50"] for v, _ in g), 1), mmm((v["p99"] for v, _ in g), 1),
        mmm((v["p50"] - d["p50"] for v, d in g), 1),
        mmm((v["tunnel_cpu_s"] * 1e6 / v["n"] for v, _ in g), 1)] for name, g in got.items()])
got = rounds(o, download, "a picture")
print(f"### {o.mb} MB from a target through a channel: median (min-max)\n")
table(["route", "n", "MB/s", "direct MB/s", "tunnel CPU s/GB"],
      [[name, len(g), mmm((v["rate"] for v, _ in g), 0), mmm((d["rate"] for _, d in g), 0),
        mmm((v["tunnel_cpu_s"] / (o.mb / 1000) for v, _ in g), 2)] for name, g in got.items()])
