"""A control group for each sandbox where this machine lets us make one: memory then counts whatever it is.

The watchdog sees the pages of processes, files and sockets; only the kernel sees all of its own memory. Both
hierarchies are tried: v2 (`memory.max`) and the older v1 (`memory.limit_in_bytes`). Without either the watchdog
and the filter of system calls stand alone.
"""

import atexit
import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "autograder-"
_NAME = re.compile(rf"{_PREFIX}(\d+)-\d+")
_START_S = 60.0  # a sandbox has entered its group long before
_numbers = itertools.count()


@dataclass(frozen=True)
class Group:
    path: Path

    @property
    def entrance(self) -> Path:
        """The file that a process writes its id to in order to be in the group, with all that it starts."""
        return self.path / "cgroup.procs"

    def ran_out(self) -> bool:
        """Whether the kernel has ended something in it for want of memory."""
        text = ""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                text += (self.path / name).read_text()
        return any(int(count) for count in re.findall(r"^oom_kill (\d+)$", text, re.MULTILINE))

    def remove(self) -> None:
        """Take an empty group away; a group that is gone or still in use is left alone."""
        with suppress(OSError):
            self.path.rmdir()
            atexit.unregister(self.remove)


def create(memory_bytes: int, parents: tuple[Path, ...] | None = None) -> Group | None:
    """A new group with a hard limit and no swap; None where none can be made.

    Args:
        memory_bytes: everything together: processes, files in memory, the kernel's own.
        parents: folders to try in this order; this machine's when None.
    """
    for parent in places() if parents is None else parents:
        _sweep(parent)
        group = Group(parent / f"{_PREFIX}{os.getpid()}-{next(_numbers)}")
        try:
            group.path.mkdir()
        except OSError:
            continue
        if _limit(group.path, memory_bytes) and os.access(group.entrance, os.W_OK):
            atexit.register(group.remove)  # a kernel that nobody ended in time is ended by then
            return group
        group.remove()
    return None


def of(pid: int) -> Group | None:
    """The group of ours that a process is in."""
    with suppress(OSError):
        for place, path in _memberships(Path(f"/proc/{pid}/cgroup").read_text()):
            if _NAME.fullmatch(Path(path).name):
                return Group(_below(place, path))
    return None


def places() -> tuple[Path, ...]:
    """Where a group could be made: our own group and those above it (in v2 a group with processes has none below)."""
    found: list[Path] = []
    with suppress(OSError):
        for place, path in _memberships(Path("/proc/self/cgroup").read_text()):
            own = _below(place, path)
            found += [folder for folder in (own, *own.parents) if folder.is_relative_to(place) and folder.is_dir()]
    return tuple(dict.fromkeys(found))


def _limit(folder: Path, memory_bytes: int) -> bool:
    """Write the limits; False when this group knows no limit of memory."""
    for limit, more in (
        ("memory.max", {"memory.swap.max": "0", "memory.oom.group": "1"}),
        ("memory.limit_in_bytes", {"memory.memsw.limit_in_bytes": str(memory_bytes), "memory.swappiness": "0"}),
    ):
        try:
            with open(folder / limit, "r+") as file:  # never makes a file
                file.write(str(memory_bytes))
        except OSError:
            continue
        for name, value in more.items():
            with suppress(OSError), open(folder / name, "r+") as file:
                file.write(value)
        return True
    return False


def _memberships(text: str) -> Iterator[tuple[Path, str]]:
    """(mount point, path in it) of the hierarchies that limit memory; `text` is a process's cgroup file."""
    mounts: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            mounts.setdefault("", Path(before.split()[4]))
        elif kind == "cgroup" and "memory" in options.split(","):
            mounts.setdefault("memory", Path(before.split()[4]))
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            if name in mounts:
                yield mounts[name], path


def _below(place: Path, path: str) -> Path:
    return place / path.lstrip("/")


def _sweep(parent: Path) -> None:
    """Empty groups of graders that were killed, and of kernels of ours that have ended."""
    with suppress(OSError):
        for folder in parent.glob(f"{_PREFIX}*"):
            found = _NAME.fullmatch(folder.name)
            dead = found is not None and not Path(f"/proc/{found[1]}").exists()
            if dead:  # bubblewrap that lost its parent in the middle of its setup waits for it for ever
                for pid in (folder / "cgroup.procs").read_text().split():
                    with suppress(OSError):
                        os.kill(int(pid), signal.SIGKILL)
            if found and (dead or _is_old(folder)):
                Group(folder).remove()  # refused by the kernel while anything is in it


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > _START_S
