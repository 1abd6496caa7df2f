# libssh, whose binding has no channel for a forward and asks for no new keys.
import os
from pylibsshext.session import Session

env = os.environ
s = Session()
s.connect(host="127.0.0.1", port=int(env["PORT"]), user=env["LOGIN"], password=env["TOKEN"], host_key_checking=False, look_for_keys=False)

def execs():
    c = s.new_channel()
    r = c.exec_command("echo out; exit 5")
    c.close()
    assert (r.stdout, r.returncode) == (b"out\n", 5), r
def pty():
    c = s.new_channel()
    c.request_shell()
    c.write(b"tty; exit\n")
    said = b""
    while b"/dev/pts/" not in said:
        got = c.poll(timeout=10000)
        assert got > 0, said
        said += c.recv(4096)
    c.close()
def sftp():
    up, there, back = (f"{env['DIR']}/{n}" for n in ("up", "libssh", "libssh.back"))
    f = s.sftp()
    f.put(up, there)
    f.get(there, back)
    f.close()
    assert open(up, "rb").read() == open(there, "rb").read() == open(back, "rb").read()

for name, case in [("exec", execs), ("pty", pty), ("sftp", sftp)]:
    try: case(); print(name, "ok")
    except Exception as e: print(name, "failed:", repr(e))
s.close()
