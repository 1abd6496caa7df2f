#!/usr/bin/env python3
"""Measures Adit beside a direct connection in the same run and prints the tables of
docs/performance.md.

Starts a relay, a connector and an agent's tunnel from target/release on free ports, with the target
of `loadgen`, a throw-away sshd and (where Debian's PostgreSQL, MariaDB and Redis are installed) throw-away
databases.
Needs root for pinning and for the SSH part. `cargo xtask bench` builds what it needs and calls it.

  run.py [--parts bulk latency connect memory ssh pg mysql redis db-memory rdp desktop web web-memory small] [--reps 5] [--pin 1] [--gb 2]"""
import argparse
import functools
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import threads

HERE = Path(__file__).resolve().parent
PARTS = ["bulk", "latency", "connect", "memory", "ssh", "pg", "mysql", "redis", "db-memory", "rdp", "desktop", "web", "web-memory", "small"]

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
options.add_argument("--bin", default=str(HERE.parent / "target/release"))
options.add_argument("--reps", type=int, default=5)
options.add_argument("--gb", type=float, default=2.0)
options.add_argument("--quiet-limit", type=float, default=10,
                     help="longest wait for a quiet machine before a sample, in seconds; 0: take it as it comes")
options.add_argument("--pin", default="1", help="CPU for everything that takes part; empty: all CPUs")
options.add_argument("--memory-gib", type=int, default=10, help="of one body each way, for web-memory")
options.add_argument("--memory-steps", type=int, nargs="+", default=[1000, 3000])
opts = options.parse_args()

started = []
root = Path(tempfile.mkdtemp(prefix="adit-bench-"))
root.chmod(0o755)


def start(name, *command, env=None, **more):
    log = open(root / f"{name}.log", "ab")
    child = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, env=env, **more)
    started.append(child)
    return child


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, ready, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        if ready():
            return
        time.sleep(0.05)
    for log in root.glob("*.log"):
        print(f"--- {log.name}\n{log.read_text()[-2000:]}", file=sys.stderr)
    sys.exit(f"{what} did not come up")


def answers(port):
    def ask():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    return ask


def unpin(*pids):
    for task in [task for pid in pids for task in threads(pid)]:
        os.sched_setaffinity(task, range(os.cpu_count()))


