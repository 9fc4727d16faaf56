"""Who stands where: from the results in the record to one counted submission per student, in rank order.

Before the deadline the public half of the hidden set counts, and a student's place moves only when the Ladder lets it;
after it the submission that was best on the public half counts, with its count on the private half. So what decides was
never shown while students could still react to it, and is no maximum over tries. `leaderboard/README.md` has the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.intake.deadlines import EXTENSIONS, zoned
from autograder.intake.roster import read_rows
from autograder.records.gradebook import Gradebook
from autograder.records.rows import Baseline, Result, Submission, utc_text
from leaderboard.statistics import ladder_moves, paired_tie, unpaired_tie

if TYPE_CHECKING:
    from autograder.course.manifest import Exercise


@dataclass(frozen=True)
class Part:
    """Right answers on a part of the hidden set; `right` has a bit per image, None when they were not kept."""

    correct: int
    total: int
    right: int | None

    def against(self, other: Part) -> tuple[int, int] | None:
        """(images only this has right, images only `other` has right), None when that is not known."""
        if self.right is None or other.right is None:
            return None
        return (self.right & ~other.right).bit_count(), (other.right & ~self.right).bit_count()


@dataclass(frozen=True)
class Try:
    """One submission; `stood` is the count that stood on the public part after it, None before the first."""

    submission: Submission
    result: Result | None
    stood: int | None
    moved: bool


@dataclass(frozen=True)
class Standing:
    """A student's counted submission. `shown` is the part that ranks now, `public` the part that chose it."""

    student: str
    submission: Submission
    result: Result
    shown: Part
    public: Part
    before: Part | None
    against_leader: tuple[int, int] | None = None  # disagreements with the first of the rank band, for whom first

    @property
    def order(self) -> tuple[int, str, int]:
        return -self.shown.correct, self.submission.received_at, self.submission.id


@dataclass(frozen=True)
class Board:
    """All that is known of one exercise; `standings` in rank order, `tries` of every student in order of arrival, both
    without what was withdrawn.

    `split`: public and private part differ. They do not when the manifest says so, or when results of the current
    hidden set were recorded without a bit per image.
    """

    exercise: Exercise
    meta: Mapping[str, Any] | None
    final: bool
    split: bool = False
    standings: tuple[Standing, ...] = ()
    tries: Mapping[str, tuple[Try, ...]] | None = None
    baselines: tuple[tuple[Baseline, Part], ...] = ()


def parts(row: Result | Baseline, split: bool) -> tuple[Part, Part]:
    """(public part, private part) of a result; twice the whole set when it is not split or no bits were kept."""
    public_total = row.total // 2
    if not row.public_right and not row.private_right:
        whole = Part(row.correct, row.total, None)
        return whole, whole
    halves = []
    for packed, total in ((row.public_right, public_total), (row.private_right, row.total - public_total)):
        right = int.from_bytes(packed)
        halves.append(Part(right.bit_count(), total, right))
    if split:
        return halves[0], halves[1]
    right = (halves[0].right or 0) << 8 * len(row.private_right) | (halves[1].right or 0)
    whole = Part(row.correct, row.total, right)
    return whole, whole


def board(
    exercise: Exercise,
    course_dir: Path,
    book: Gradebook,
    *,
    final: bool | None = None,
    judged: tuple[str, str] | None = None,
) -> Board:
    """The board of an exercise. `final`: rank on the private part; by default when the deadline is over. `judged`:
    (dataset version, scorer version) of the results to go by, today's when None.

    Raises:
        HiddenSetError: the hidden set's meta.json is damaged.
    """
    from autograder.grading.baselines import baseline_files
    from autograder.grading.score import SCORER_VERSION

    received = book.submissions(exercise.id)
    if final is None:
        final = is_over(last_deadline(exercise, course_dir), received)
    submissions = [row for row in received if not row.withdrawn]
    spec, look = exercise.hidden_set, exercise.board
    meta = current_meta(exercise, course_dir)
    if spec is None or look is None or meta is None:
        return Board(exercise, None, final, tries=_tries(submissions, {}, look.rank if look else "", True))
    judged = judged or (meta["version"], SCORER_VERSION)
    results = {
        (row.submission_id, row.model_file): row
        for row in book.results(exercise.id)
        if (row.dataset_version, row.scorer_version) == judged
    }
    split = spec.split and all(row.public_right for row in results.values())
    tries = _tries(submissions, results, look.rank, split)
    standings = []
    for student, mine in tries.items():
        counted = _counted(mine, split, final)
        if counted is None or counted.result is None:
            continue
        public, private = parts(counted.result, split)
        other = results.get((counted.submission.id, look.before)) if look.before else None
        before = parts(other, split)[int(final)] if other else None
        shown = private if final else public
        standings.append(Standing(student, counted.submission, counted.result, shown, public, before))
    present = {(name, sha256(data).hexdigest()) for name, data in baseline_files(course_dir, exercise.id).items()}
    scored = [row for row in book.baselines(exercise.id, *judged) if (row.name, row.sha256) in present]
    baselines = tuple((row, parts(row, split)[int(final)]) for row in sorted(scored, key=lambda row: row.name))
    return Board(exercise, meta, final, split, _banded(standings), tries, baselines)


