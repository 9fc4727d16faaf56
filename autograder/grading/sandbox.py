"""The only door through which untrusted code is started: bubblewrap, a bare file system, hard limits.

As root: no user namespace; bubblewrap keeps three capabilities and `setpriv` gives them up while it changes
to an unprivileged uid (with a user namespace RLIMIT_NPROC would not count for root). As an ordinary user:
`--unshare-all`. Either way the code sees the runtime read-only, size-limited tmpfs at /tmp and /dev/shm, what
the caller mounts, and no network; a filter takes away the system calls that lead around the limits
(`system_calls`); a control group bounds all memory where one can be made (`control_groups`), else a watchdog
alone; and nothing that it started is left when it is over.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.errors import SandboxError
from autograder.grading import control_groups, system_calls
from autograder.grading.control_groups import Group
from autograder.grading.process_tree import Watch
from autograder.grading.runtime import TOOL_PATH, Layout, can_disable_user_namespaces, entry, unsafe_argv
from autograder.grading.slots import claim_uid
from autograder.grading.supervise import Completed, Limits, Supervisor, breach

__all__ = ["Completed", "Limits", "Mount", "Sandbox"]

SLOTS = 64
_TICK_S, _GROUP_TICK_S = 0.05, 0.2
# torch maps 3 GB that it never touches, so RLIMIT_AS can only be the second line of defence
_SPARE_ADDRESSES = 8 << 30
# bubblewrap, the kernel's own and what a program reads from disk; the watchdog is exact, the group is the wall behind it
_SPARE_MEMORY = 128 << 20
_ROOT_NAMESPACES = [
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-net",
    "--unshare-cgroup-try",
]
# what setpriv needs in order to drop everything
_KEEP_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
_INSTALL = "run `apt-get install bubblewrap` (or your system's equivalent)"
_USER_HINT = "an ordinary user needs user namespaces: `sysctl -w kernel.unprivileged_userns_clone=1`, or grade as root"


@dataclass(frozen=True)
class Mount:
    source: Path
    target: str  # absolute path inside
    writable: bool = False


@dataclass(frozen=True)
class Sandbox:
    """Make one with `Sandbox.detect()` or, without any isolation, `Sandbox.unsafe()`."""

    is_safe: bool
    uid: int  # what the untrusted code runs as; chown to it what it shall write
    python: str = sys.executable
    _as_root: bool = field(default=False, repr=False)

    @classmethod
    def detect(cls, slot: int = 0) -> "Sandbox":
        """The sandbox this machine can give, after a real trial run.

        Args:
            slot: 0..63. As root each slot of each process has its own uid; sandboxes that run at the same
                time need different slots, otherwise they share one count of processes.
        Raises:
            SandboxError: bubblewrap is missing or does not isolate here; the message has the line to run.
        """
        if not 0 <= slot < SLOTS:
            raise SandboxError(f"sandbox slot: expected 0..{SLOTS - 1}, got {slot}")
        if not sys.platform.startswith("linux"):
            raise SandboxError(f"the sandbox needs Linux with bubblewrap, got {sys.platform}; grade on a Linux machine")
        missing = [tool for tool in ("bwrap", "prlimit", "setpriv") if shutil.which(tool, path=TOOL_PATH) is None]
        if missing:
            raise SandboxError(f"no sandbox: {', '.join(missing)} not found; {_INSTALL}")
        if not system_calls.supported():
            raise SandboxError(f"no sandbox: no table of system calls for {platform.machine()}; use x86-64 or aarch64")
        as_root = os.geteuid() == 0
        sandbox = cls(is_safe=True, uid=claim_uid(slot) if as_root else os.getuid(), _as_root=as_root)
        sandbox._probe()
        return sandbox

    @classmethod
    def unsafe(cls) -> "Sandbox":
        """Same interface and limits, NO isolation: the code can read and write whatever the caller can."""
        return cls(is_safe=False, uid=os.getuid())

    def command(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
        limits: Limits,
        cwd: str = "/tmp",
    ) -> list[str]:
        """The full argv that runs `argv` sandboxed, for a long-lived process that somebody else starts.

        The kernel enforces processor time, file size and address space per process, and the number of
        processes; start `watch()` beside it for wall time and memory of the tree. The sandbox dies with the
        *thread* that started it. Ending it: `process_tree.kill_tree(pid)`; interrupting the program: SIGINT
        to `process_tree.payload_pid(pid)`.

        Raises:
            SandboxError: a mount does not exist or the sandbox's uid cannot use it.
        """
        return self._argv(argv, mounts, env, limits, cwd, status_fd=None, group=self._group(limits), passed=())

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
        limits: Limits,
        cwd: str = "/tmp",
        pass_fds: Sequence[int] = (),
        contents: Mapping[str, bytes] | None = None,
    ) -> Completed:
        """Run `argv` to its end or to a limit, stdin empty. When this returns, nothing of it still runs.

        Args:
            contents: path inside -> content of a read-only file there, which lies on no disk.
        Raises:
            SandboxError: the program could not be started at all; that is our fault, not the program's.
        """
        with ExitStack() as stack:
            status_in = status_out = marker = group = None
            if self.is_safe:
                status_in, status_out = os.pipe()
                stack.callback(os.close, status_in)
                held = sum(map(len, (contents or {}).values()))
                if (group := self._group(limits, held)) is not None:
                    stack.callback(group.remove)
            else:  # nothing catches a daemon here, so mark every child and look for the mark afterwards
                marker = uuid.uuid4().hex
                env = {**(env or {}), "AUTOGRADER_RUN": marker}
                if cwd == "/tmp":
                    cwd = stack.enter_context(tempfile.TemporaryDirectory(prefix="unsafe-"))
            passed = [*pass_fds, *([] if status_out is None else [status_out])]
            try:
                data: dict[str, int] = {}
                for target, content in (contents or {}).items():
                    if self.is_safe:
                        data[target] = stack.enter_context(in_memory(content))
                    else:
                        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unsafe-")), "content")
                        path.write_bytes(content)
                        mounts = [*mounts, Mount(path, target)]
                passed += data.values()
                full = self._argv(
                    argv, mounts, env, limits, cwd, status_fd=status_out, group=group, passed=passed, data=data
                )
                started = time.monotonic()
                process = subprocess.Popen(
                    full,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=passed,
                    start_new_session=True,  # Ctrl-C in the terminal is for us; we then end the sandbox
                )
            except OSError as error:
                raise SandboxError(f"could not start {argv[0]}: {error}") from error
            finally:
                if status_out is not None:
                    os.close(status_out)
            supervisor = Supervisor(process, limits, started=started, status_fd=status_in, marker=marker, group=group)
            try:
                supervisor.follow()
            finally:
                supervisor.finish()
            return supervisor.completed()

    def watch(self, pid: int, limits: Limits) -> Watch:
        """A watchdog (not started) for a process started from `command()`; `.reason` says why it ended it.

        Where a control group bounds its memory, it looks less often.
        """
        started, group = time.monotonic(), control_groups.of(pid)
        interval_s = _TICK_S if group is None else _GROUP_TICK_S
        return Watch(pid, lambda tree: breach(tree, limits, started, group), interval_s)

    def _group(self, limits: Limits, held: int = 0) -> Group | None:
        if not self.is_safe:
            return None
        return control_groups.create(limits.memory_bytes + 2 * limits.tmp_bytes + held + _SPARE_MEMORY)

    def _argv(
        self,
        argv: Sequence[str],
        mounts: Sequence[Mount],
        env: Mapping[str, str] | None,
        limits: Limits,
        cwd: str,
        status_fd: int | None,
        group: Group | None,
        passed: Sequence[int],
        data: Mapping[str, int] | None = None,
    ) -> list[str]:
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "HOME": "/tmp" if self.is_safe else cwd,
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",  # else onnxruntime starts threads, writes files and calls home
            **(env or {}),
        }
        self._check(mounts)
        rlimits = {
            "CORE": (0, 0),
            "NOFILE": (1024, 1024),
            "FSIZE": (limits.file_bytes, limits.file_bytes),
            "CPU": (limits.cpu_s, limits.cpu_s + 1),
            "AS": (limits.memory_bytes + _SPARE_ADDRESSES, limits.memory_bytes + _SPARE_ADDRESSES),
        }
        if not self.is_safe:
            targets = {mount.target: str(mount.source.absolute()) for mount in mounts}
            return unsafe_argv(list(argv), targets, environment, rlimits, cwd)
        rlimits |= {"NPROC": (limits.processes, limits.processes), "MEMLOCK": (0, 0), "MSGQUEUE": (0, 0)}

        filter_fd = next(fd for fd in range(9, 2, -1) if fd not in passed)
        full = [*entry(TOOL_PATH, group.entrance if group else None, filter_fd), "bwrap", "--seccomp", str(filter_fd)]
        full += _ROOT_NAMESPACES if self._as_root else ["--unshare-all", "--unshare-user"]
        full += ["--disable-userns"] if not self._as_root and can_disable_user_namespaces() else []
        full += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
        if self._as_root:
            full += [word for capability in _KEEP_CAPABILITIES for word in ("--cap-add", capability)]
        tmpfs = ["--perms", "1777", "--size", str(limits.tmp_bytes), "--tmpfs"]
        full += [
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            *tmpfs,
            "/dev/shm",
            # reads as zeros too, but mapping it gives no memory that belongs to nobody
            *("--dev-bind", "/dev/full", "/dev/zero"),
            "--remount-ro",
            "/dev",
            *tmpfs,
            "/tmp",
        ]
        layout = Layout()
        layout.bind_runtime()
        for mount in mounts:
            layout.bind("--bind" if mount.writable else "--ro-bind", mount.source.absolute(), mount.target)
        for target, fd in (data or {}).items():
            layout.data(fd, target)
        full += [*layout.arguments, "--remount-ro", "/", "--chdir", cwd]
        full += [word for name, value in environment.items() for word in ("--setenv", name, value)]
        full += [] if status_fd is None else ["--json-status-fd", str(status_fd)]
        full += [
            "--",
            "prlimit",
            *(f"--{name.lower()}={soft}:{hard}" for name, (soft, hard) in rlimits.items()),
        ]
        if self._as_root:
            full += [
                "setpriv",
                f"--reuid={self.uid}",
                f"--regid={self.uid}",
                "--clear-groups",
                "--no-new-privs",
            ]
            full += ["--inh-caps=-all", "--bounding-set=-all"]
        return [*full, *argv]

    def _check(self, mounts: Sequence[Mount]) -> None:
        """As root the code inside is another user, so a file of ours may exist and still be closed to it."""
        for mount in mounts:
            target = PurePosixPath(mount.target)
            if not target.is_absolute() or ".." in target.parts:
                raise SandboxError(f"mount target: expected an absolute path without '..', got {mount.target!r}")
            try:
                status = mount.source.stat()
            except OSError as error:
                raise SandboxError(f"cannot mount {mount.source}: {error.strerror}") from error
            if not self._as_root:
                continue
            wanted = 0o4 | (0o2 if mount.writable else 0) | (0o1 if mount.source.is_dir() else 0)
            mode = status.st_mode >> 6 if status.st_uid == self.uid else status.st_mode
            if mode & wanted != wanted:
                verb, fix = ("write", f"chown it to {self.uid}") if mount.writable else ("read", "chmod a+rX it")
                raise SandboxError(f"the sandbox's user {self.uid} cannot {verb} {mount.source}; {fix}")

    def _probe(self) -> None:
        limits = Limits(20.0, 10, 1 << 30, 16, 1 << 20, 4096, 1 << 20)
        code = (
            "import os,socket; filtered = 'Seccomp:\\t2\\n' in open('/proc/self/status').read(); "
            "print(os.getuid(), os.getpid(), filtered, *[name for _, name in socket.if_nameindex()])"
        )
        folders = f"{sys.prefix} {sys.base_prefix}"
        advice = f"user {self.uid} must be able to read the interpreter: `chmod -R a+rX {folders}`"
        advice = advice if self._as_root else _USER_HINT
        try:
            done = self.run([self.python, "-I", "-c", code], limits=limits)
        except SandboxError as error:
            raise SandboxError(f"the sandbox does not start here: {error}; {advice}") from error
        words = done.stdout.decode(errors="replace").split()
        if done.reason != "ok" or len(words) < 3:
            why = done.stderr_tail.strip().splitlines()[-1:] or [done.reason]
            raise SandboxError(f"the sandbox does not start here: {why[0]}; {advice}")
        if words[0] != str(self.uid) or int(words[1]) > 9 or words[2] != "True" or words[3:] not in ([], ["lo"]):
            raise SandboxError(
                f"the sandbox does not isolate here: expected uid {self.uid}, a small process id, a filter of system "
                f"calls and no network but lo, got {' '.join(words)}; use another machine"
            )


@contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A descriptor that reads `content` from its start, of a file without a name that nobody can change (Linux only)."""
    file = os.memfd_create("content", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(file, view) :]
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)
