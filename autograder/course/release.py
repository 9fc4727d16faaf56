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


def release(course: Course, exercise_id: str, course_dir: Path, exercises_dir: Path) -> ReleaseReport:
    """Release one exercise; earlier ones stay solved in its package, later ones are stripped too.

    Raises:
        ManifestError, MarkerError: the sources are not consistent.
        CourseError: nbgrader refused, or something that must stay secret would have been released.
    """
    from autograder.course import nbgrader_config  # imports nbgrader, two seconds

    course_dir, exercises_dir = Path(course_dir), Path(exercises_dir)
    exercise = course.exercise(exercise_id)
    snapshot = bundle.package_snapshot(course, exercise)
    support = bundle.support_files(course, exercise)
    (course_dir / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=course_dir / "work") as staging:  # the course folder stays as it is
        source = build_step.read_notebook(build_step.build(course, exercise_id, Path(staging)).read_bytes())
        made = nbgrader_config.generate_assignment(
            Path(staging), exercise_id, database=False, log_dir=course_dir / "logs"
        )
        released = bundle.read_folder(made)
    notebook = build_step.read_notebook(released[exercise.notebook])
    _refuse_outputs(notebook)
    released[exercise.notebook] = build_step.notebook_bytes(notebook)
    released["exercise.json"] = bundle.exercise_json(exercise)

    folder = f"exercises/{exercise_id}/"
    files = {folder + name: content for name, content in released.items()} | snapshot | support
    secrets = leaks.secrets_of(course, exercise, source)
    leaks.refuse_leaks(secrets, files)
    archive = bundle.zip_bytes(files)

    with _kept(course_dir / "source" / exercise_id, course_dir / "release" / exercise_id):
        build_step.build(course, exercise_id, course_dir)
        nbgrader_config.generate_assignment(course_dir, exercise_id)
    mounted = {name: content for name, content in files.items() if not name.startswith(folder)}
    snapshot_dir = course_dir / "snapshot" / exercise_id
    bundle_path = course_dir / "bundles" / f"{exercise_id}.zip"
    changes = [
        bundle.write_folder(exercises_dir / exercise_id, released),
        bundle.write_folder(snapshot_dir, mounted),
        bundle.write_file(bundle_path, archive),
    ]
    return ReleaseReport(
        exercise=exercise_id,
        notebook=exercises_dir / exercise_id / exercise.notebook,
        bundle=bundle_path,
        snapshot=snapshot_dir / bundle.PACKAGE,
        bundle_sha256=hashlib.sha256(archive).hexdigest(),
        snapshot_sha256=bundle.digest(mounted),
        tasks=len(exercise.tasks),
        points=exercise.max_points,
        secret_lines=len(secrets),
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


def _refuse_outputs(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        if cell.get("outputs") or cell.get("execution_count") is not None:
            raise CourseError(f"cell {cell['id']} of the released notebook has outputs; nbgrader should clear them")