class Deployment:
    """A relay, one connector and the admin's agent, as their users would set them up."""

    def __init__(self):
        self.https, self.quic, self.ssh = free_port(), free_port(), free_port()
        self.mysql, self.postgres = free_port(), free_port()
        data, self.home, self.site = root / "relay", root / "home", root / "connector"
        setup = self.run("adit-relay", "init", "--data", data, "--domain", "adit.localhost",
                         "--https", f"127.0.0.1:{self.https}", "--quic", f"127.0.0.1:{self.quic}",
                         "--ssh", f"127.0.0.1:{self.ssh}")
        config = data / "relay.toml"
        config.write_text(config.read_text().replace(
            "[listen]", f'[listen]\nmysql = "127.0.0.1:{self.mysql}"\n'
            f'postgres = "127.0.0.1:{self.postgres}"\npostgres_tls = "optional"', 1))
        self.relay = start("relay", self.bin("adit-relay"), "serve", "--config", data / "relay.toml")
        wait_for("the relay", answers(self.https))
        (root / "setup").write_text(setup)
        self.adit("login", f"https://127.0.0.1:{self.https}", "--token-file", root / "setup")
        self.adit("admin", "site", "add", "hq")
        (root / "join").write_text(self.adit("admin", "site", "join-token", "hq"))
        self.run("adit-connector", "join", f"https://127.0.0.1:{self.https}", "--token-file",
                 root / "join", "--state", self.site, "--allow", "127.0.0.0/8:*")
        self.connector = start("connector", self.bin("adit-connector"), "run", "--state", self.site)

    def start_connector_again(self):
        """How long it takes from its start until it is connected, in seconds."""
        self.connector.terminate()
        self.connector.wait(30)
        status = self.site / "status.json"
        status.unlink()
        began = time.time()
        self.connector = start("connector", self.bin("adit-connector"), "run", "--state", self.site)

        def connected():
            try:
                return json.loads(status.read_text())["state"] == "connected"
            except (OSError, ValueError):
                return False
        while not connected():
            if time.time() - began > 30:
                sys.exit("the connector did not come back")
            time.sleep(0.002)
        return time.time() - began

    def bin(self, name):
        return Path(opts.bin) / name

    def run(self, name, *args):
        env = dict(os.environ, ADIT_HOME=str(self.home))
        done = subprocess.run([str(self.bin(name)), *map(str, args)], env=env, capture_output=True,
                              text=True, timeout=60)
        if done.returncode:
            sys.exit(f"{name} {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout.strip()

    def adit(self, *args):
        return self.run("adit", *args)

    def application(self, name, kind, port, *more):
        self.adit("admin", "app", "add", name, "--site", "hq", "--kind", kind, "--address",
                  f"127.0.0.1:{port}", "--allow-api", *more)
        self.adit("admin", "grant", "add", "--user", "admin", "--application", name, "--forwarding")

    def tunnel(self, name):
        port = free_port()
        env = dict(os.environ, ADIT_HOME=str(self.home))
        agent = start(f"tunnel-{name}", self.bin("adit"), "tunnel", name, "--listen",
                      f"127.0.0.1:{port}", env=env)
        wait_for(f"the tunnel to {name}", answers(port))
        return port, agent

    def pids(self, *more):
        return ",".join(str(p.pid) for p in (self.relay, self.connector, *more))


def bench(script, *args):
    env = dict(os.environ, LOADGEN=str(HERE / "loadgen/target/release/loadgen"))
    quiet = ["--quiet-limit", opts.quiet_limit] if opts.quiet_limit else ["--quiet", 0, "--tries", 1]
    common = ["--reps", opts.reps, *quiet] + (["--pin", opts.pin] if opts.pin else [])
    subprocess.run([sys.executable, HERE / script, *map(str, common + list(args))], env=env, check=False)


def loopback(deployment):
    port = free_port()
    target = start("target", HERE / "loadgen/target/release/loadgen", "serve", "--listen", f"127.0.0.1:{port}")
    wait_for("the target", answers(port))
    deployment.application("echo", "tcp", port)
    local, agent = deployment.tunnel("echo")
    ways = ["--direct", f"127.0.0.1:{port}@{target.pid}",
            "--via", f"adit tunnel=127.0.0.1:{local}@{deployment.pids(agent)}"]
    if "memory" in opts.parts:
        bench("memory.py", *ways, "--steps", *opts.memory_steps)
    if "latency" in opts.parts:
        bench("latency.py", *ways)
    if "connect" in opts.parts:
        bench("connect.py", *ways)
    if "bulk" in opts.parts:
        bench("bulk.py", *ways, "--gb", opts.gb)


@functools.cache
def throw_away_sshd():
    """Its folder with the keys `user` and `host`, its port, and the process."""
    home, port = root / "sshd", free_port()
    home.mkdir()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / key], check=True)
    shutil.copy(home / "user.pub", home / "authorized")
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {home}/authorized\nStrictModes no\nPermitRootLogin yes\nMaxStartups 200\n"
        "Subsystem sftp internal-sftp\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = start("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", home / "config")
    wait_for("sshd", answers(port))
    return home, port, sshd


def ssh(deployment):
    home, port, sshd = throw_away_sshd()
    user = pwd.getpwuid(os.getuid()).pw_name
    deployment.application("web1", "ssh", port, "--account", user, "--key-file", home / "user")
    token = deployment.adit("admin", "token", "issue", "--user", "admin", "--application", "web1",
                            "--kind", "access", "--uses", "100000")
    askpass = home / "askpass"
    askpass.write_text(f"#!/bin/sh\necho {token}\n")
    askpass.chmod(0o700)
    os.environ.update(SSH_ASKPASS=str(askpass), SSH_ASKPASS_REQUIRE="force")
    (home / "ssh_config").write_text(f"""
Host *
  HostName 127.0.0.1
  User {user}
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  LogLevel ERROR
Host direct
  Port {port}
  IdentityFile {home}/user
Host jump
  Port {port}
  IdentityFile {home}/user
  ProxyJump direct
Host door
  Port {deployment.ssh}
  PubkeyAuthentication no
""")
    bench("ssh.py", "--config", home / "ssh_config", "--direct", f"x=direct@{sshd.pid}",
          "--via", f"ssh door=door@{deployment.pids()}", "--via", f"ssh -J=jump@{sshd.pid}", "--gb", 1)