def current_meta(exercise: Exercise, course_dir: Path) -> Mapping[str, Any] | None:
    """meta.json of the exercise's hidden set; None when it has none or it is not built yet.

    Raises:
        HiddenSetError: it is damaged.
    """
    from autograder.grading import hidden_set

    if exercise.hidden_set is None or not (course_dir / "hidden" / exercise.id / "meta.json").is_file():
        return None
    return hidden_set.load_meta(course_dir, exercise.id)


def last_deadline(exercise: Exercise, course_dir: Path) -> datetime:
    """The due date, or the last extension of it: nobody may see private counts while somebody can still hand in.

    Raises:
        SubmissionError: the file of extensions cannot be read.
    """
    path, found = course_dir / EXTENSIONS, [exercise.due]
    if path.exists():
        for _, row in read_rows(path, ("exercise", "due")):
            granted = zoned(row["due"].strip())
            if row["exercise"].strip() == exercise.id and granted is not None:
                found.append(granted)
    return max(found)


def is_over(deadline: datetime, submissions: Iterable[Submission], now: datetime | None = None) -> bool:
    """Whether the deadline has passed, by the clock or because something was received after it."""
    end = utc_text(deadline)
    return utc_text(now or datetime.now(UTC)) > end or any(row.received_at > end for row in submissions)


def _tries(
    submissions: Iterable[Submission], results: Mapping[tuple[int, str], Result], model: str, split: bool
) -> dict[str, tuple[Try, ...]]:
    """Every student's submissions, each with what stood on the public part after it."""
    found: dict[str, list[Try]] = {}
    standing: dict[str, Part] = {}
    for submission in submissions:
        result = None if submission.state == "REJECTED" else results.get((submission.id, model))
        moved = False
        if result is not None:
            public, _ = parts(result, split)
            moved = _beats(public, standing.get(submission.student))
            if moved:
                standing[submission.student] = public
        stood = standing.get(submission.student)
        row = Try(submission, result, stood.correct if stood else None, moved)
        found.setdefault(submission.student, []).append(row)
    return {student: tuple(mine) for student, mine in found.items()}


def _beats(new: Part, old: Part | None) -> bool:
    if old is None:
        return True
    gained, lost = new.against(old) or (max(0, new.correct - old.correct), 0)
    return ladder_moves(gained, lost, old.correct, old.total)


def _counted(mine: tuple[Try, ...], split: bool, final: bool) -> Try | None:
    """Before the deadline the one that stands; after it the best on the public part, the earliest of equals."""
    scored = [row for row in mine if row.result is not None]
    if not final:
        return next((row for row in reversed(scored) if row.moved), None)
    return max(scored, key=lambda row: parts(row.result, split)[0].correct if row.result else -1, default=None)


def _banded(standings: list[Standing]) -> tuple[Standing, ...]:
    """In rank order, each with its disagreements with the first of the band that it is compared with."""
    ordered: list[Standing] = []
    leader: Standing | None = None
    for row in sorted(standings, key=lambda row: row.order):
        pair = leader.shown.against(row.shown) if leader else None
        if leader is not None and pair is not None:
            row = Standing(row.student, row.submission, row.result, row.shown, row.public, row.before, pair)
        ordered.append(row)
        tied = leader is not None and (
            paired_tie(*pair) if pair else unpaired_tie(leader.shown.correct, row.shown.correct, row.shown.total)
        )
        if not tied:
            leader = row
    return tuple(ordered)
