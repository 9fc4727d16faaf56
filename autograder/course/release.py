"""Release an exercise: build, strip, scan for leaks, then write `exercises/NN_slug/`, snapshot and bundle.

Nothing of what students see is written before the scan has passed, and running it again changes no byte.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.course import build as build_step
from autograder.course import bundle, leaks
from autograder.course.manifest import Course
from autograder.errors import CourseError


@dataclass(frozen=True)
class ReleaseReport:
    """What a release wrote. `changed` tells whether any released byte differs from before."""

    exercise: str
    notebook: Path
    bundle: Path
    snapshot: Path
    bundle_sha256: str
    snapshot_sha256: str
    tasks: int
    points: int
    secret_lines: int
    changed: bool


@dataclass(frozen=True)
class Made:
    """A release in memory: path -> bytes of `exercises/NN_slug/`, of the package with its support files, of the zip.

    `secrets` maps each line that must not be shown to where it comes from.
    """

    released: dict[str, bytes]
    mounted: dict[str, bytes]
    archive: bytes
    secrets: dict[str, str]


def make(course: Course, exercise_id: str, course_dir: Path) -> Made:
    """Build, strip and scan an exercise; nothing is left in `course_dir` but nbgrader's log.

    Raises:
        ManifestError, MarkerError: the sources are not consistent.
        CourseError: nbgrader refused, or something that must stay secret would have been released.
    """
    from autograder.course import nbgrader_config  # imports nbgrader, two seconds

    exercise = course.exercise(exercise_id)
    mounted = bundle.package_snapshot(course, exercise) | bundle.support_files(course, exercise)
    (course_dir / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=course_dir / "work") as staging:  # the course folder stays as it is
        source = build_step.read_notebook(build_step.build(course, exercise_id, Path(staging)).read_bytes())
        folder = nbgrader_config.generate_assignment(
            Path(staging), exercise_id, database=False, log_dir=course_dir / "logs"
        )
        released = bundle.read_folder(folder)
    notebook = build_step.read_notebook(released[exercise.notebook])
    refuse_outputs(notebook)
    released[exercise.notebook] = build_step.notebook_bytes(notebook)
    released["exercise.json"] = bundle.exercise_json(exercise)

    files = {f"exercises/{exercise_id}/{name}": content for name, content in released.items()} | mounted
    secrets = leaks.secrets_of(course, exercise, source)
    leaks.refuse_leaks(secrets, files)
    return Made(released, mounted, bundle.zip_bytes(files), secrets)


def release(course: Course, exercise_id: str, course_dir: Path, exercises_dir: Path) -> ReleaseReport:
    """Release one exercise; earlier ones stay solved in its package, later ones are stripped too.

    Raises:
        ManifestError, MarkerError: the sources are not consistent.
        CourseError: nbgrader refused, or something that must stay secret would have been released.
    """
    from autograder.course import nbgrader_config

    course_dir, exercises_dir = Path(course_dir), Path(exercises_dir)
    exercise = course.exercise(exercise_id)
    made = make(course, exercise_id, course_dir)
    with _kept(course_dir / "source" / exercise_id, course_dir / "release" / exercise_id):
        build_step.build(course, exercise_id, course_dir)
        nbgrader_config.generate_assignment(course_dir, exercise_id)
    snapshot_dir = course_dir / "snapshot" / exercise_id
    bundle_path = course_dir / "bundles" / f"{exercise_id}.zip"
    changes = [
        bundle.write_folder(exercises_dir / exercise_id, made.released),
        bundle.write_folder(snapshot_dir, made.mounted),
        bundle.write_file(bundle_path, made.archive),
    ]
    return ReleaseReport(
        exercise=exercise_id,
        notebook=exercises_dir / exercise_id / exercise.notebook,
        bundle=bundle_path,
        snapshot=snapshot_dir / bundle.PACKAGE,
        bundle_sha256=hashlib.sha256(made.archive).hexdigest(),
        snapshot_sha256=bundle.digest(made.mounted),
        tasks=len(exercise.tasks),
        points=exercise.max_points,
        secret_lines=len(made.secrets),
        changed=any(changes),
    )


@contextmanager
def _kept(*folders: Path) -> Iterator[None]:
    """Put the folders back when the block fails: nbgrader removes a release that it could not make."""
    before = {folder: bundle.read_folder(folder) for folder in folders}
    try:
        yield
    except BaseException:
        for folder, files in before.items():
            if files:
                bundle.write_folder(folder, files)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        raise


def refuse_outputs(notebook: dict[str, Any]) -> None:
    """Raise CourseError when a cell of a notebook to be released has outputs."""
    for cell in notebook["cells"]:
        if cell.get("outputs") or cell.get("execution_count") is not None:
            raise CourseError(f"cell {cell['id']} of the released notebook has outputs; nbgrader should clear them")
