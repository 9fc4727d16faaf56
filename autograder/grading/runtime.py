"""What every sandbox sees of this machine, read-only: /usr, the interpreter, the virtual environment."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from autograder.grading import system_calls

TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# where libraries lie; Debian's BLAS is such a link
_PUBLIC_FILES = ("/etc/ld.so.cache", "/etc/alternatives")


@functools.cache
def runtime_roots() -> tuple[Path, ...]:
    """Folders outside /usr that are mounted whole: interpreter and virtual environment, named and resolved.

    Nothing secret may lie below them or below /usr.
    """
    folders = [Path(sys.prefix), Path(sys.base_prefix)]
    program = Path(sys.executable)
    for _ in range(40):  # venv/bin/python is a link to a link ...; each hop must exist inside as well
        folders.append(program.parent)
        if not program.is_symlink():
            break
        program = Path(os.path.normpath(program.parent / os.readlink(program)))
    candidates = {path for folder in folders for path in (folder.absolute(), folder.resolve())}
    roots: list[Path] = []
    for path in sorted(candidates, key=lambda path: (len(path.parts), path)):
        if not any(path.is_relative_to(root) for root in (Path("/usr"), *roots)):
            roots.append(path)
    return tuple(roots)


class Layout:
    """bubblewrap arguments that build the file system; missing parents are made first, with mode 0755."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self._made = {PurePosixPath(path) for path in ("/", "/tmp", "/dev", "/proc", "/usr")}
        self._bound: list[PurePosixPath] = []

    def data(self, fd: int, target: str) -> None:
        """A read-only file in memory with what `fd` gives, readable for every user inside."""
        self.bind("--ro-bind-data", str(fd), target, "--perms", "0644")

    def bind(self, option: str, source: Path | str, target: str, *before: str) -> None:
        inside = PurePosixPath(target)
        for parent in reversed(inside.parents):
            if parent not in self._made and not any(parent.is_relative_to(path) for path in self._bound):
                # bubblewrap would create it with mode 0700, closed to the uid that we change to afterwards
                self.arguments += ["--perms", "0755", "--dir", str(parent)]
                self._made.add(parent)
        self.arguments += [*before, option, str(source), str(inside)]
        self._bound.append(inside)

    def bind_runtime(self) -> None:
        self.bind("--ro-bind", "/usr", "/usr")
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            path = Path("/", name)
            if path.is_symlink():
                self.arguments += ["--symlink", os.readlink(path), str(path)]
            elif path.is_dir():
                self.bind("--ro-bind", path, str(path))
        for name in _PUBLIC_FILES:
            self.bind("--ro-bind-try", name, name)
        for root in runtime_roots():
            if not any(root.is_relative_to(name) for name in ("/bin", "/lib")):  # links into /usr
                self.bind("--ro-bind", root, str(root))


@functools.cache
def can_disable_user_namespaces() -> bool:
    """bubblewrap >= 0.8 can forbid further user namespaces, where the code could mount its own memory."""
    shown = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)
    return "--disable-userns" in shown.stdout + shown.stderr


# ends when the grader has died meanwhile; joins the control group while it is still the grader, then opens the filter of
# system calls
_ENTER = (
    """[ "$PPID" = "$3" ] || exit 125; [ -z "$1" ] || echo $$ >"$1" || exit 125; exec {fd}<"$2"; shift 3; exec "$@" """
)


def entry(path: str, group: Path | None, filter_fd: int) -> list[str]:
    """What stands before bubblewrap: an empty environment, default signals, the group, the filter of system calls.

    Args:
        filter_fd: 3 to 9 (a shell knows no others), and none that is passed on.

    The first process's environment can be read inside through /proc, so bubblewrap itself starts with none; a
    grader that runs in the background ignores SIGINT, and a kernel must not inherit that. Whoever asks for this must be
    the process that then starts it, and it ends with that process from its first moment on: bubblewrap's own
    --die-with-parent comes some milliseconds later.
    """
    setpriv = shutil.which("setpriv", path=path) or "setpriv"
    clean = [setpriv, "--pdeathsig", "KILL", "/usr/bin/env", "-i", "--default-signal", f"PATH={path}"]
    return [
        *clean,
        "/bin/sh",
        "-c",
        _ENTER.format(fd=filter_fd),
        "sandbox",
        str(group or ""),
        system_calls.program_path(),
        str(os.getpid()),
    ]


def bubblewrap_version() -> str:
    """What bubblewrap calls itself, "" where it does not start."""
    shown = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


_LIMIT_AND_EXEC = """
import os, resource, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT):  # ignored by whatever runs in the background
    signal.signal(number, signal.SIG_DFL)
for item in sys.argv[1].split(","):
    name, soft, hard = item.split(":")
    try:
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (int(soft), int(hard)))
    except (AttributeError, ValueError, OSError):
        pass  # macOS lacks some of them
os.chdir(sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
"""


def unsafe_argv(
    argv: list[str],
    targets: Mapping[str, str],
    env: Mapping[str, str],
    rlimits: Mapping[str, tuple[int, int]],
    cwd: str,
) -> list[str]:
    """Plain execution with resource limits; what would be a mount target is replaced by its source.

    RLIMIT_NPROC is left out: without a user namespace it counts everything that the user runs.
    """

    def outside(text: str) -> str:
        for target, source in targets.items():
            if text == target or text.startswith(target + "/"):
                return source + text[len(target) :]
        return text

    limits = ",".join(f"{name}:{soft}:{hard}" for name, (soft, hard) in rlimits.items())
    environment = [f"{name}={outside(value)}" for name, value in env.items()]
    starter = [sys.executable, "-I", "-c", _LIMIT_AND_EXEC, limits, outside(cwd)]
    return ["/usr/bin/env", "-i", *environment, *starter, *(outside(word) for word in argv)]
