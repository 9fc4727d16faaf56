"""`doctor`: what this machine can enforce against submitted code, found by trying it in the sandbox."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import SandboxError
from autograder.grading import control_groups
from autograder.grading.process_tree import running_with
from autograder.grading.runtime import TOOL_PATH, bubblewrap_version
from autograder.grading.sandbox import Limits, Sandbox

OK, WEAKER, UNSAFE = "ok", "weaker", "UNSAFE"
_MIB = 1 << 20
_REPORT = "please report it with the line above; grade on another machine until then"
_GROUP_REMEDY = "grade as root, or under `systemd-run --user --scope -p Delegate=yes`"


@dataclass(frozen=True)
class Finding:
    """One line: `state` is "ok", "weaker" (safe, with less margin) or "UNSAFE"; `remedy` says how to get the rest."""

    name: str
    state: str
    text: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Every finding in turn; stops after the first when there is no sandbox to try anything in."""
    try:
        box = Sandbox.detect()
    except SandboxError as error:
        what, _, remedy = str(error).rpartition("; ")
        yield Finding("sandbox", UNSAFE, what or remedy, remedy if what else "")
        return
    how = f"root, code runs as user {box.uid}" if os.geteuid() == 0 else "an ordinary user, in a user namespace"
    yield Finding("sandbox", OK, f"{bubblewrap_version()}; started by {how}")
    for name, probe in _PROBES.items():
        try:
            problem = probe(box)
        except SandboxError as error:
            problem = f"the sandbox failed: {error}"
        text = _SAYS[name] if problem is None else problem
        yield Finding(
            name, OK if problem is None else UNSAFE, text, "" if problem is None else _REMEDIES.get(name, _REPORT)
        )
    yield _memory_group()
    yield _capacity()


def is_safe(findings: list[Finding]) -> bool:
    """Whether submissions may be graded here without `--unsafe`."""
    return all(finding.state != UNSAFE for finding in findings)


def _limits(**changes: float) -> Limits:
    values = {"wall_s": 20.0, "cpu_s": 10, "memory_bytes": 256 * _MIB, "processes": 16, "file_bytes": _MIB}
    values |= {"output_bytes": 4096, "tmp_bytes": 4 * _MIB}
    return Limits(**(values | changes))  # type: ignore[arg-type]


def _says(box: Sandbox, code: str, *words: str) -> str | None:
    """None when the program inside printed nothing, else what it got at."""
    done = box.run([box.python, "-I", "-c", code, *words], limits=_limits())
    if done.reason != "ok":
        return f"the probe ended with {done.reason}: {done.stderr_tail.strip()[-200:]}"
    return done.stdout.decode(errors="replace").strip()[:200] or None


_TRY = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        if action() not in (-1, False): print(name, end="; ")
    except (OSError, PermissionError): pass
"""


def _privileges(box: Sandbox) -> str | None:
    code = """
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name in ("CapEff", "CapPrm", "CapBnd", "CapAmb") and int(value, 16) and name != "CapBnd": print(line)
    if name == "Uid" and "0" in value.split(): print("is root")
    if name == "NoNewPrivs" and value.strip() != "1": print("may gain privileges")
"""
    return _says(box, code)


def _network(box: Sandbox) -> str | None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        code = f"""{_TRY}
for address in (("127.0.0.1", {server.getsockname()[1]}), ("1.1.1.1", 53), ("169.254.169.254", 80)):
    attempt(f"reached {{address}}", lambda: socket.create_connection(address, timeout=1))
