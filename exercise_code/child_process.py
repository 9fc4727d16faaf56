"""A function call in a process of its own, so that a crash or an endless loop costs nothing but that call."""

import contextlib
import functools
import gc
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CAN_FORK = hasattr(os, "fork") and sys.platform != "darwin"  # Apple's libraries do not survive a fork


START_SECONDS, START_ATTEMPTS = 30, 3


class JobError(Exception):
    """A child process gave no result."""


class JobTimeout(JobError):
    """It did not end in time and was killed."""


class JobCrashed(JobError):
    """It ended without a result: a signal, exit, or out of memory."""


_forking = (
    threading.Lock()
)  # a child must not inherit the write end of another child's pipe: the reader waits for its end
_thread = threading.local()


class Children:
    """Process ids of running children, to be killed together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Callable[[], None]] = {}
        self._stopped = False

    def start(self, make: Callable[[], tuple[int, Callable[[], None]]]) -> int:
        """Call make, which starts a child and returns its id and how to kill it, unless children are being stopped."""
        with self._lock:
            if self._stopped:
                raise JobCrashed("the jobs were stopped")
            pid, kill = make()
            self._running[pid] = kill
            return pid

    def forget(self, pid: int) -> None:
        """Leave a child out of `kill`: once it is waited for, another process may get its id."""
        with self._lock:
            self._running.pop(pid, None)

    def kill(self) -> None:
        """Kill all that run, and let no new one start."""
        with self._lock:
            self._stopped = True
            for kill in self._running.values():
                kill()


def kill_group(pid: int) -> None:
    """Kill a child and the processes it started, unless they are gone."""
    for kill in (os.killpg, os.kill):  # the group may not exist yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def adopt(children: Children) -> None:
    """Count the children of the calling thread among these."""
    _thread.children = children


def _children() -> Children:
    return getattr(_thread, "children", None) or Children()


def in_child(
    function: Callable[..., Any],
    /,
    *args: Any,
    timeout: float | None = None,
    setup: Callable[[], None] | None = None,
    fork: bool = CAN_FORK,
    **kwargs: Any,
) -> Any:
    """Call a function in a child process and return its result, which must be picklable.

    With fork the child starts as a copy of this process, in milliseconds and with all data in place; nothing is pickled but
    the result.  Otherwise (Windows, macOS) a new interpreter gets function and arguments through a file, which for functions
    of a notebook needs cloudpickle.  The child ignores Ctrl-C, and dies when the process that started it does.

    Args:
        timeout: seconds after which the child is killed.
        setup: called first, in the child.  A forked child that does not get through it in 30 s, and is not just waiting for a
            core, is replaced: a copy of a process with threads can inherit a lock that nobody is left to release.

    Raises:
        JobTimeout: it took longer.
        JobCrashed: it ended without a result; the message says by which signal or exit code.
        Exception: whatever function raised.
    """
    if fork:
        result = _forked(function, args, kwargs, timeout, setup)
    else:
        result = _spawned(_after_setup, (setup, function, args, kwargs), {}, timeout)
    succeeded, value = pickle.loads(result)
    if not succeeded:
        raise value
    return value


def _attempt(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps((True, function(*args, **kwargs)), protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        if not isinstance(error, Exception):  # it shall end this job, not the program that waits for it
            error = JobCrashed(f"the job raised {type(error).__name__}({error})")
        try:
            dumped = pickle.dumps((False, error))
            pickle.loads(dumped)  # some exceptions go in and do not come out
            return dumped
        except Exception:
            return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _fork() -> tuple[int, Callable[[], None]]:
    pid = os.fork()
    return pid, lambda: kill_group(pid)


def _after_setup(setup: Callable[[], None] | None, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    if setup is not None:
        setup()
    return function(*args, **kwargs)


def _forked(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
    setup: Callable[[], None] | None,
) -> bytes:
    for _ in range(START_ATTEMPTS):
        outcome, received, code = _fork_once(function, args, kwargs, timeout, setup)
        if outcome == "late":
            raise JobTimeout(f"no result within {timeout:g} s")
        if outcome == "ended":
            raise JobCrashed(describe_exit(code))
        if outcome == "message":
            return received
    raise JobCrashed(f"its process did not start within {START_SECONDS} s, {START_ATTEMPTS} times over")


def _fork_once(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
    setup: Callable[[], None] | None,
) -> tuple[str, bytes, int]:
    children = _children()
    with _forking:
        reader, writer = os.pipe()
        parent = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()  # or the child would print it again
        try:
            pid = children.start(_fork)
        except BaseException:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            _be_child(parent, writer, functools.partial(_after_setup, None, function, args, kwargs), setup)
        os.close(writer)
    try:
        outcome, received = _read_message(reader, pid, timeout)
    finally:
        os.close(reader)
        children.forget(pid)
        kill_group(pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return outcome, received, code


def _read_message(reader: int, pid: int, timeout: float | None) -> tuple[str, bytes]:
    """Read what the child sends: ("message", bytes), or "late", "ended" or "stuck" when it sends none.

    The child sends one byte when it is set up, then the length of its message in eight bytes, then the message.  Waiting for
    the end of the pipe would not do: processes that the child started hold it open too.
    """
    begin = time.monotonic()
    poller = select.poll()  # unlike select.select it takes file numbers above 1024
    poller.register(reader, select.POLLIN | select.POLLHUP)
    received = bytearray()
    while True:
        passed = time.monotonic() - begin
        if timeout is not None and passed >= timeout:
            return "late", b""
        if not received and passed >= START_SECONDS and not _wants_to_run(pid):
            return "stuck", b""
        wait = 0.5 if timeout is None else min(0.5, timeout - passed)
        ended = _has_ended(pid)  # asked before the pipe: all that a child has sent is in it when the child has ended
        if poller.poll(0 if ended else wait * 1000 + 1):
            chunk = os.read(reader, 1 << 20)
            received += chunk
            if len(received) >= 9 and len(received) == 9 + int.from_bytes(received[1:9], "little"):
                return "message", bytes(received[9:])
            if not chunk and ended:
                return "ended", b""
            if not chunk:
                time.sleep(0.001)  # the pipe closes a moment before the process has ended
        elif ended:
            return "ended", b""


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _wants_to_run(pid: int) -> bool:
    """Whether a process waits for a core or a disk, as on a very busy machine, and not for a lock; False if nobody knows."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "RD"
    except OSError:
        return False


