"""RDP servers that mean harm, one for each word behind certificate and key; each says its port."""
import socket, ssl, sys, threading

MUCH = 128 << 20
BLOCK = b"\x00" * 65536


def confirm(protocol):
    """A target's answer that chooses this (MS-RDPBCGR 2.2.1.2)."""
    return bytes([3, 0, 0, 19, 14, 0xD0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0]) + protocol.to_bytes(4, "little")


def pour(connection, block=BLOCK):
    for _ in range(MUCH // len(block)):
        connection.sendall(block)


def wait(connection):
    while connection.recv(65536):
        pass


def serve(harm, connection):
    if harm == "silent":
        return wait(connection)
    if harm == "zeroes":
        return pour(connection)
    if harm == "lines":
        return pour(connection, b"welcome to the machine\r\n" * 2000)
    connection.recv(65536)
    if harm == "huge":
        connection.sendall(b"\x03\x00\xff\xff")
        return pour(connection)
    if harm == "unoffered":
        connection.sendall(confirm(0x80000000))
        return wait(connection)
    # It speaks TLS only where the relay's login has to come first.
    connection.sendall(confirm(1 if harm.startswith("frames") else 2))
    if harm == "no-handshake":
        return wait(connection)
    if harm == "handshake":
        # A record of TLS that says it is longer than any.
        connection.sendall(b"\x16\x03\x03\xff\xff")
        return pour(connection)
    connection = TLS.wrap_socket(connection, server_side=True)
    if harm == "frames":
        # Fast-path output as long as it gets, of no kind that there is, before any setting.
        pour(connection, (b"\x00\xff\xff" + b"\x0f" * 0x7FFC) * 2)
    elif harm == "frames-cut":
        # The longest frame there is, as little as it is of any meaning, and what follows it.
        connection.sendall(b"\x03\x00\xff\xff" + b"\x02" * 60000)
        connection.sendall(b"\x04" * 60000)
        wait(connection)
    elif harm == "login-long":
        connection.recv(65536)
        connection.sendall(b"\x30\x84\x7f\xff\xff\xff")
        pour(connection)
    elif harm == "login-deep":
        connection.recv(65536)
        connection.sendall(b"\x30\x82\x40\x00" + b"\xa0\x80" * 8192)
        wait(connection)
    elif harm == "login-again":
        # The client's own message comes back, as often as it likes.
        while message := connection.recv(65536):
            connection.sendall(message)


def run(harm, connection):
    try:
        serve(harm, connection)
    except OSError:
        pass  # The relay has had enough.
    finally:
        connection.close()


def accept(harm, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=run, args=(harm, connection), daemon=True).start()


TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
TLS.load_cert_chain(sys.argv[1], sys.argv[2])
for harm in sys.argv[3:]:
    listener = socket.create_server(("127.0.0.1", 0))
    print(harm, listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(harm, listener), daemon=True).start()
threading.Event().wait()
