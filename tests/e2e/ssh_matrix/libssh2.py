# libssh2, which asks for no new keys by itself.
import os, socket
from ssh2.session import Session
from ssh2.sftp import LIBSSH2_FXF_CREAT, LIBSSH2_FXF_READ, LIBSSH2_FXF_TRUNC, LIBSSH2_FXF_WRITE

env = os.environ
sock = socket.create_connection(("127.0.0.1", int(env["PORT"])))
s = Session()
s.handshake(sock)
s.userauth_password(env["LOGIN"], env["TOKEN"])

def read(c):
    out = b""
    while True:
        n, part = c.read()
        if n <= 0: return out
        out += part
def asked(command, pty=False):
    c = s.open_session()
    if pty: c.pty("vt100")
    c.execute(command)
    out = read(c)
    c.wait_eof(); c.close(); c.wait_closed()
    return out, c.get_exit_status()
def execs(): assert asked("echo out; exit 5") == (b"out\n", 5)
def pty(): assert b"/dev/pts/" in asked("tty", True)[0]
def sftp():
    data, there = open(f"{env['DIR']}/up", "rb").read(), f"{env['DIR']}/libssh2"
    f = s.sftp_init()
    with f.open(there, LIBSSH2_FXF_CREAT | LIBSSH2_FXF_WRITE | LIBSSH2_FXF_TRUNC, 0o644) as h: h.write(data)
    assert open(there, "rb").read() == data
    back = bytearray()
    with f.open(there, LIBSSH2_FXF_READ, 0) as h:
        for _, part in h: back += part
    assert back == data
def forward():
    c = s.direct_tcpip_ex("127.0.0.1", int(env["ECHO"]), "127.0.0.1", 1)
    c.write(b"ping")
    assert c.read(4)[1] == b"ping"
    c.close()

for name, case in [("exec", execs), ("pty", pty), ("sftp", sftp), ("forward", forward)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