def ssh_forward(port):
    """`ssh -L` to this port: where it listens, and what takes part."""
    home, ssh_port, sshd = throw_away_sshd()
    local = free_port()
    client = start("ssh-forward", "ssh", "-N", "-F", "none", "-i", home / "user", "-p", ssh_port,
                   "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                   "-L", f"127.0.0.1:{local}:127.0.0.1:{port}", "127.0.0.1")
    wait_for("ssh -L", answers(local))
    return local, f"{client.pid},{sshd.pid}"


def rathole(port):
    """rathole over TLS to this port, where it is installed (`cargo install rathole`): where it listens, and
    what takes part."""
    binary = shutil.which("rathole")
    if not binary:
        return None
    home, meet, local = root / "rathole", free_port(), free_port()
    home.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                    home / "key", "-out", home / "cert"], check=True, capture_output=True)
    subprocess.run(["openssl", "pkcs12", "-export", "-inkey", home / "key", "-in", home / "cert", "-passout",
                    "pass:bench", "-out", home / "identity.pfx"], check=True)
    service = '[{0}.services.pg]\ntoken = "bench"\n{1} = "127.0.0.1:{2}"\n'
    (home / "server.toml").write_text(
        f'[server]\nbind_addr = "127.0.0.1:{meet}"\n[server.transport]\ntype = "tls"\n[server.transport.tls]\n'
        f'pkcs12 = "{home}/identity.pfx"\npkcs12_password = "bench"\n' + service.format("server", "bind_addr", local))
    (home / "client.toml").write_text(
        f'[client]\nremote_addr = "localhost:{meet}"\n[client.transport]\ntype = "tls"\n[client.transport.tls]\n'
        f'trusted_root = "{home}/cert"\nhostname = "localhost"\n' + service.format("client", "local_addr", port))
    ends = [start(f"rathole-{end}", binary, f"--{end}", home / f"{end}.toml") for end in ("server", "client")]
    wait_for("rathole", answers(local))
    return local, ",".join(str(end.pid) for end in ends)


def two_hops(port):
    """Two nginx, one behind the other, that pass bytes to this port as they are, where its stream module is
    installed (Debian's libnginx-mod-stream): what is left of direct where nothing is done but to pass on."""
    module, home = Path("/usr/lib/nginx/modules/ngx_stream_module.so"), root / "two-hops"
    if not module.exists():
        return None
    home.mkdir()
    hops = []
    for hop in "near", "far":
        local = free_port()
        (home / f"{hop}.conf").write_text(
            f"load_module {module};\ndaemon off; master_process off; pid {home}/{hop}.pid;\n"
            f"error_log {home}/{hop}.log;\nevents {{ worker_connections 4096; }}\n"
            f"stream {{ server {{ listen 127.0.0.1:{local}; proxy_pass 127.0.0.1:{port}; }} }}\n")
        hops.append(start(f"two-hops-{hop}", "nginx", "-c", home / f"{hop}.conf"))
        wait_for("nginx", answers(local))
        port = local
    return port, ",".join(str(hop.pid) for hop in hops)


