"""`score`: model -> predictions in the sandbox -> counted here against the hidden labels -> one result row.

Every step is committed before the next begins, so after `kill -9` a rerun does what is missing and nothing
twice: `running` starts again, `predicted` is counted from the stored class ids.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from autograder.errors import CourseError, HiddenSetError, RecordsError
from autograder.grading.accuracy import count_correct, public_half, split_right
from autograder.grading.baselines import score_baselines
from autograder.intake import store
from autograder.intake.archive import Rejected, open_submission
from autograder.records.gradebook import Gradebook
from autograder.records.lock import coordinator
from autograder.records.rows import Prediction, Result, Submission, clean

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise, ModelContract

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
    """The two steps that read a student's model: `check(data, contract)` returns facts with `.parameters`,
    `predict(model_path, contract)` returns uint8 (N,) class ids; both raise one of `refusals`.
    """

    check: Callable[[bytes, ModelContract], Any]
    predict: Callable[[Path, ModelContract], np.ndarray]
    refusals: tuple[type[Exception], ...]  # exceptions with .code and .detail that are the student's fault
    sandboxed: bool


def score(
    course: Course,
    exercise_id: str,
    course_dir: Path,
    *,
    unsafe: bool = False,
    progress: bool = True,
    tools: Callable[[Path, int], Tools] | None = None,
) -> ScoreReport:
    """Score every collected submission of an exercise that has no result yet on the current hidden set.

    Args:
        unsafe: run models without any isolation; every such result is stamped `sandboxed = 0` for good.
        tools: makes the tools from (inputs path, number of inputs); the real ones when None.

    Raises:
        CourseError: something of ours is missing or broken. The submission in hand becomes ERROR and is tried
            again by the next run, after all others; no student is marked for it.
    """
    from autograder.grading import hidden_set

    exercise = course.exercise(exercise_id)
    if not exercise.models:
        return ScoreReport(note=f"{exercise.id} hands in no model: nothing to score, its points come from autograde")
    if exercise.hidden_set is None:
        raise HiddenSetError(f"{exercise.id} has no [exercise.hidden_set] in {course.path}; nothing to score")
    with coordinator(course_dir), Gradebook(course_dir) as book:
        meta = hidden_set.load_meta(course_dir, exercise.id)
        for model in exercise.models:
            if tuple(meta["shape"]) != tuple(model.input) or meta["num_classes"] != model.classes:
                raise HiddenSetError(
                    f"hidden set of {exercise.id}: shape {meta['shape']}, {meta['num_classes']} classes, but "
                    f"{model.file} is for {list(model.input)} and {model.classes}; build the right set"
                )
        labels = hidden_set.load_labels(course_dir, exercise.id)
        inputs = hidden_set.inputs_path(course_dir, exercise.id)
        made = tools(inputs, meta["size"]) if tools else _real_tools(inputs, meta["size"], unsafe)
        batch = _Batch(exercise, course_dir, book, made, meta["version"], labels)
        book.recover(exercise.id, batch.judged_with)
        report = batch.run(progress)
        report.baselines = score_baselines(exercise, course_dir, book, made, meta["version"], SCORER_VERSION, labels)
        return report


def _real_tools(inputs: Path, n: int, unsafe: bool) -> Tools:
    from autograder.grading.model_inspect import inspect_model
    from autograder.grading.model_refusal import ModelRefused
    from autograder.grading.predict import PredictionFailed, predict
    from autograder.grading.sandbox import Sandbox

    sandbox = Sandbox.unsafe() if unsafe else Sandbox.detect()
    return Tools(
        check=lambda data, contract: inspect_model(sandbox, data, contract),
        predict=lambda path, contract: predict(sandbox, path, inputs, n, contract.classes),
        refusals=(ModelRefused, PredictionFailed),
        sandboxed=sandbox.is_safe,
    )


@dataclass
class _Batch:
    exercise: Exercise
    course_dir: Path
    book: Gradebook
    tools: Tools
    dataset_version: str
    labels: np.ndarray
    report: ScoreReport = field(default_factory=ScoreReport)

    def __post_init__(self) -> None:
        self.public = public_half(self.labels)

    @property
    def judged_with(self) -> str:
        return f"{self.dataset_version}/{SCORER_VERSION}"

    @property
    def _faults(self) -> tuple[type[Exception], ...]:
        return (Rejected, *self.tools.refusals)

    def run(self, progress: bool) -> ScoreReport:
        waiting = [row for row in self.book.submissions(self.exercise.id) if row.state in ("queued", "predicted")]
        with Progress(console=Console(stderr=True), transient=True, disable=not progress) as bar:
            task = bar.add_task("score", total=len(waiting))
            while submission := self.book.claim(self.exercise.id):
                try:
                    done = self._one(submission)
                except (CourseError, OSError, MemoryError) as error:
                    self._ours(submission, error)
                    text = clean(f"{error}" or type(error).__name__)
                    if isinstance(error, CourseError):
                        raise
                    raise RecordsError(
                        f"submission {submission.id}: {text}; nobody was marked, run it again"
                    ) from error
                except Exception as error:
                    self._ours(submission, error)  # a bug: the next run takes it last, so that it holds up nobody
                    raise
                bar.advance(task, int(done))
        return self.report

    def _one(self, submission: Submission) -> bool:
        """One step; False when the submission has to be predicted again."""
        try:
            files = open_submission(store.get(self.course_dir, submission.sha256), self.exercise).files
            facts = {model.file: self.tools.check(files[model.file], model) for model in self.exercise.models}
            if submission.state == "running":
                self.book.set_predicted([self._predict(submission, model, files) for model in self.exercise.models])
        except self._faults as error:
            code, detail = str(getattr(error, "code", "failed")), str(getattr(error, "detail", error))
            self.book.set_state(submission.id, "FAILED", code, detail, judged_with=self.judged_with)
            self.report.failed.append((submission.student, code, clean(detail)))
            return True
        results = []
        stored = self.book.predictions(submission.id, self.judged_with)
        for model in self.exercise.models:
            classes = self._load(stored.get(model.file))
            if classes is None:
                self.book.set_state(submission.id, "queued", detail="the stored predictions are gone or damaged")
                return False
            correct, total, non_finite = count_correct(classes, self.labels)
            public_right, private_right = split_right(classes, self.labels, self.public)
            results.append(
                Result(
                    submission_id=submission.id,
                    model_file=model.file,
                    dataset_version=self.dataset_version,
                    scorer_version=SCORER_VERSION,
                    correct=correct,
                    total=total,
                    non_finite=non_finite,
                    parameters=facts[model.file].parameters,
                    model_bytes=len(files[model.file]),
                    sandboxed=stored[model.file].sandboxed,
                    public_right=public_right,
                    private_right=private_right,
                )
            )
        self.book.set_scored(results)
        self.report.scored.append((submission.student, results[0].correct, results[0].total))
        return True

    def _predict(self, submission: Submission, model: ModelContract, files: dict[str, bytes]) -> Prediction:
        """Class ids of one model, stored on disk before the record says that they are."""
        work = self.course_dir / "work"
        work.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="score-", dir=work))
        try:
            path = folder / "model.onnx"
            path.write_bytes(files[model.file])
            path.chmod(0o644)
            classes = self.tools.predict(path, model)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        buffer = io.BytesIO()
        np.save(buffer, classes, allow_pickle=False)
        data = buffer.getvalue()
        store.write_atomically(self._path(submission.id, model.file), data, mode=0o600)
        return Prediction(
            submission_id=submission.id,
            model_file=model.file,
            judged_with=self.judged_with,
            sha256=hashlib.sha256(data).hexdigest(),
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

    def _ours(self, submission: Submission, error: BaseException) -> None:
        """Record an error of ours; if even that fails the row stays `running`, to be recovered."""
        try:
            if self.book.submission(submission.id).state in ("running", "predicted"):
                self.book.set_state(submission.id, "ERROR", "ours", f"{type(error).__name__}: {error}")
        except RecordsError:
            return
