"""`score`: model -> predictions in the sandbox -> counted here against the hidden labels -> one result row.

Every step is committed before the next begins, so after `kill -9` a rerun does what is missing and nothing
twice: `running` starts again, `predicted` is counted from the stored class ids.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autograder.errors import HiddenSetError
from autograder.grading.accuracy import count_correct, public_half, split_right
from autograder.grading.baselines import score_baselines
from autograder.grading.batch import Call, Engine, run_batch
from autograder.grading.judge import Inputs, Judged, Refused, end_servers, judge_model, judge_served
from autograder.intake import store
from autograder.intake.archive import Rejected, open_submission
from autograder.records.leases import grading
from autograder.records.rows import Prediction, Result, Submission, clean

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise, ModelContract
    from autograder.grading.hidden_set import HiddenSetMeta
    from autograder.records.gradebook import Gradebook
    from exercise_code.jobs import SharingExecutor

SCORER_VERSION = "1"  # raise it when the same model on the same hidden set could get another count


@dataclass
class ScoreReport:
    """What one run did: (student, correct, total) per new result, (student, code, detail) per failure."""

    scored: list[tuple[str, int, int]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    note: str = ""  # why there was nothing to do
    baselines: list[tuple[str, int, int]] = field(default_factory=list)  # (name, correct, total) of staff models


@dataclass(frozen=True)
class Tools:
    """How a model is judged: `judge(data, contract)`, which a job runs, and whether it does that in isolation."""

    judge: Callable[[bytes, ModelContract], Judged | Refused]
    sandboxed: bool


def score(
    course: Course,
    exercise_id: str,
    course_dir: Path,
    *,
    unsafe: bool = False,
    progress: bool = True,
    engine: Engine | None = None,
    tools: Callable[[Path, int], Tools] | None = None,
) -> ScoreReport:
    """Score every collected submission of an exercise that has no result yet on the current hidden set.

    The record is the same whatever the engine and its workers are, but for the times in it.

    Args:
        unsafe: run models without any isolation; every such result is stamped `sandboxed = 0` for good.
        engine: where models run; in this process, one after the other, when None.
        tools: makes the tools from (inputs path, number of inputs); the real ones when None.

    Raises:
        CourseError: something of ours is missing or broken. A submission that it hit is tried again after all others
            and, when that does not help, left as ERROR for the next run; no student is marked for it.
    """
    from autograder.grading import hidden_set

    exercise = course.exercise(exercise_id)
    if not exercise.models:
        return ScoreReport(note=f"{exercise.id} hands in no model: nothing to score, its points come from autograde")
    if exercise.hidden_set is None:
        raise HiddenSetError(f"{exercise.id} has no [exercise.hidden_set] in {course.path}; nothing to score")
    engine = engine or Engine()
    with grading(course_dir) as book:
        meta = hidden_set.load_meta(course_dir, exercise.id)
        for model in exercise.models:
            if tuple(meta["shape"]) != tuple(model.input) or meta["num_classes"] != model.classes:
                raise HiddenSetError(
                    f"hidden set of {exercise.id}: shape {meta['shape']}, {meta['num_classes']} classes, but "
                    f"{model.file} is for {list(model.input)} and {model.classes}; build the right set"
                )
        labels = hidden_set.load_labels(course_dir, exercise.id)
        inputs = hidden_set.inputs_path(course_dir, exercise.id)
        with ExitStack() as stack:
            stack.callback(end_servers)
            pool = stack.enter_context(engine.open())
            made = tools(inputs, meta["size"]) if tools else _real_tools(inputs, meta, unsafe, engine)
            batch = _Scoring(exercise, course_dir, book, pool, made, meta["version"], labels)
            book.recover(exercise.id, batch.judged_with)
            for draft in (course_dir / "predictions").glob("*/.*"):  # of a run that was killed while it wrote
                draft.unlink(missing_ok=True)
            waiting = [row for row in book.submissions(exercise.id) if row.state in ("queued", "predicted")]
            run_batch(batch, pool, len(waiting), progress=progress)
            report = batch.report(waiting)
            report.baselines = score_baselines(
                exercise, course_dir, book, pool, made, meta["version"], SCORER_VERSION, labels
            )
        return report


def _real_tools(inputs: Path, meta: HiddenSetMeta, unsafe: bool, engine: Engine) -> Tools:
    from autograder.grading.sandbox import Sandbox

    if not unsafe:
        Sandbox.detect()  # so that a machine without one says so before anything is claimed
    made = Inputs.travelling if engine.name == "dask" else Inputs
    asked = made(inputs, meta["size"], meta["version"])
    judge = functools.partial(judge_model, asked, True) if unsafe else functools.partial(judge_served, asked)
    return Tools(judge, not unsafe)


def _judge_all(
    judge: Callable[[bytes, ModelContract], Judged | Refused], models: list[tuple[bytes, ModelContract]]
) -> list[Judged] | Refused:
    """The job: all models of one submission, up to the first that is refused."""
    answers = []
    for data, contract in models:
        answer = judge(data, contract)
        if isinstance(answer, Refused):
            return answer
        answers.append(answer)
    return answers


@dataclass
class _Scoring:
    """The work of `batch.run_batch`."""

    exercise: Exercise
    course_dir: Path
    book: Gradebook
    pool: SharingExecutor
    tools: Tools
    dataset_version: str
    labels: np.ndarray
    title: str = "score"
    scored: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    failed: dict[int, tuple[str, str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.public = public_half(self.labels)
        self.judge = self.pool.share(self.tools.judge)  # once for all jobs, with the inputs where they must travel

    @property
    def judged_with(self) -> str:
        return f"{self.dataset_version}/{SCORER_VERSION}"

    def report(self, order: list[Submission]) -> ScoreReport:
        """What was done, in the order of receipt, whichever job was the first to end."""
        numbers = [row.id for row in order]
        return ScoreReport(
            scored=[self.scored[number] for number in numbers if number in self.scored],
            failed=[self.failed[number] for number in numbers if number in self.failed],
        )

    def claim(self) -> Submission | None:
        return self.book.claim(self.exercise.id)

    def prepare(self, row: Submission) -> Call | str:
        try:
            files = open_submission(store.get(self.course_dir, row.sha256), self.exercise).files
        except Rejected as error:  # a limit was lowered after it was taken
            return self._fail(row, error.code, error.detail)
        if row.state == "predicted":
            return self._count(row, files)
        return Call(_judge_all, (self.judge, [(files[model.file], model) for model in self.exercise.models]))

    def commit(self, row: Submission, answer: list[Judged] | Refused) -> str:
        if isinstance(answer, Refused):
            return self._fail(row, answer.code, answer.detail)
        models = zip(self.exercise.models, answer, strict=True)
        self.book.set_predicted([self._store(row, model, judged) for model, judged in models])
        files = open_submission(store.get(self.course_dir, row.sha256), self.exercise).files
        return self._count(row, files)

    def broken(self, row: Submission, error: Exception) -> None:
        if self.book.submission(row.id).state in ("running", "predicted"):
            self.book.set_state(row.id, "ERROR", "ours", f"{type(error).__name__}: {error}")

    def again(self, row: Submission) -> None:
        self.book.give_back(row.id, "once more after all others")

    def give_back(self, row: Submission) -> None:
        self.book.give_back(row.id, "the run was stopped")

    def _fail(self, row: Submission, code: str, detail: str) -> str:
        self.book.set_state(row.id, "FAILED", code, detail, judged_with=self.judged_with)
        self.failed[row.id] = (row.student, code, clean(detail))
        return "FAILED"

    def _count(self, row: Submission, files: dict[str, bytes]) -> str:
        """Count the stored class ids; "" when the submission has to be predicted again."""
        results = []
        stored = self.book.predictions(row.id, self.judged_with)
        for model in self.exercise.models:
            classes = self._load(stored.get(model.file))
            if classes is None:
                self.book.set_state(row.id, "queued", detail="the stored predictions are gone or damaged")
                return ""
            correct, total, non_finite = count_correct(classes, self.labels)
            public_right, private_right = split_right(classes, self.labels, self.public)
            results.append(
                Result(
                    submission_id=row.id,
                    model_file=model.file,
                    dataset_version=self.dataset_version,
                    scorer_version=SCORER_VERSION,
                    correct=correct,
                    total=total,
                    non_finite=non_finite,
                    parameters=stored[model.file].parameters,
                    model_bytes=len(files[model.file]),
                    sandboxed=stored[model.file].sandboxed,
                    public_right=public_right,
                    private_right=private_right,
                )
            )
        self.book.set_scored(results)
        self.scored[row.id] = (row.student, results[0].correct, results[0].total)
        return "scored"

    def _store(self, row: Submission, model: ModelContract, judged: Judged) -> Prediction:
        """Class ids of one model, stored on disk before the record says that they are."""
        buffer = io.BytesIO()
        np.save(buffer, judged.classes, allow_pickle=False)
        data = buffer.getvalue()
        store.write_atomically(self._path(row.id, model.file), data, mode=0o600)
        return Prediction(
            submission_id=row.id,
            model_file=model.file,
            judged_with=self.judged_with,
            sha256=hashlib.sha256(data).hexdigest(),
            parameters=judged.parameters,
            sandboxed=self.tools.sandboxed,
        )

    def _load(self, prediction: Prediction | None) -> np.ndarray | None:
        """Stored class ids, uint8 (N,); None unless they are exactly those that were committed."""
        if prediction is None:
            return None
        path = self._path(prediction.submission_id, prediction.model_file)
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != prediction.sha256:
            return None
        return np.load(io.BytesIO(data), allow_pickle=False)

    def _path(self, submission_id: int, model_file: str) -> Path:
        return self.course_dir / "predictions" / str(submission_id) / f"{model_file}-{self.dataset_version}.npy"
