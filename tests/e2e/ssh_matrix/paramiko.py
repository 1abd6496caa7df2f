import os, re
import paramiko

env = os.environ
t = paramiko.Transport(("127.0.0.1", int(env["PORT"])))
t.start_client(timeout=20)
t.auth_password(env["LOGIN"], env["TOKEN"])

def asked(command, pty=False):
    c = t.open_session()
    if pty: c.get_pty("vt100", 123, 45)
    c.exec_command(command)
    out = c.makefile("rb").read()
    return out, c.recv_exit_status()

def execs(): assert asked("echo out; exit 5") == (b"out\n", 5)
def pty(): assert re.search(rb"45 123\r\n/dev/pts/", asked("stty size; tty", True)[0])
def sftp(name="paramiko"):
    up, there, back = (f"{env['DIR']}/{n}" for n in ("up", name, f"{name}.back"))
    with paramiko.SFTPClient.from_transport(t) as s:
        s.put(up, there)
        s.get(there, back)
    assert open(up, "rb").read() == open(there, "rb").read() == open(back, "rb").read()
def forward():
    c = t.open_channel("direct-tcpip", ("127.0.0.1", int(env["ECHO"])), ("127.0.0.1", 1))
    c.sendall(b"ping")
    assert c.recv(4) == b"ping"
    c.close()
def rekey():
    t.packetizer.REKEY_BYTES = 1 << 20
    sftp("paramiko-rekey")
    t.renegotiate_keys()
    execs()

for name, case in [("exec", execs), ("pty", pty), ("sftp", sftp), ("forward", forward), ("rekey", rekey)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
t.close()
