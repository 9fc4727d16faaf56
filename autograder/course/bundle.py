"""The zip that students receive: notebook, package snapshot, data registry, requirements and a README.

The top-level names are those of the repository, so a student's folder grows week by week in one shape.
Everything is made in memory and in sorted order: the same sources give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from autograder.course.manifest import PACKAGE, Course, Exercise
from autograder.course.strip import strip_regions
from autograder.errors import CourseError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_NOT_SHIPPED = {"tests", "__pycache__"}
_README = """\
# {name}: {title}

Exercise `{id}`, due {due}.

1. Make an environment once: `python -m venv .venv`, then `.venv/bin/pip install -r requirements.txt`
   (Windows: `.venv\\Scripts\\pip`).
2. Open `exercises/{id}/{id}.ipynb` with `.venv/bin/jupyter lab` and work through it from the top.
   Where a cell says `raise NotImplementedError(...)`, put your own code in its place.
3. Hand in the zip that the last cell of the notebook writes.

| task | points |
|---|---|
{rows}
"""


def package_snapshot(course: Course, exercise: Exercise) -> dict[str, bytes]:
    """Return path -> bytes of the package with everything from this exercise on taken out.

    Raises:
        MarkerError: a marker is wrong, or what is left of a file is not Python.
        CourseError: no package, or a link in it that could point anywhere.
    """
    folder = course.root / PACKAGE
    if not (folder / "__init__.py").is_file():
        raise CourseError(f"no package at {folder}; the manifest must be in solutions/ beside {PACKAGE}/")
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if _NOT_SHIPPED & set(parts) or any(part.startswith(".") for part in parts) or path.suffix == ".pyc":
            continue
        if path.is_symlink():
            raise CourseError(f"{path} is a symbolic link; put a file there, a bundle cannot carry links")
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".py":
            stripped = strip_regions(
                content.decode("utf-8"), from_exercise=exercise.id, name=str(path), known=course.ids
            )
            content = stripped.encode("utf-8")
        files["/".join((PACKAGE, *parts))] = content
    return files


def support_files(course: Course, exercise: Exercise) -> dict[str, bytes]:
    """Return what a bundle holds besides notebook and package: registry, requirements, README."""
    files: dict[str, bytes] = {}
    for name in ("datasets/registry.toml", "datasets/README.md", "requirements.txt"):
        path = course.root / name
        if path.is_file():
            files[name] = path.read_bytes()
        elif name == "requirements.txt" or (name == "datasets/registry.toml" and exercise.data):
            raise CourseError(f"{path} is missing, the bundle of {exercise.id} needs it")
    rows = "\n".join(
        [f"| {task.id} | {task.points} |" for task in exercise.tasks]
        + [f"| {question.id} (in words, graded by hand) | {question.points} |" for question in exercise.questions]
    )
    due = exercise.due.isoformat(sep=" ", timespec="minutes")
    readme = _README.format(name=course.name, title=exercise.title, id=exercise.id, due=due, rows=rows)
    return files | {"README.md": readme.encode("utf-8")}


def exercise_json(exercise: Exercise) -> bytes:
    """Return what `exercise_code.submit` reads beside the notebook: which models to hand in, within which limits."""
    facts = {
        "schema": 1,
        "exercise": exercise.id,
        "due": exercise.due.isoformat(),
        "models": [dataclasses.asdict(model) for model in exercise.models],
    }
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Pack path -> bytes into a zip whose bytes depend on nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16  # Unix, rw-r--r--
            archive.writestr(info, files[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def digest(files: Mapping[str, bytes]) -> str:
    """Return the sha256 of a set of files, by path and content."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return total.hexdigest()


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of all files below a folder, empty when there is none."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_file(path: Path, content: bytes) -> bool:
    """Replace a file in one step; say whether its bytes changed."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    return True


def write_folder(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Make a folder hold exactly these files, replacing it as a whole; say whether anything changed."""
    if folder.is_dir() and read_folder(folder) == dict(files):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    for name, content in files.items():
        write_file(fresh / name, content)
    for path in (fresh, *fresh.rglob("*")):  # the sandbox reads snapshots as another user
        path.chmod(0o755 if path.is_dir() else 0o644)
    if folder.exists():
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".old-"))
        os.replace(folder, old / "was")
        os.replace(fresh, folder)
        shutil.rmtree(old)
    else:
        os.replace(fresh, folder)
    return True
