"""Several processes of handgrad on this machine, as torchrun would start them, for the tests that need them.

In a network of its own that has nothing but a loopback interface, because LibTorch 1.13 has its store listen on all there are.
The first argument of the test names the program.
"""
import atexit
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

program = str(Path(sys.argv[1]).resolve())
SKIPPED = 77
TIMEOUT = 300  # so that a hang fails
next_port = 29600
started = []


@atexit.register
def end_what_was_started():
    """Also where a check failed."""
    for process in started:
        process.kill()


def enter_own_network():
    inside = "HANDGRAD_OWN_NETWORK"
    if os.environ.get(inside):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            up, flags_offset, siocsifflags = 1, "16sh", 0x8914
            fcntl.ioctl(any_socket, siocsifflags, struct.pack(flags_offset, b"lo", up) + bytes(14))
        return
    # Root needs no user namespace, and gets none within a chroot.
    for unshare in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if subprocess.run(unshare + ["true"], capture_output=True).returncode == 0:
            os.environ[inside] = "1"
            os.execvp(unshare[0], unshare + [sys.executable] + sys.argv)
    print("skipped: this system gives no network namespaces")
    sys.exit(SKIPPED)


class Group:
    """`size` processes that were started together, as torchrun numbers them."""

    def __init__(self, size, arguments, of_rank=None, port=None):
        global next_port
        if port is None:
            port, next_port = next_port, next_port + 1
        self.processes = []
        for rank in range(size):
            variables = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size),
                             MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            own = of_rank(rank) if of_rank else []
            self.processes.append(subprocess.Popen([program] + arguments + own, env=variables, text=True,
                                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        started.extend(self.processes)

    def finish(self):
        """Exit codes, and all that was said on stderr by handgrad itself; `errors` keeps the rest."""
        said, codes = [], []
        self.errors = ""
        for process in self.processes:
            _, errors = process.communicate(timeout=TIMEOUT)
            codes.append(process.returncode)
            self.errors += errors
            said += [line for line in errors.splitlines() if line.startswith("handgrad: ")]
        return codes, said


def finish_alone(arguments):
    subprocess.run([program] + arguments, capture_output=True, timeout=TIMEOUT, check=True)


def wait_until(happened, what):
    deadline = time.monotonic() + TIMEOUT
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def require_gloo():
    if "one at a time" in subprocess.run([program, "doctor"], capture_output=True, text=True, timeout=TIMEOUT).stdout:
        print("skipped: this handgrad was built without Gloo")
        sys.exit(SKIPPED)