def postgres(deployment):
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        print("PostgreSQL is not installed: no database table\n")
        return
    home, port, user = root / "pg", free_port(), pwd.getpwnam("postgres")
    home.mkdir()
    os.chown(home, user.pw_uid, user.pw_gid)
    as_postgres = {"user": "postgres", "group": "postgres", "cwd": "/"}
    subprocess.run([binaries[-1] / "initdb", "-D", home / "data", "-A", "trust", "-U", "bench"],
                   check=True, stdout=subprocess.DEVNULL, **as_postgres)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", home / "data/server.key",
                    "-out", home / "data/server.crt"], check=True, capture_output=True, **as_postgres)
    server = start("postgres", binaries[-1] / "postgres", "-D", home / "data", "-p", port, "-k", home,
                   "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=1100", "-c", "ssl=on",
                   **as_postgres)
    wait_for("PostgreSQL", lambda: subprocess.run(
        ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0)
    subprocess.run(["pgbench", "-q", "-i", "-s", "10", "-h", "127.0.0.1", "-p", str(port), "-U", "bench",
                    "postgres"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (home / "password").write_text("unasked")
    deployment.application("orders-db", "postgres", port, "--account", "bench", "--password-file",
                           home / "password")
    deployment.application("orders-plain", "postgres", port, "--account", "bench", "--password-file",
                           home / "password", "--tls", "disable")
    local, agent = deployment.tunnel("orders-db")
    token, plain = (deployment.adit("admin", "token", "issue", "--user", "admin", "--application", name,
                                    "--kind", "access", "--uses", "1000000") for name in ("orders-db", "orders-plain"))
    if "db-memory" in opts.parts:
        subprocess.run(["psql", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "bench", "postgres", "-c",
                        "create unlogged table copied (line text)"], check=True)
        os.environ["PG_TOKEN"] = token
    # Beside what others do in the same run: TLS alone, ssh -L, and rathole and nginx where they are installed; as
    # they are, and with TLS between client and server through them, as the client of the door has it.
    peers = ["--via", f"direct with TLS=127.0.0.1:{port}@", "--conn", "direct with TLS=sslmode=require"]
    for name, tunnel in (("ssh -L", ssh_forward), ("rathole over TLS", rathole),
                         ("two hops of nginx", two_hops)) if "pg" in opts.parts else ():
        if peer := tunnel(port):
            for way in (name, f"TLS through {name}"):
                peers += ["--via", f"{way}=127.0.0.1:{peer[0]}@{peer[1]}"]
            peers += ["--conn", f"TLS through {name}=sslmode=require"]
    # Every statement is recorded, and the client's side is TLS, but where a loopback door may be in the clear. The
    # server speaks TLS with the door too, unless the application says otherwise.
    door = f"127.0.0.1:{deployment.https}@{deployment.pids()}"
    clear = f"127.0.0.1:{deployment.postgres}@{deployment.pids()}"
    for more in ([], ["--reconnect", "--clients", "1"]) if "pg" in opts.parts else ():
        bench("pg.py", "--direct", f"127.0.0.1:{port}@{server.pid}", "--via",
              f"adit tunnel=127.0.0.1:{local}@{deployment.pids(agent)}",
              "--via", f"PostgreSQL door={door}", "--via", f"the same, server without TLS={door}",
              "--via", f"the same, client without TLS too={clear}",
              "--conn", "=user=bench,dbname=postgres", "--conn",
              f"PostgreSQL door=user=bench,dbname=postgres,sslmode=require,password={token}", "--conn",
              f"the same, server without TLS=user=bench,dbname=postgres,sslmode=require,password={plain}", "--conn",
              f"the same, client without TLS too=user=bench,dbname=postgres,password={plain}", *peers, *more)


def mysql(deployment):
    if not shutil.which("mariadbd") or not shutil.which("mysqlslap"):
        print("MariaDB is not installed: no table\n")
        return
    home, port, user = root / "mysql", free_port(), pwd.getpwnam("mysql")
    home.mkdir()
    os.chown(home, user.pw_uid, user.pw_gid)
    as_mysql = {"user": "mysql", "group": user.pw_gid, "cwd": "/"}
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={home}/data", "--skip-test-db",
                    "--auth-root-authentication-method=normal"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, **as_mysql)
    server = start("mariadb", "mariadbd", "--no-defaults", f"--datadir={home}/data", f"--socket={home}/sock",
                   f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin",
                   "--max-connections=300", "--local-infile=1", **as_mysql)
    wait_for("MariaDB", lambda: subprocess.run(
        ["mariadb", "--no-defaults", "-uroot", f"--socket={home}/sock", "-e", "select 1"],
        capture_output=True).returncode == 0)
    subprocess.run(["mariadb", "--no-defaults", "-uroot", f"--socket={home}/sock", "-e",
                    "create database bench; use bench; create table numbers (id int primary key, word varchar(120));"
                    "insert into numbers select seq, repeat('x', 100) from seq_1_to_100000;"
                    "create table copied (line text);"
                    "create user bench identified by 'unasked'; grant all on *.* to bench"], check=True)
    (home / "password").write_text("unasked")
    deployment.application("shop-db", "mysql", port, "--account", "bench", "--tls", "disable", "--password-file",
                           home / "password")
    local, agent = deployment.tunnel("shop-db")
    token = deployment.adit("admin", "token", "issue", "--user", "admin", "--application", "shop-db",
                            "--kind", "access", "--uses", "1000000")
    os.environ["MYSQL_TOKEN"] = token
    if "mysql" not in opts.parts:
        return
    # Every statement is recorded, and the client's side is TLS, but where a loopback door may be in the clear. The
    # server speaks TLS with the door too, unless the application says otherwise.
    door = f"127.0.0.1:{deployment.https}@{deployment.pids()}"
    clear = f"127.0.0.1:{deployment.postgres}@{deployment.pids()}"
    bench("mysql_door.py", "--direct", f"127.0.0.1:{port}@{server.pid}", "--via",
          f"adit tunnel=127.0.0.1:{local}@{deployment.pids(agent)}",
          "--via", f"MySQL door=127.0.0.1:{deployment.mysql}@{deployment.pids()}",
          "--with", "=-ubench -punasked", "--with", f"MySQL door=-ubench -p{token} --ssl")


def doors_memory(deployment):
    more = ["--pg", f"127.0.0.1:{deployment.https}"] if "PG_TOKEN" in os.environ else []
    more += ["--mysql", f"127.0.0.1:{deployment.mysql}"] if "MYSQL_TOKEN" in os.environ else []
    subprocess.run([sys.executable, HERE / "db_memory.py", "--pids", deployment.pids(), *more], check=False)


def redis(deployment):
    if not shutil.which("redis-server"):
        print("Redis is not installed: no table\n")
        return
    port, password = free_port(), "unasked"
    server = start("redis", "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "",
                   "--appendonly", "no", "--requirepass", password, cwd=root)
    wait_for("Redis", answers(port))
    (root / "redis-password").write_text(password)
    deployment.application("cache", "redis", port, "--account", "default", "--tls", "disable", "--password-file",
                           root / "redis-password")
    local, agent = deployment.tunnel("cache")
    token = deployment.adit("admin", "token", "issue", "--user", "admin", "--application", "cache",
                            "--kind", "access", "--uses", "1000000")
    # Every command is recorded, and the client's side is TLS.
    bench("redis_door.py", "--direct", f"127.0.0.1:{port}@{server.pid}", "--via",
          f"adit tunnel=127.0.0.1:{local}@{deployment.pids(agent)}",
          "--via", f"Redis door=127.0.0.1:{deployment.https}@{deployment.pids()}",
          "--with", f"=-a {password}", "--with", f"Redis door=--tls --insecure -a {token}")


def rdp(deployment):
    """The bytes of a desktop mean nothing to what is measured: any target will do."""
    port = free_port()
    target = start("desk", HERE / "loadgen/target/release/loadgen", "serve", "--listen", f"127.0.0.1:{port}")
    wait_for("the target", answers(port))
    deployment.application("desk", "rdp", port)
    local, agent = deployment.tunnel("desk")
    token = deployment.adit("admin", "token", "issue", "--user", "admin", "--application", "desk",
                            "--kind", "access", "--uses", "1000000")
    bench("rdp.py", "--direct", f"127.0.0.1:{port}@{target.pid}", "--via",
          f"adit tunnel=127.0.0.1:{local}@{deployment.pids(agent)}",
          "--via", f"RDP door=127.0.0.1:{deployment.https}@{deployment.pids()}", "--token", token)


def desktop(deployment):
    """Frames of a desktop of xrdp's, which sends 25 a second at most; then memory, by FreeRDP's server, as that
    shows one screen to many clients. Both have a terminal that does not stop."""
    if not all(map(shutil.which, ["Xvfb", "xterm", "xrdp", "freerdp-shadow-cli", "chromium", "node"])):
        print("Xvfb, xterm, xrdp, FreeRDP's server, Chromium or Node is not installed: no table\n")
        return
    # On all CPUs: the browser decodes, and the host encodes, at the same time.
    unpin(os.getpid(), deployment.relay.pid, deployment.connector.pid)

    def browse(what, name, *more):
        link = next(line for line in deployment.adit("admin", "user", "sign-in-link", "admin").splitlines()
                    if line.startswith("https://"))
        subprocess.run([sys.executable, HERE / "desktop.py", what, "--link", link, "--name", name, "--url",
                        f"https://localhost:{deployment.https}", "--relay", str(deployment.relay.pid), *more],
                       check=False)

    moving = subprocess.Popen([Path(opts.bin) / "examples/scrolling-desktop"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    started.append(moving)
    address, account, password = (moving.stdout.readline().strip() for _ in range(3))
    (root / "moving-password").write_text(password)
    deployment.application("moving", "rdp", address.rpartition(":")[2], "--account", account,
                           "--password-file", root / "moving-password")
    browse("frames", "moving.hq", "--connector", str(deployment.connector.pid), "--target", str(moving.pid))
    # What it shows would take the CPU from the others.
    moving.stdin.close()
    moving.wait(30)
    port, home = free_port(), root / "screen"
    home.mkdir()
    number = next(n for n in range(60, 200) if not Path(f"/tmp/.X{n}-lock").exists())
    env = dict(os.environ, DISPLAY=f":{number}", HOME=str(home))
    start("screen", "Xvfb", f":{number}", "-screen", "0", "1280x752x24", "-nolisten", "tcp")
    wait_for("Xvfb", lambda: Path(f"/tmp/.X11-unix/X{number}").exists())
    # No screen is as one before: hosts send only what has changed.
    lines = "n=0; while :; do seq -f '%.0f a line of a terminal that scrolls and does not stop, with some words on it' $n $((n += 40)); sleep 0.02; done"
    start("xterm", "xterm", "-geometry", "212x57+0+0", "-fn", "fixed", "-e", "sh", "-c", lines, env=env)
    start("host", "freerdp-shadow-cli", f"/port:{port}", "/bind-address:127.0.0.1", "/sec:tls", "-auth", env=env)
    wait_for("FreeRDP's server", answers(port))
    (root / "desktop-password").write_text("any")
    deployment.application("screen", "rdp", port, "--account", "any", "--password-file", root / "desktop-password")
    browse("memory", "screen.hq")
    if not shutil.which("xfreerdp"):
        print("FreeRDP's client is not installed: no table\n")
        return
    # The same screen, with a recording of what is shown.
    deployment.adit("admin", "app", "add", "kept", "--site", "hq", "--kind", "rdp", "--address", f"127.0.0.1:{port}",
                    "--account", "any", "--password-file", root / "desktop-password")
    deployment.adit("admin", "grant", "add", "--user", "admin", "--application", "kept", "--recording", "required")
    subprocess.run([sys.executable, HERE / "native.py", "--adit", deployment.bin("adit"),
                    "--gateway", f"127.0.0.1:{deployment.https}", "--name", "as it is=screen",
                    "--name", "recorded=kept", "--relay", str(deployment.relay.pid),
                    "--connector", str(deployment.connector.pid)],
                   env=dict(os.environ, ADIT_HOME=str(deployment.home)), check=False)


def web(deployment):
    """nginx as a reverse proxy with TLS and kept connections, before the origin that we reach too."""
    home, origin, sink, proxy = root / "web", free_port(), free_port(), free_port()
    home.mkdir()
    (home / "small").write_bytes(b"x" * 128)
    for name, gib in (("large", 1), ("tenth", opts.memory_gib / 10), ("huge", opts.memory_gib)):
        with open(home / name, "wb") as file:
            file.truncate(int(gib * 2**30))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=web", "-keyout", home / "key", "-out", home / "cert"],
                   check=True, capture_output=True)
    common = f"""daemon off; worker_processes auto; error_log stderr; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; sendfile on; tcp_nodelay on; client_max_body_size 0;
client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
"""
    upstream = "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering on;" \
               "proxy_max_temp_file_size 0; proxy_request_buffering off;"
    (home / "origin.conf").write_text(f"pid {home}/origin.pid; {common}" + f"""
upstream sink {{ server 127.0.0.1:{sink}; keepalive 64; }}
server {{ listen 127.0.0.1:{origin}; root {home}; location /sink {{ {upstream} proxy_pass http://sink; }} }} }}""")
    (home / "proxy.conf").write_text(f"pid {home}/proxy.pid; {common}" + f"""
upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{proxy} ssl; ssl_certificate {home}/cert; ssl_certificate_key {home}/key;
location / {{ {upstream} proxy_pass http://origin; }} }} }}""")
    start("sink", sys.executable, HERE / "sink.py", sink)
    for name, port in (("origin", origin), ("proxy", proxy)):
        nginx = start(name, "/usr/sbin/nginx", "-p", home, "-c", home / f"{name}.conf", "-e", "stderr")
        wait_for(name, answers(port))
    workers = Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split()
    deployment.application("web", "web", origin)
    key = deployment.adit("admin", "token", "issue", "--user", "admin", "--application", "web", "--kind", "api")
    bench = [sys.executable, HERE / "web.py", "--proxy", f"127.0.0.1:{proxy}@{','.join(workers)}",
             "--door", f"127.0.0.1:{deployment.https}@{deployment.pids()}", "--key", key,
             "--name", f"web-hq.adit.localhost:{deployment.https}", "--reps", opts.reps,
             "--memory-gib", opts.memory_gib, "--what"]
    bench += ["requests", "bodies"] if "web" in opts.parts else []
    bench += ["memory"] if "web-memory" in opts.parts else []
    subprocess.run([str(part) for part in bench], check=False)


def small(deployment):
    """What a connector asks of the machine that it runs on, with a hundred idle sessions."""
    sessions, port = 100, free_port()
    listener = socket.create_server(("127.0.0.1", port), backlog=256)
    deployment.application("quiet", "tcp", port)
    local, _ = deployment.tunnel("quiet")
    held = []
    for _ in range(sessions):
        near = socket.create_connection(("127.0.0.1", local))
        near.sendall(b"x")
        far, _ = listener.accept()
        far.recv(1)
        held += [near, far]
    pid = deployment.connector.pid
    time.sleep(2)
    resident = proc_kb(pid)
    before, began = cpu_ticks(pid), time.time()
    time.sleep(60)
    idle = (cpu_ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / (time.time() - began)
    program = root / "stripped"
    subprocess.run(["strip", "-o", program, deployment.bin("adit-connector")], check=True)
    for each in held:
        each.close()
    starts = [deployment.start_connector_again() for _ in range(opts.reps)]
    print(f"""### A connector, {sessions} idle sessions

| | bar | measured |
| --- | --- | --- |
| resident | < 12 MB | {resident / 1024:.1f} MB |
| CPU over a minute | < 0.1 % | {idle * 100:.3f} % |
| program, stripped | < 25 MB | {program.stat().st_size / 1e6:.1f} MB |
| from its start to connected | < 300 ms | {sorted(starts)[len(starts) // 2] * 1000:.0f} ms ({min(starts) * 1000:.0f}-{max(starts) * 1000:.0f}, n = {len(starts)}) |
""")


def proc_kb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def main():
    if opts.pin:
        # Before they start: programs choose their threads by the CPUs they may use.
        os.sched_setaffinity(0, {int(c) for c in opts.pin.split(",")})
    deployment = Deployment()
    cpu = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
    print(f"`benches/run.py --parts {' '.join(opts.parts)} --reps {opts.reps} --pin {opts.pin}`, "
          f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {cpu}\n", flush=True)
    if {"bulk", "latency", "connect", "memory"} & set(opts.parts):
        loopback(deployment)
    if "ssh" in opts.parts:
        ssh(deployment)
    if {"pg", "db-memory"} & set(opts.parts):
        postgres(deployment)
    if {"mysql", "db-memory"} & set(opts.parts):
        mysql(deployment)
    if "db-memory" in opts.parts:
        doors_memory(deployment)
    if "redis" in opts.parts:
        redis(deployment)
    if "rdp" in opts.parts:
        rdp(deployment)
    if "desktop" in opts.parts:
        desktop(deployment)
    if {"web", "web-memory"} & set(opts.parts):
        web(deployment)
    if "small" in opts.parts:
        small(deployment)


try:
    main()
finally:
    for child in reversed(started):
        if child.stdin:
            # It ends by itself then, and ends what it has started.
            child.stdin.close()
        else:
            child.terminate()
    for child in started:
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
    shutil.rmtree(root, ignore_errors=True)
