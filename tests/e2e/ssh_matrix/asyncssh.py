import asyncio, os
import asyncssh

env = os.environ

def connect(**more):
    return asyncssh.connect("127.0.0.1", int(env["PORT"]), username=env["LOGIN"], password=env["TOKEN"], known_hosts=None,
                            client_keys=None, agent_path=None, config=None, **more)

async def execs(c):
    r = await c.run("echo out; exit 5")
    assert (r.stdout, r.exit_status) == ("out\n", 5), r
async def pty(c):
    r = await c.run("stty size; tty", term_type="vt100", term_size=(123, 45))
    assert r.stdout.startswith("45 123\r\n/dev/pts/"), r
async def sftp(c, name="asyncssh"):
    up, there, back = (f"{env['DIR']}/{n}" for n in ("up", name, f"{name}.back"))
    async with c.start_sftp_client() as s:
        await s.put(up, there)
        await s.get(there, back)
    assert open(up, "rb").read() == open(there, "rb").read() == open(back, "rb").read()
async def forward(c):
    async with c.forward_local_port("", 0, "127.0.0.1", int(env["ECHO"])) as l:
        r, w = await asyncio.open_connection("127.0.0.1", l.get_port())
        w.write(b"ping")
        assert await r.readexactly(4) == b"ping"
        w.close()
async def rekey(_):
    async with connect(rekey_bytes=1 << 20) as c: await sftp(c, "asyncssh-rekey")

async def main():
    async with connect() as c:
        for name, case in [("exec", execs), ("pty", pty), ("sftp", sftp), ("forward", forward), ("rekey", rekey)]:
            try: await case(c); print(name, "ok")
            except Exception as e: print(name, "failed:", repr(e))

asyncio.run(main())
