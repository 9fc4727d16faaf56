"""What every kernel of an exercise would do again: compiling the package and listing the fonts, done once per release.

The results are folders of the term, made from trusted files alone and only ever mounted read-only.
"""

from __future__ import annotations

import atexit
import compileall
import functools
import importlib.metadata
import os
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.course import bundle
from autograder.grading.sandbox import Limits, Sandbox

COURSE = "/course"  # where the sandbox sees the bundle's package and registry
_FONTS = (
    "import matplotlib.font_manager as fonts\n"
    "fonts.json_dump(fonts.fontManager, 'fonts')\n"
    "print(f'fontlist-v{fonts.FontManager.__version__}.json')\n"
    "print(open('fonts').read())"
)
_LIMITS = Limits(120.0, 120, 1 << 30, 32, 8 << 20, 8 << 20, 64 << 20)


@dataclass(frozen=True)
class Warm:
    """Folders for a kernel: the released package with its bytecode, and matplotlib's cache, None where nobody plots.

    files: their content by path, for workers that may be on other machines.
    """

    course: Path
    fonts: Path | None
    files: tuple[tuple[str, bytes], ...] = ()

    def travelling(self) -> Warm:
        """With the content, which a worker unpacks once where the folders are not there."""
        folders = [folder for folder in (self.course, self.fonts) if folder is not None]
        paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        return replace(self, files=tuple((str(path), path.read_bytes()) for path in paths))

    def here(self) -> Warm:
        """The folders on this machine."""
        return self if self.course.is_dir() or not self.files else _unpacked(self)


@functools.lru_cache(maxsize=2)
def _unpacked(warm: Warm) -> Warm:
    home = Path(tempfile.mkdtemp(prefix="warm-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.chmod(0o755)
    for name, content in warm.files:
        bundle.write_file(home / name.lstrip("/"), content)

    def moved(folder: Path) -> Path:
        return home / str(folder).lstrip("/")

    there = Warm(moved(warm.course), None if warm.fonts is None else moved(warm.fonts))
    if there.fonts is not None:
        there.fonts.mkdir(parents=True, exist_ok=True)
    for path in home.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return there


def warm(course_dir: Path, exercise_id: str, digest: str, *, plots: bool, sandbox: Sandbox) -> Warm:
    """The folders for this release; made when there are none.

    Args:
        digest: of the snapshot, so that another release gets another folder.
        plots: whether the notebook imports matplotlib.

    Raises:
        SandboxError: the sandbox does not start.
    """
    home = course_dir / "warm"
    course = home / f"{exercise_id}-{digest[:16]}-{sys.implementation.cache_tag}"
    if not course.is_dir():
        for old in home.glob(f"{exercise_id}-*"):
            shutil.rmtree(old, ignore_errors=True)
        _place(course, lambda folder: _compile(course_dir / "snapshot" / exercise_id, folder))
    fonts = home / f"fonts-{_version('matplotlib')}"
    if plots and not fonts.is_dir():
        _place(fonts, lambda folder: _list_fonts(folder, sandbox))
    return Warm(course, fonts if plots else None)


def _place(target: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder in one step; the sandbox reads it as another user."""
    target.parent.mkdir(exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    try:
        fill(fresh)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        with suppress(OSError):  # somebody else was faster
            os.replace(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _compile(snapshot: Path, folder: Path) -> None:
    shutil.copytree(snapshot, folder, dirs_exist_ok=True)
    compileall.compile_dir(
        folder,
        quiet=2,
        stripdir=str(folder),
        prependdir=COURSE,  # what a traceback shows
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )


def _list_fonts(folder: Path, sandbox: Sandbox) -> None:
    """Inside, because that is where the fonts are looked for; without matplotlib the folder stays empty."""
    done = sandbox.run([sandbox.python, "-c", _FONTS], limits=_LIMITS, env={"PYTHONDONTWRITEBYTECODE": "1"})
    name, _, content = done.stdout.partition(b"\n")
    if done.reason == "ok" and name.isascii() and Path(name.decode()).name == name.decode():
        (folder / name.decode()).write_bytes(content)


def _version(package: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return "none"
