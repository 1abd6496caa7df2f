"""A gRPC service of bytes: unary, both one-way streams and a two-way one."""
import sys
import time
from concurrent import futures

import grpc

cancelled = 0


def echo(request, context):
    metadata = dict(context.invocation_metadata())
    context.set_trailing_metadata([("x-user", metadata.get("x-adit-user", ""))])
    return request


def count(request, context):
    for n in range(int(request)):
        yield str(n).encode()


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def chat(requests, context):
    for request in requests:
        yield request


def hang(request, context):
    global cancelled

    def gone():
        global cancelled
        cancelled += 1

    context.add_callback(gone)
    while context.is_active():
        time.sleep(0.02)
    return b""


def gone(request, context):
    return str(cancelled).encode()


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100 %")


def ticks(request, context):
    while context.is_active():
        yield b"tick"
        time.sleep(0.05)


methods = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Hang": grpc.unary_unary_rpc_method_handler(hang),
    "Gone": grpc.unary_unary_rpc_method_handler(gone),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Ticks": grpc.unary_stream_rpc_method_handler(ticks),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Bytes", methods),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("listening")
server.wait_for_termination()
