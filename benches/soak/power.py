"""Power cuts: the file system under the relay's data is shut down without writing what it holds, as
a machine without power would leave it. A loop-mounted image; the kernel's own shutdown call, which
ext4 and xfs have for their tests."""
import fcntl
import os
import random
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from world import Writers, World, fail, table

# XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32), with "do not flush the log".
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


def run(opts):
    rows = [cut_often(kind, opts) for kind in ("ext4", "xfs")]
    table(f"power cut × {opts.cuts}",
          ["file system", "files written without fsync, lost", "acknowledged writes", "of them lost", "openings without exactly one end",
           "audit chain", "starts that failed", "slowest start until ready", "panics"], rows)
    return fail("power") if any(row[3] or row[4] or row[5] != "whole" or row[6] or row[8] or row[1] == 0 for row in rows) else 0


def cut_often(kind, opts):
    disk = Disk(kind)
    world = World(opts.bin, disk.mount / "relay")
    acknowledged, failed, slowest, forgotten = [], 0, 0, 0
    try:
        for round_ in range(opts.cuts):
            writers = Writers(world, f"p{round_}")
            time.sleep(random.uniform(0.1, 0.5))
            # Shows that the cut is one: nobody promised that these would be kept.
            control = disk.mount / f"control-{round_}"
            control.write_bytes(b"x" * 4096)
            disk.cut()
            time.sleep(0.05)
            world.kill()
            acknowledged += writers.end()
            disk.again()
            forgotten += not control.exists() or control.read_bytes() != b"x" * 4096
            try:
                slowest = max(slowest, world.start())
            except (RuntimeError, TimeoutError) as error:
                failed += 1
                print(error, flush=True)
        held = world.users()
        lost = sum(name not in held for name in acknowledged)
        return (kind, forgotten, len(acknowledged), lost, len(world.unpaired()), world.chain(), failed,
                f"{slowest * 1000:.0f} ms", world.panics())
    finally:
        world.end()
        disk.end()


class Disk:
    """An image of 512 MiB, mounted."""

    def __init__(self, kind):
        self.kind, self.folder = kind, Path(tempfile.mkdtemp(prefix="adit-disk-"))
        self.image, self.mount = self.folder / "image", self.folder / "mount"
        self.mount.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(512 << 20)
        quiet = ["-q", "-f"] if kind == "xfs" else ["-q", "-F"]
        command(f"mkfs.{kind}", *quiet, self.image)
        self.again(first=True)

    def cut(self):
        place = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(place)

    def again(self, first=False):
        if not first:
            command("umount", self.mount)
        command("mount", "-o", "loop", self.image, self.mount)

    def end(self):
        subprocess.run(["umount", "-l", self.mount], check=False)
        self.image.unlink()
        self.mount.rmdir()
        self.folder.rmdir()


def command(*words):
    subprocess.run([str(word) for word in words], check=True, timeout=60)
