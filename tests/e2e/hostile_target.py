"""SSH servers that mean harm, one for each word on the command line; each says its port."""
import os, socket, sys, threading, time
import paramiko
from paramiko.message import Message

KEY = paramiko.RSAKey.generate(2048)
MUCH = 128 << 20


def message(kind, *fields):
    m = Message()
    m.add_byte(bytes([kind]))
    for field in fields:
        if isinstance(field, bool):
            m.add_boolean(field)
        elif isinstance(field, int):
            m.add_int(field)
        else:
            m.add_string(field)
    return m


class Hostile(paramiko.ServerInterface):
    def __init__(self, harm, transport):
        self.harm, self.transport = harm, transport

    def send(self, *fields):
        self.transport._send_message(message(*fields))

    def pour(self, *fields):
        """As many of these as make up MUCH, though not more than Python sends in a while."""
        size = len(message(*fields).asbytes())
        for _ in range(min(MUCH // size, 100_000)):
            self.send(*fields)

    def get_allowed_auths(self, username):
        return "keyboard-interactive" if self.harm == "prompts" else "password"

    def check_auth_password(self, username, password):
        if self.harm == "banners":
            self.pour(53, b"no end of it\r\n" * 2000, b"")
        return paramiko.AUTH_SUCCESSFUL

    def check_auth_interactive(self, username, submethods):
        self.send(60, b"", b"", b"", 0x7FFFFFFF)
        time.sleep(60)
        return paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        if self.harm == "no-channel":
            time.sleep(60)
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.harm_by, args=(channel.remote_chanid,), daemon=True).start()
        return True

    def harm_by(self, channel):
        try:
            if self.harm == "data":
                self.pour(94, channel, b"x" * 32000)
            elif self.harm == "errors":
                self.pour(95, channel, 1, b"x" * 32000)
            elif self.harm == "requests":
                self.pour(98, channel, b"x" * 32000, True)
            elif self.harm == "global-requests":
                self.pour(80, b"keepalive@openssh.com", True)
            elif self.harm == "channels":
                for n in range(20000):
                    self.send(90, b"forwarded-tcpip", n, 1 << 20, 32768, b"h" * 200, 1, b"o", 1)
            elif self.harm == "ignored":
                self.pour(2, b"x" * 32000)
        finally:
            self.transport.close()


def serve(harm, connection):
    if harm == "lines":
        while True:
            connection.sendall(b"welcome to the machine\r\n" * 1000)
    transport = paramiko.Transport(connection)
    if harm == "compressed":
        transport._preferred_compression = ("zlib",)
    transport.add_server_key(KEY)
    transport.start_server(event=threading.Event(), server=Hostile(harm, transport))
    transport.join()


def accept(harm, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(harm, connection), daemon=True).start()


for harm in sys.argv[1:]:
    listener = socket.create_server(("127.0.0.1", 0))
    print(harm, listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(harm, listener), daemon=True).start()
threading.Event().wait()
