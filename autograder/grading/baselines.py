"""The staff's own models, scored as a student's are: same checks, same sandbox, same hidden images, same count.

A baseline is a file `<course_dir>/baselines/<exercise>/<name>.onnx`; its name is what the board calls it, for example
`linear` or `reference`. So each number of a baseline on the board is one that was measured on that very hidden set.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autograder.errors import HiddenSetError
from autograder.grading.accuracy import count_correct, public_half, split_right
from autograder.grading.judge import Refused, judge_with
from autograder.records.rows import Baseline

if TYPE_CHECKING:
    from autograder.course.manifest import Exercise
    from autograder.grading.score import Tools
    from autograder.records.gradebook import Gradebook
    from exercise_code.jobs import SharingExecutor

FOLDER = "baselines"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def baseline_files(course_dir: Path, exercise_id: str) -> dict[str, bytes]:
    """The staff's models of an exercise, name -> content, in order of name; empty when there is no folder.

    Raises:
        HiddenSetError: a file whose name the board cannot show.
    """
    files = {}
    for path in sorted((course_dir / FOLDER / exercise_id).glob("*.onnx")):
        if not _NAME.fullmatch(path.stem):
            raise HiddenSetError(f"{path}: expected a name like linear.onnx or reference.onnx; rename the file")
        files[path.stem] = path.read_bytes()
    return files


def score_baselines(
    exercise: Exercise,
    course_dir: Path,
    book: Gradebook,
    pool: SharingExecutor,
    tools: Tools,
    dataset_version: str,
    scorer_version: str,
    labels: np.ndarray,
) -> list[tuple[str, int, int]]:
    """Score what has no result yet on this hidden set; (name, correct, total) of each new one.

    Raises:
        HiddenSetError: a baseline that would be refused if a student handed it in.
    """
    assert exercise.board is not None  # a hidden set without models is refused by the manifest
    contract = next(model for model in exercise.models if model.file == exercise.board.rank)
    known = {(row.name, row.sha256) for row in book.baselines(exercise.id, dataset_version, scorer_version)}
    judge, jobs = pool.share(tools.judge), []
    for name, data in baseline_files(course_dir, exercise.id).items():
        sha256 = hashlib.sha256(data).hexdigest()
        if (name, sha256) not in known:
            jobs.append((name, data, sha256, pool.submit(judge_with, judge, data, contract)))
    scored = []
    for name, data, sha256, job in jobs:
        judged = job.result()
        if isinstance(judged, Refused):
            raise HiddenSetError(
                f"baseline {name} of {exercise.id}: {judged.code}, {judged.detail}; mend or remove the file"
            )
        classes = judged.classes
        correct, total, _ = count_correct(classes, labels)
        public, private = split_right(classes, labels, public_half(labels))
        book.add_baseline(
            Baseline(
                exercise=exercise.id,
                name=name,
                sha256=sha256,
                dataset_version=dataset_version,
                scorer_version=scorer_version,
                correct=correct,
                total=total,
                parameters=judged.parameters,
                model_bytes=len(data),
                sandboxed=tools.sandboxed,
                public_right=public,
                private_right=private,
            )
        )
        scored.append((name, correct, total))
    return scored
