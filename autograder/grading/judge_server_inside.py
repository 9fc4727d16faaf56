"""Runs INSIDE the sandbox: one process with NumPy and onnxruntime ready, which forks for each model.

`python -I -S judge_server_inside.py SITE_PACKAGES inputs.npy`, with a socket of messages as stdin. A message is
{"classes": 10, "asked": {...}} with a descriptor of the model's file; the child does what `judge_inside` does and writes
to stdout. When it has ended, the answer here is {"status": as waitpid gives it, "clean": whether it left nothing}.

This process never reads a model. It cannot be traced or read by its children (it is not dumpable), and they have closed
the socket before they look at theirs.
"""

import ctypes
import json
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autograder.grading import judge_inside  # noqa: E402

IDLE_S = 60.0  # then it ends, whoever forgot it
FOLDERS, MANY = ("/tmp", "/dev/shm"), 1000
_NOT_DUMPABLE = (4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def child(channel: socket.socket, file: int, request: dict, packages: str, inputs: str) -> None:
    """Judge one model; never returns."""
    code = 70
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, channel.detach())  # stdin
        os.close(nothing)
        with open(file, "rb") as model:
            content = model.read()
        judge_inside.judge(content, inputs, request["classes"], request["asked"], packages)
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def writable_files() -> set[str]:
    """What lies in the folders that a model could write to; what is mounted below them from outside is left out."""
    found: set[str] = set()
    for top in FOLDERS:
        device = os.lstat(top).st_dev
        waiting = [top]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                here = [entry for entry in entries if entry.stat(follow_symlinks=False).st_dev == device]
            found |= {entry.path for entry in here}
            if len(found) > MANY:
                return found
            waiting += [entry.path for entry in here if entry.is_dir(follow_symlinks=False)]
    return found


def is_alone() -> bool:
    """Whether no other process was there; now there is none."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def main() -> None:
    packages, inputs = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(*_NOT_DUMPABLE) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
    sys.path.extend(packages.split(os.pathsep))
    from autograder.grading import predict_inside

    predict_inside.load(inputs)
    at_first = writable_files()
    channel = socket.socket(fileno=0)
    channel.settimeout(IDLE_S)
    channel.sendall(b'{"ready": true}')
    while True:
        try:
            message, files, _, _ = socket.recv_fds(channel, 1 << 16, 1)
        except TimeoutError:
            return
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            child(channel, files[0], json.loads(message), packages, inputs)
        os.close(files[0])
        _, status = os.waitpid(pid, 0)
        clean = is_alone() and writable_files() == at_first
        channel.sendall(json.dumps({"status": status, "clean": clean}).encode())


if __name__ == "__main__":
    main()
