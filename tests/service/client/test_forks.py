"""A client in a process that was forked from another: refused at once, and a new one works where gRPC can."""

import subprocess
import sys

PROGRAM = """
import os, sys
from service.client import Client, InvalidUse

def in_child(call):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            print(call().vertex_count > 0, flush=True)
        except InvalidUse as error:
            print(error, flush=True)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

grpc, rest = sys.argv[1:]
old, other = Client(grpc, timeout_s=20), Client(rest, timeout_s=20)
old.info(), other.info()
in_child(old.info)
in_child(other.info)
in_child(lambda: Client(rest, timeout_s=20).info())
in_child(lambda: Client(grpc, timeout_s=20).info())
print(old.info().vertex_count > 0)
old.close()
in_child(lambda: Client(grpc, timeout_s=20).info())
"""
OLD = "this client was made before a fork; make a new one in the child process"


def test_a_fork_with_an_open_client_is_told_at_once_and_harms_nobody(running):
    arguments = (f"grpc://127.0.0.1:{running.grpc_port}", running.address)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60)

    old, other, rest, grpc, parent, closed = done.stdout.splitlines() or [done.stderr]
    assert (old, other) == (OLD, OLD)
    assert grpc.startswith("this process was forked while a gRPC client was open, and gRPC does not work in it; close")
    assert (rest, parent, closed) == ("True", "True", "True")
