"""`integrity`: reasons for a person to look, recorded as flags with their evidence; no grade depends on any of them.

What is measured of a submission (weights' fingerprint, answers on changed images) is kept in the record, so that a rerun
does what is missing. What is flagged is compared with the class (`records.outliers`); a flag once raised stays until a
person settles it, and is not raised again from the same data.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from autograder.grading import model_fingerprint, perturbed
from autograder.grading.batch import Engine
from autograder.grading.judge import Judged, borrowed, judge_model, judge_with
from autograder.intake import store
from autograder.intake.archive import Opened, Rejected, open_submission
from autograder.records import outliers
from autograder.records.gradebook import Gradebook
from autograder.records.grades import Grade, grades
from autograder.records.leases import grading
from autograder.records.staff import Flag, Raised
from autograder.records.standing import current_meta, parts

if TYPE_CHECKING:
    from autograder.course.manifest import Course, Exercise, ModelContract
    from autograder.records.rows import Result, Submission
    from exercise_code.jobs import SharingExecutor

VERSION = "1"  # raise it when the same record could give other flags
SAME_WEIGHTS, CLOSE_ERRORS, MEMORISED, CLAIM = "same_weights", "close_errors", "memorised", "claim"
ENOUGH_AXES = 0.5  # of a model's weight matrices' axes that another one has
LEAST_LOSS = 0.05  # of the images, beyond the class's typical loss on changed ones
_BATCH = 16  # jobs between two commits
LEAST_CLAIM = 0.05  # between claim and measurement, beyond the class's typical gap


@dataclass
class IntegrityReport:
    """What stands open now, a pair once, how many of these flags are new, and what could not be judged."""

    flags: list[Flag] = field(default_factory=list)
    students: dict[int, str] = field(default_factory=dict)  # submission -> who handed it in
    new: int = 0
    notes: list[str] = field(default_factory=list)

    def who(self, flag: Flag) -> str:
        """The student of a flag, or both."""
        numbers = [flag.submission_id] + ([flag.other_id] if flag.other_id is not None else [])
        return ", ".join(sorted(self.students[number] for number in numbers))


def integrity(
    course: Course,
    exercise_id: str,
    course_dir: Path,
    *,
    unsafe: bool = False,
    engine: Engine | None = None,
    progress: bool = True,
) -> IntegrityReport:
    """Measure what is not measured yet, raise the flags of an exercise, and list those that are open.

    Raises:
        CourseError: something of ours is missing or broken; what was measured stays.
    """
    exercise = course.exercise(exercise_id)
    report = IntegrityReport()
    with grading(course_dir) as book:
        report.students = {row.id: row.student for row in book.submissions(exercise.id)}
        meta = current_meta(exercise, course_dir)
        if meta is None:
            report.notes.append("no model to look at: flags come from identical files and from autograde only")
        else:
            look = _Look(exercise, course_dir, book, str(meta["version"]), report.notes)
            look.measure(engine or Engine(), unsafe, progress)
            basis = f"{meta['version']}/integrity {VERSION}"
            before = len(_once(book.flags(exercise.id, settled=True)))
            book.add_flags(look.raised(), who=f"integrity {VERSION}", basis=basis)
            report.new = len(_once(book.flags(exercise.id, settled=True))) - before
        report.flags = _once(book.flags(exercise.id))
    return report


def _once(flags: list[Flag]) -> list[Flag]:
    """One side of every pair."""
    return [flag for flag in flags if flag.other_id is None or flag.submission_id < flag.other_id]


def _submit(pool: SharingExecutor, judge: Any, model: ModelContract, data: bytes) -> Future:
    return pool.submit(judge_with, judge, data, model)


def _fingerprint(unsafe: bool, data: bytes) -> model_fingerprint.Fingerprint | None:
    with borrowed(unsafe) as sandbox:
        return model_fingerprint.fingerprint(sandbox, data)


@dataclass
class _Look:
    exercise: Exercise
    course_dir: Path
    book: Gradebook
    dataset_version: str
    notes: list[str]

    def __post_init__(self) -> None:
        from autograder.grading.score import SCORER_VERSION

        self.grades: dict[str, Grade] = grades(self.exercise, self.course_dir, self.book)
        self.results: dict[tuple[int, str], Result] = {
            (row.submission_id, row.model_file): row
            for row in self.book.results(self.exercise.id)
            if (row.dataset_version, row.scorer_version) == (self.dataset_version, SCORER_VERSION)
        }
        scored = {number for number, _ in self.results}
        self.scored = [row for row in self.book.submissions(self.exercise.id) if row.id in scored]
        self.counted = [grade.standing.submission for grade in self.grades.values() if grade.standing]

    def _opened(self, row: Submission) -> Opened | None:
        try:
            return open_submission(store.get(self.course_dir, row.sha256), self.exercise)
        except Rejected:  # a limit was lowered after it was taken
            return None

    # measuring

    @staticmethod
    def _weights(model: ModelContract) -> tuple[str, str]:
        return f"weights of {model.file}", model_fingerprint.VERSION

    def _answers(self, model: ModelContract) -> tuple[str, str]:
        return f"changed images, {model.file}", f"{self.dataset_version}/{perturbed.VERSION}"

    def measure(self, engine: Engine, unsafe: bool, progress: bool) -> None:
        """Run in sandboxes what has not been measured yet, committing each answer as it comes."""
        with engine.open() as pool, perturbed.changed_images(self.exercise, self.course_dir) as changed:
            inputs = changed.inputs
            if engine.name == "dask":
                inputs = type(inputs).travelling(inputs.path, inputs.n, inputs.version)
            judge = pool.share(functools.partial(judge_model, inputs, unsafe))
            for model in self.exercise.models:
                weights, answers = self._weights(model), self._answers(model)
                self._measure(
                    *(weights, model, self.scored, _dumped, progress),
                    submit=lambda data: pool.submit(_fingerprint, unsafe, data),
                )
                self._measure(
                    *(answers, model, self.counted, functools.partial(_counted, changed), progress),
                    submit=functools.partial(_submit, pool, judge, model),
                )

    def _measure(
        self,
        kind: tuple[str, str],
        model: ModelContract,
        rows: list[Submission],
        content: Callable[[Any], object],
        progress: bool,
        *,
        submit: Callable[[bytes], Future],
    ) -> None:
        known = self.book.measurements(self.exercise.id, *kind)
        waiting = [row for row in rows if row.id not in known]
        console = Console(stderr=True)
        batches = [waiting[start : start + _BATCH] for start in range(0, len(waiting), _BATCH)]
        for batch in track(batches, kind[0], console=console, transient=True, disable=not progress):
            jobs = {}
            for row in batch:
                opened = self._opened(row)
                if opened is not None:
                    jobs[row.id] = submit(opened.files[model.file])
            found = {number: content(job.result()) for number, job in jobs.items()}
            self.book.add_measurements(*kind, found)

    # flags

    def raised(self) -> Iterator[Raised]:
        """Every reason that there is now."""
        for model in self.exercise.models:
            alike = list(self._same_weights(model))
            yield from alike
            yield from self._close_errors(model, self._copied(alike))
            yield from self._memorised(model)
            yield from self._claims(model)

    def _same_weights(self, model: ModelContract) -> Iterator[Raised]:
        """Of each two students the two submissions that have most in common."""
        found = self.book.measurements(self.exercise.id, *self._weights(model))
        rows = [row for row in self.scored if found.get(row.id)]
        unread = [row for row in self.scored if row.id in found and not found[row.id]]
        if unread:
            self.notes.append(f"{model.file}: weights of submissions {_numbers(unread)} could not be read")
        prints = [model_fingerprint.Fingerprint.model_validate(found[row.id]) for row in rows]
        closest: dict[tuple[str, str], tuple[float, Submission, Submission]] = {}
        for (i, j), share in model_fingerprint.shared(prints).items():
            one, other = rows[i], rows[j]
            key = min(one.student, other.student), max(one.student, other.student)
            if one.student != other.student and share >= ENOUGH_AXES and share > closest.get(key, (0.0,))[0]:
                closest[key] = share, one, other
        exact = {row.id: each.exact for row, each in zip(rows, prints, strict=True)}
        for share, one, other in closest.values():
            how = "equal numbers" if exact[one.id] == exact[other.id] else f"{100 * share:.0f} % of the weights equal"
            yield Raised(
                one.id,
                SAME_WEIGHTS,
                f"{model.file} of {_named(one)} and {_named(other)}: {how} up to names, order, type, permuted or scaled "
                "units",
                other.id,
            )

    def _copied(self, alike: list[Raised]) -> set[str]:
        """Of each two students with the same weights one: known already, and no part of what a class is like."""
        owner, found = {row.id: row.student for row in self.scored}, set[str]()
        for flag in alike:
            pair = {owner[flag.submission_id], owner[flag.other_id or flag.submission_id]}
            if not pair & found:
                found.add(max(pair))
        return found

    def _close_errors(self, model: ModelContract, known: set[str]) -> Iterator[Raised]:
        rows = [row for row in self.counted if (row.id, model.file) in self.results and row.student not in known]
        whole = [parts(self.results[row.id, model.file], split=False)[0] for row in rows]
        if len(rows) < outliers.FEWEST or any(part.right is None for part in whole):
            self.notes.append(f"{model.file}: {len(rows)} scored students, at least {outliers.FEWEST} make a class")
            return
        right = np.array([_bits(self.results[row.id, model.file]) for row in rows])
        for pair in outliers.closer_than_the_crowd(right):
            one, other = rows[pair.one], rows[pair.other]
            yield Raised(
                one.id,
                CLOSE_ERRORS,
                f"{model.file} of {_named(one)} and {_named(other)}: right and wrong on the same images but "
                f"{pair.differ} of {right.shape[1]}, kappa {pair.kappa:.3f}; the students next closest to them "
                f"reach {pair.crowd:.3f}; chance in this class {pair.chance:.1g}",
                other.id,
            )

    def _memorised(self, model: ModelContract) -> Iterator[Raised]:
        found = self.book.measurements(self.exercise.id, *self._answers(model))
        rows = [row for row in self.counted if found.get(row.id)]
        if len(rows) < outliers.FEWEST:
            return
        for name in perturbed.VARIANTS[1:]:
            _, lost, gained = np.array([found[row.id][name] for row in rows], dtype=np.float64).T
            images = found[rows[0].id]["plain"][1]
            losses = (lost - gained) / images
            error = np.sqrt(np.maximum(lost + gained - (lost - gained) ** 2 / images, 1)) / images
            chance = len(rows) * (len(perturbed.VARIANTS) - 1) * outliers.tail(losses, error)
            typical = float(np.median(losses))
            for row, loss, p in zip(rows, losses, chance, strict=True):
                if p < outliers.ALPHA and loss - typical >= LEAST_LOSS:
                    before = found[row.id]["plain"][0] / images
                    yield Raised(
                        row.id,
                        MEMORISED,
                        f"{model.file} has {100 * before:.1f} % of {images} hidden images right and {100 * loss:.1f} "
                        f"points less of the same images changed ({name}), where the class loses {100 * typical:.1f}; "
                        f"chance in this class {p:.1g}",
                    )

    def _claims(self, model: ModelContract) -> Iterator[Raised]:
        claims: list[tuple[Submission, float, float]] = []
        for row in self.counted:
            opened, result = self._opened(row), self.results.get((row.id, model.file))
            if opened is not None and result is not None and model.file in opened.claim.claimed:
                claims.append((row, opened.claim.claimed[model.file], result.correct / result.total))
        if len(claims) < outliers.FEWEST:
            return
        _, claimed, measured = zip(*claims, strict=True)
        gaps = np.array(claimed) - np.array(measured)
        chance, typical = len(claims) * outliers.tail(gaps), float(np.median(gaps))
        for (row, said, was), gap, p in zip(claims, gaps, chance, strict=True):
            if p < outliers.ALPHA and gap - typical >= LEAST_CLAIM:
                yield Raised(
                    row.id,
                    CLAIM,
                    f"{model.file}: claimed {100 * said:.1f} %, measured {100 * was:.1f} %; the class's typical gap is "
                    f"{100 * typical:.1f} points; chance in this class {p:.1g}",
                )


def _dumped(found: model_fingerprint.Fingerprint | None) -> object:
    return found.model_dump() if found else None


def _counted(changed: perturbed.Changed, judged: object) -> object:
    return changed.count(judged) if isinstance(judged, Judged) else None


def _bits(result: Result) -> np.ndarray:
    """bool (N,): which images of both halves of the hidden set a model has right."""
    public = result.total // 2
    halves = ((result.public_right, public), (result.private_right, result.total - public))
    return np.concatenate([np.unpackbits(np.frombuffer(data, np.uint8), count=n) for data, n in halves]).astype(bool)


def _named(row: Submission) -> str:
    return f"submission {row.id} of {row.student}"


def _numbers(rows: list[Submission]) -> str:
    shown = ", ".join(str(row.id) for row in itertools.islice(rows, 10))
    return shown if len(rows) <= 10 else f"{shown} and {len(rows) - 10} more"
