"""Follows one started process: reads its pipes with bounds, watches its limits, ends the whole tree."""

import os
import re
import selectors
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from autograder.errors import SandboxError
from autograder.grading.control_groups import Group
from autograder.grading.process_tree import kill_marked, kill_tree, measure, start_time

TICK_S = 0.02  # how often the watchdog looks; a process can touch perhaps 60 MB of new memory in between
_TICK_IN_GROUP_S = 0.1  # looking costs a millisecond, and here the kernel bounds the memory
STDERR_BYTES = 8192
_SPARE_PROCESSES = 4  # bubblewrap's own, which the watchdog counts and RLIMIT_NPROC does not
_SIGXCPU = 24
_thread = threading.local()


@contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """What this thread runs inside the block is ended, with a SandboxError, when the event is set."""
    before, _thread.stop = getattr(_thread, "stop", None), event
    try:
        yield
    finally:
        _thread.stop = before


def check_stopped() -> None:
    """For whoever waits in a block of `stopped_by`.

    Raises:
        SandboxError: the event is set.
    """
    stop: threading.Event | None = getattr(_thread, "stop", None)
    if stop is not None and stop.is_set():
        raise SandboxError("the run was stopped")


@dataclass(frozen=True)
class Limits:
    wall_s: float
    cpu_s: int  # of the whole tree
    memory_bytes: int  # of the whole tree, without the two tmpfs
    processes: int  # processes and threads
    file_bytes: int  # largest single file
    output_bytes: int  # stdout; stderr is drained and only its tail is kept
    tmp_bytes: int  # /tmp, and the same again for /dev/shm


@dataclass(frozen=True)
class Completed:
    reason: str  # "ok" | "timeout" (wall or processor time) | "memory" | "exit" | "signal" | "output"
    returncode: int | None  # -N when ended by signal N; None when a limit ended it
    stdout: bytes  # at most output_bytes + 1
    stderr_tail: str  # printable, at most 8192 bytes
    wall_s: float


def breach(pid: int, limits: Limits, started: float, group: Group | None = None) -> str | None:
    """Which limit the tree of `pid` has passed: "timeout", "memory", "processes" or None."""
    if group is not None and group.ran_out():
        return "memory"
    if time.monotonic() - started > limits.wall_s:
        return "timeout"
    usage = measure(pid, limits.memory_bytes)
    if usage.memory_bytes > limits.memory_bytes:
        return "memory"
    if usage.cpu_s > limits.cpu_s:
        return "timeout"
    return "processes" if usage.processes > limits.processes + _SPARE_PROCESSES else None


def tick_s(group: Group | None) -> float:
    """Seconds between two looks of the watchdog."""
    return TICK_S if group is None else _TICK_IN_GROUP_S


class Supervisor:
    """`follow()`, then always `finish()`, then `completed()`.

    Args:
        process: started with stdout and stderr as pipes.
        status_fd: read end of bubblewrap's --json-status-fd; None without bubblewrap. Closed by the caller.
        marker: what the environment of every child carries when there is no pid namespace to catch daemons.
        group: the control group it runs in, if there is one.
    """

    def __init__(
        self,
        process: subprocess.Popen,
        limits: Limits,
        *,
        started: float,
        status_fd: int | None,
        marker: str | None,
        group: Group | None = None,
    ) -> None:
        self._group = group
        self._process, self._limits, self._started, self._marker = process, limits, started, marker
        self._stdout, self._stderr, self._status = bytearray(), bytearray(), bytearray()
        self._cut: str | None = None  # the limit that ended it
        self._wall_s = 0.0
        self._first: dict[int, int] = {}  # the namespace's first process: id -> start time
        self._sandboxed = status_fd is not None
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None and process.stderr is not None
        self._register(process.stdout.fileno(), self._stdout)
        self._register(process.stderr.fileno(), self._stderr)
        if status_fd is not None:
            self._register(status_fd, self._status)

    def _register(self, fd: int, buffer: bytearray) -> None:
        os.set_blocking(fd, False)
        self._selector.register(fd, selectors.EVENT_READ, buffer)

    def follow(self) -> None:
        """Until the process has exited or a limit is passed.

        Raises:
            SandboxError: the run that this belongs to is being stopped.
        """
        look = 0.0
        while self._cut is None and self._process.poll() is None:
            check_stopped()
            if self._selector.get_map():
                self._read(TICK_S)
            else:  # it has closed its ends of the pipes; only its exit is left to wait for
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(TICK_S)
            if self._cut is None and time.monotonic() >= look:
                self._cut = breach(self._process.pid, self._limits, self._started, self._group)
                look = time.monotonic() + tick_s(self._group)

    def finish(self) -> None:
        """Ends whatever still runs, then takes what is left in the pipes: nobody can write to them any more.

        Raises:
            SandboxError: something survived SIGKILL (a process stuck in the kernel).
        """
        if self._selector.get_map():
            self._read(0)  # a very short run may have ended before we learned who its first process is
        ran_out = self._group is not None and self._group.ran_out()
        gone = kill_tree(self._process.pid, also=self._first)
        if self._marker is not None:
            kill_marked(self._marker)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._wall_s = time.monotonic() - self._started
        if self._cut is None and self._process.returncode != 0 and ran_out:
            self._cut = "memory"  # the kernel was faster than the watchdog
        deadline = time.monotonic() + 2.0
        while self._selector.get_map() and time.monotonic() < deadline:
            self._read(0.1)
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if not gone:
            raise SandboxError(f"processes of the sandbox {self._process.pid} do not die; look at this machine")

    def _read(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            try:
                chunk = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            if not chunk:
                self._selector.unregister(key.fd)
            key.data.extend(chunk)
        if len(self._stdout) > self._limits.output_bytes:
            del self._stdout[self._limits.output_bytes + 1 :]
            self._cut = self._cut or "output"
        del self._stderr[:-STDERR_BYTES]
        if not self._first and (found := re.search(rb'"child-pid": (\d+)', self._status)):
            first = int(found[1])
            self._first = {first: born} if (born := start_time(first)) is not None else {}

    def completed(self) -> Completed:
        """What happened.

        Raises:
            SandboxError: bubblewrap never started the program; that is our fault, not the program's.
        """
        code: int = self._process.returncode
        tail = printable(self._stderr)
        # bubblewrap reports an exit code only if it got as far as starting the program
        if self._cut is None and self._sandboxed and b'"exit-code"' not in self._status:
            raise SandboxError(f"the sandbox could not be set up: {tail.strip()[-300:] or f'exit code {code}'}")
        if code > 128:  # how bubblewrap and shells pass on a signal
            code = 128 - code
        if self._cut == "processes":
            tail += f"\nended by the sandbox: more than {self._limits.processes} processes"
            reason = "signal"
        elif self._cut is not None:
            reason = self._cut
        elif code == -_SIGXCPU:
            reason = "timeout"
        else:
            reason = "ok" if code == 0 else "exit" if code > 0 else "signal"
        return Completed(reason, None if self._cut else code, bytes(self._stdout), tail, self._wall_s)


def printable(data: bytes | bytearray) -> str:
    """Text of what a program wrote, without control characters."""
    text = bytes(data).decode(errors="replace")
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