def _be_child(parent: int, writer: int, function: Callable[[], Any], setup: Callable[[], None] | None) -> None:
    """Never returns.  os._exit leaves out what belongs to the parent: buffers, atexit, other threads' finally blocks."""
    global _forking
    code = 1
    try:
        gc.freeze()  # or the first collection would touch, and so copy, every object of the parent
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _forking, _thread.children = threading.Lock(), None  # the copies are locked and the parent's
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
        if setup is not None:
            setup()
        os.write(writer, b"+")
        result = _attempt(function, (), {})
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        rest = memoryview(len(result).to_bytes(8, "little") + result)
        while rest:
            rest = rest[os.write(writer, rest) :]
        code = 0
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _spawned(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
) -> bytes:
    try:
        from cloudpickle import dumps
    except ImportError:
        dumps = pickle.dumps
    with tempfile.TemporaryDirectory() as folder:
        job, answer = Path(folder, "job"), Path(folder, "answer")
        job.write_bytes(dumps((sys.path, function, args, kwargs)))
        program = "import sys; from exercise_code.child_process import spawned_main as main; main(*sys.argv[1:])"
        env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-c", program, str(os.getpid()), str(job), str(answer)]
        started: list[subprocess.Popen] = []

        def start() -> tuple[int, Callable[[], None]]:
            started.append(subprocess.Popen(command, env=env))
            return started[0].pid, started[0].kill

        children = _children()
        pid = children.start(start)
        try:
            code = started[0].wait(timeout)
        except subprocess.TimeoutExpired:
            raise JobTimeout(f"no result within {timeout:g} s") from None
        finally:
            children.forget(pid)
            started[0].kill()
            started[0].wait()
        if code != 0 or not answer.is_file():
            raise JobCrashed(describe_exit(code))
        return answer.read_bytes()


def spawned_main(parent: str, job: str, answer: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_die_with, args=(int(parent),), daemon=True).start()
    sys.path[:], function, args, kwargs = pickle.loads(Path(job).read_bytes())
    Path(answer).write_bytes(_attempt(function, args, kwargs))


def describe_exit(code: int) -> str:
    """An exit code in words.

    >>> describe_exit(3), describe_exit(-9)
    ('ended with exit code 3', 'killed by signal 9 (SIGKILL)')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    names = {item.value: item.name for item in signal.Signals}
    return f"killed by signal {-code} ({names.get(-code, 'unknown')})"