attempt("opened a vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
"""
        return _says(box, code)


def _files(box: Sandbox) -> str | None:
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        (Path(folder) / "labels").write_text(secret)
        Path(folder).chmod(0o755)
        code = f"""{_TRY}
attempt("read a file of ours", lambda: open(sys.argv[1]).read())
for place in ("/usr/x", "/etc/x", "/x", "/dev/x", "/proc/sys/kernel/core_pattern", sys.prefix + "/x"):
    attempt("wrote " + place, lambda: open(place, "w").write("x"))
"""
        return _says(box, code, f"{folder}/labels")


def _processes(box: Sandbox) -> str | None:
    code = f"{_TRY}\nattempt('signalled the grader', lambda: os.kill({os.getpid()}, 0) or True)\n"
    code += "print('sees many processes' if len([p for p in os.listdir('/proc') if p.isdigit()]) > 6 else '', end='')"
    return _says(box, code)


def _system_calls(box: Sandbox) -> str | None:
    code = f"""{_TRY}
import mmap
attempt("made a user namespace", lambda: libc.unshare(0x10000000))
attempt("made a mount namespace", lambda: libc.unshare(0x20000))
attempt("mounted a tmpfs", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
attempt("traced a process", lambda: libc.ptrace(0, 0, 0, 0))
attempt("made a memfd", lambda: os.memfd_create("x"))
attempt("made a System V segment", lambda: libc.shmget(0, 4096, 0o1600))
attempt("made shared anonymous memory", lambda: mmap.mmap(-1, 4096))
attempt("mapped /dev/zero", lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 4096))
attempt("asked for a key", lambda: libc.syscall(250, 0, -3, 0))
"""
    return _says(box, code)


def _ends(box: Sandbox, code: str, reason: str, **changes: float) -> str | None:
    marker = secrets.token_hex(16)
    done = box.run([box.python, "-I", "-c", code, marker], limits=_limits(**changes))
    if done.reason != reason:
        return f"expected the end {reason}, got {done.reason}"
    left = running_with(marker)
    return f"{len(left)} processes were left" if left else None


def _wall(box: Sandbox) -> str | None:
    code = "import os, signal, time\n"
    code += "for n in set(range(1, 32)) - {9, 19}: signal.signal(n, signal.SIG_IGN)\n"
    code += "if os.fork() == 0:\n    os.setsid()\n    os.fork()\nwhile True: time.sleep(1)"
    return _ends(box, code, "timeout", wall_s=0.7)


def _cpu(box: Sandbox) -> str | None:
    return _ends(box, "while True: pass", "timeout", cpu_s=1)


def _memory(box: Sandbox) -> str | None:
    code = "held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))"
    return _ends(box, code, "memory", memory_bytes=64 * _MIB)


def _count(box: Sandbox) -> str | None:
    code = "import os, time\ntry:\n    for _ in range(60):\n        if os.fork() == 0: time.sleep(60)\n"
    code += "except OSError: os._exit(0)\ntime.sleep(60)"
    return _ends(box, code, "ok", processes=12, wall_s=5)


def _disk(box: Sandbox) -> str | None:
    code = "import os\nfor folder in ('/tmp', '/dev/shm'):\n    try:\n        for n in range(99):\n"
    code += "            with open(f'{folder}/{n}', 'wb') as sink: sink.write(bytes(1 << 20))\n"
    code += "    except OSError as error: assert error.errno == 28\n    else: print('filled', folder)"
    return _says(box, code)


def _output(box: Sandbox) -> str | None:
    return _ends(box, "import os\nwhile True: os.write(1, bytes(4096))", "output")


def _libraries(box: Sandbox) -> str | None:
    code = "import numpy, onnxruntime, ipykernel, zmq"
    done = box.run([box.python, "-I", "-c", code], limits=_limits(memory_bytes=2 << 30))
    return None if done.reason == "ok" else done.stderr_tail.strip().splitlines()[-1][:200]


_PROBES: dict[str, Callable[[Sandbox], str | None]] = {
    "privileges": _privileges,
    "network": _network,
    "files": _files,
    "processes": _processes,
    "system calls": _system_calls,
    "wall time": _wall,
    "processor time": _cpu,
    "memory": _memory,
    "number": _count,
    "disk": _disk,
    "output": _output,
    "libraries": _libraries,
}
_SAYS = {
    "privileges": "no capabilities, not root, none to be gained",
    "network": "neither this machine, nor the internet, nor a cloud's metadata, nor the host of a virtual machine",
    "files": "our files cannot be read; nothing can be written outside of /tmp and /dev/shm",
    "processes": "other processes are neither seen nor signalled",
    "system calls": "no namespaces, mounts, tracing, memfd, System V or shared anonymous memory",
    "wall time": "a program that ignores signals was killed with its daemons",
    "processor time": "a busy loop was killed",
    "memory": "a program that eats memory was killed",
    "number": "a fork bomb was bounded",
    "disk": "/tmp and /dev/shm are limited in size",
    "output": "endless output is cut",
    "libraries": "numpy, onnxruntime and the Jupyter kernel load inside",
}
_REMEDIES = {"libraries": f"`{sys.executable} -m pip install -r autograder/requirements.txt`"}


def _memory_group() -> Finding:
    group = control_groups.create(64 * _MIB)
    if group is None:
        text = "no control group can be made; the watchdog alone bounds memory"
        return Finding("memory of the kernel", WEAKER, text, _GROUP_REMEDY)
    group.remove()
    return Finding("memory of the kernel", OK, f"counted too, by control groups under {group.path.parent}")


def _capacity() -> Finding:
    cores = len(os.sched_getaffinity(0))
    free = shutil.disk_usage("/tmp").free >> 30
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    tools = shutil.which("bwrap", path=TOOL_PATH)
    text = f"{cores} cores, {memory} GiB memory free, {free} GiB free in /tmp; {tools}"
    if memory < 4 or free < 2:
        return Finding("room", WEAKER, text, "a kernel may use 3 GiB of memory; free some, or grade one at a time")
    return Finding("room", OK, text)
