#!/usr/bin/env python3
"""sink.py PORT: takes bodies with a length and throws them away, on kept connections."""
import re
import socket
import sys
import threading

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def serve(connection):
    buffer, got = bytearray(1024 * 1024), b""
    while True:
        while b"\r\n\r\n" not in got:
            read = connection.recv(65536)
            if not read:
                return
            got += read
        head, _, got = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        left = int(length[1] if length else 0) - len(got)
        got = b""
        while left > 0:
            read = connection.recv_into(buffer, min(left, len(buffer)))
            if not read:
                return
            left -= read
        connection.sendall(ANSWER)


with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
    while True:
        threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
