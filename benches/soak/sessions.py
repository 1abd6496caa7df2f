"""Many idle sessions: what each takes of our memory, and whether a keystroke still comes back."""
import asyncio
import random
import time

import asyncssh
from world import World, fail, free_port, table


def run(opts):
    world = World(opts.bin)
    try:
        return asyncio.run(measure(world, opts))
    finally:
        world.end()


async def measure(world, opts):
    asyncssh.set_log_level("ERROR")
    world.join()
    shells, echoes = await targets()
    key = asyncssh.generate_private_key("ssh-ed25519")
    (world.root / "target-key").write_bytes(key.export_private_key())
    world.application("shell", "ssh", shells, "--account", "nobody", "--key-file", world.root / "target-key")
    world.application("echo", "tcp", echoes)
    port, agent = world.tunnel("echo")
    token = world.run("adit", "admin", "token", "issue", "--user", "admin", "--application", "shell",
                      "--uses", "0", "--expires", "2h")
    watched = {"relay": world.relay, "connector": world.connector, "agent": agent}
    direct = await asyncssh.connect("127.0.0.1", shells, username="nobody", known_hosts=None)
    through = await connect(world, token)
    quiet = (await echo_p99(direct), await echo_p99(through))
    before = {name: resident(one.pid) for name, one in watched.items()}
    shells_open, refused = await many(opts.ssh, 8, lambda: shell(world, token))
    tunnels_open, lost = await many(opts.tcp, 32, lambda: raw(port))
    await asyncio.sleep(5)
    after = {name: resident(one.pid) for name, one in watched.items()}
    busy = (await echo_p99(direct), await echo_p99(through))
    alive = sum(one.is_alive() for one in shells_open)
    count = max(1, len(shells_open) + len(tunnels_open))
    grown = {name: (after[name] - before[name]) / 1024 for name in watched}
    per = sum(grown.values()) / count
    table("Idle sessions", ["", ""], [
        ("SSH sessions, each with a shell", f"{len(shells_open)} of {opts.ssh}, {alive} alive at the end"),
        ("sessions through one tunnel", f"{len(tunnels_open)} of {opts.tcp}"),
        *((f"{name}, MiB before and after", f"{before[name] >> 20}, {after[name] >> 20}") for name in watched),
        ("all three, KiB a session", f"{per:.1f}"),
        ("echo of a key, p99, direct and through the door, before", show(quiet)),
        ("the same with all sessions open", show(busy)), ("panics", world.panics())])
    slow = busy[1] > busy[0] + 0.020
    short = len(shells_open) < opts.ssh or len(tunnels_open) < opts.tcp or alive < len(shells_open)
    return fail("sessions") if short or slow or per > 150 or world.panics() else 0


def show(pair):
    return ", ".join(f"{seconds * 1000:.1f} ms" for seconds in pair)


async def many(count, at_once, make):
    """As many of them, some at a time; those that came to be, and how many did not."""
    made, places = [], asyncio.Semaphore(at_once)
    failed = 0

    async def one():
        nonlocal failed
        async with places:
            try:
                made.append(await asyncio.wait_for(make(), 60))
            except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
                failed += 1
                if failed < 4:
                    print(f"{type(error).__name__}: {error}", flush=True)

    await asyncio.gather(*(one() for _ in range(count)))
    return made, failed


async def connect(world, token):
    # From many addresses, as many users would be.
    source = f"127.0.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
    return await asyncssh.connect(
        "127.0.0.1", world.ports["ssh"], username="nobody", password=token, known_hosts=None,
        client_keys=None, agent_path=None, local_addr=(source, 0), login_timeout=60,
        kex_algs=["curve25519-sha256"], preferred_auth="password")


class Shell:
    def __init__(self, connection, process):
        self.connection, self.process = connection, process

    def is_alive(self):
        return not self.process.is_closing() and self.process.exit_status is None


async def shell(world, token):
    connection = await connect(world, token)
    process = await connection.create_process(term_type="xterm", encoding=None)
    process.stdin.write(b"x")
    assert await process.stdout.readexactly(1) == b"x"
    return Shell(connection, process)


async def raw(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    return reader, writer


async def echo_p99(connection, count=300):
    process = await connection.create_process(term_type="xterm", encoding=None)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        process.stdin.write(b"k")
        await process.stdout.readexactly(1)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    process.close()
    return sorted(times)[int(count * 0.99)]


def resident(pid):
    status = open(f"/proc/{pid}/status").read()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


class AnyKey(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def targets():
    """An SSH server whose shell sends back what it is sent, and the same without SSH."""

    async def send_back(process):
        while data := await process.stdin.read(1024):
            process.stdout.write(data)

    async def send_back_raw(reader, writer):
        try:
            while data := await reader.read(1024):
                writer.write(data)
        except (OSError, asyncio.CancelledError):
            writer.close()

    shells, echoes = free_port(), free_port()
    key = asyncssh.generate_private_key("ssh-ed25519")
    await asyncssh.create_server(AnyKey, "127.0.0.1", shells, server_host_keys=[key], encoding=None,
                                 process_factory=send_back, line_editor=False, backlog=1024,
                                 kex_algs=["curve25519-sha256"])
    await asyncio.start_server(send_back_raw, "127.0.0.1", echoes, backlog=1024)
    return shells, echoes
