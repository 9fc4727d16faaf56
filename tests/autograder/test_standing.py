"""From results to standings: halves, the Ladder, the final choice, pairs, baselines, who opted out, and what never leaves."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autograder.course.manifest import BoardSpec, Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.errors import CourseError, HiddenSetError
from autograder.grading.accuracy import count_correct, public_half, split_right
from autograder.grading.baselines import score_baselines
from autograder.grading.judge import Judged, Refused
from autograder.grading.score import Tools
from autograder.records.export import export_grades, scores_bytes
from autograder.records.gradebook import Gradebook
from autograder.records.preview import preview
from autograder.records.pseudonyms import pseudonyms
from autograder.records.publish import publish
from autograder.records.rows import Prediction, Result
from autograder.records.standing import board, is_over, last_deadline, parts
from exercise_code.jobs import executor
from leaderboard.build import site_files
from leaderboard.reading import parse

DUE = datetime(2126, 12, 16, 15, tzinfo=UTC)  # far ahead: the clock of the test must not end the term
TIME = DUE - timedelta(days=15)
N = 1_000
MODELS = tuple(ModelContract(f"{name}.onnx", (3, 32, 32), 10, 1_000_000, 3_000_000) for name in ("baseline", "tuned"))
EXERCISE = Exercise(
    id="06_hyperopt",
    title="Hyperopt",
    due=DUE,
    cell_timeout_s=10,
    notebook_timeout_s=20,
    data=("mnist",),
    tasks=(Task("tpe", 2),),
    models=MODELS,
    hidden_set=HiddenSetSpec("mnist", 48),
    board_spec=BoardSpec("tuned.onnx", "baseline.onnx"),
)
LABELS = np.random.default_rng(0).integers(0, 10, N).astype(np.uint8)
PUBLIC = public_half(LABELS)


def course(exercise=EXERCISE):
    return Course("Course", "2126w", (exercise,), Path("solutions/course.toml"))


@pytest.fixture
def book(tmp_path):
    folder = tmp_path / "hidden" / EXERCISE.id
    folder.mkdir(parents=True)
    meta = {"schema": 1, "exercise": EXERCISE.id, "version": "v1", "size": N, "num_classes": 10}
    meta |= {"shape": [3, 32, 32], "source": "mnist", "standin": False}
    (folder / "meta.json").write_text(json.dumps(meta))
    with Gradebook(tmp_path, create=True) as opened:
        yield opened


def answers(public, private, start=0):
    """Class ids with so many right on each half; `start` shifts which ones."""
    classes = (LABELS + 1) % 10
    for half, count in ((PUBLIC, public), (~PUBLIC, private)):
        right = np.roll(np.flatnonzero(half), -start)[:count]
        classes[right] = LABELS[right]
    return classes.astype(np.uint8)


def hand_in(book, student, minutes, tuned, baseline=None, state="scored"):
    """One submission with its predictions; `tuned` None: it failed."""
    sha = f"{len(book.submissions()):064x}"
    number = book.add_submission(EXERCISE.id, student, sha, TIME + timedelta(minutes=minutes)).submission_id
    book.set_state(number, "running")
    if tuned is None:
        book.set_state(number, "FAILED", "timeout", "the secret detail", judged_with="v1/1")
        return number
    results = []
    for file, classes in (("baseline.onnx", baseline if baseline is not None else tuned), ("tuned.onnx", tuned)):
        correct, total, _ = count_correct(classes, LABELS)
        bits = split_right(classes, LABELS, PUBLIC)
        results.append(Result(number, file, "v1", "1", correct, total, 0, 1_234, 5_678, True, *bits))
    book.set_predicted([Prediction(number, row.model_file, "v1/1", "0" * 64, 1, True) for row in results])
    book.set_scored(results)
    return number


def standings(book, final, exercise=EXERCISE):
    found = board(exercise, book.path.parent, book, final=final)
    return {row.student: (row.submission.id, row.shown.correct, row.shown.total) for row in found.standings}


def test_the_public_half_is_exactly_half_fixed_and_has_nothing_to_do_with_the_classes():
    assert PUBLIC.dtype == bool and PUBLIC.sum() == N // 2
    assert (public_half(LABELS) == PUBLIC).all()
    assert public_half(LABELS[:7]).sum() == 3
    other = LABELS.copy()
    other[0] ^= 1
    assert 0.4 < (public_half(other) == PUBLIC).mean() < 0.6  # a new key, a new half
    shares = [PUBLIC[label == LABELS].mean() for label in range(10)]
    assert min(shares) > 0.3 and max(shares) < 0.7


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 1_000, 1_001])
def test_the_bits_of_both_halves_add_up_to_the_count(n):
    rng = np.random.default_rng(n)
    labels = rng.integers(0, 3, n).astype(np.uint8)
    guess = rng.integers(0, 3, n).astype(np.uint8)
    guess[0] = 255
    correct, total, _ = count_correct(guess, labels)
    row = Result(1, "m", "v", "1", correct, total, 0, 1, 1, True, *split_right(guess, labels, public_half(labels)))
    public, private = parts(row, True)
    assert (public.correct + private.correct, public.total + private.total) == (correct, total)
    whole, same = parts(row, False)
    assert whole == same and whole.right.bit_count() == whole.correct == correct


def test_before_the_deadline_the_public_half_counts_and_only_a_clear_improvement_moves_it(book):
    first = hand_in(book, "anna", 0, answers(250, 400))
    hand_in(book, "anna", 1, answers(256, 100))  # 6 images more, one standard error of the score is 11
    assert standings(book, False) == {"anna": (first, 250, 500)}
    third = hand_in(book, "anna", 2, answers(280, 90))
    hand_in(book, "anna", 3, None)
    hand_in(book, "anna", 4, answers(100, 500))
    assert standings(book, False) == {"anna": (third, 280, 500)}
    tries = board(EXERCISE, book.path.parent, book, final=False).tries["anna"]
    assert [(one.stood, one.moved) for one in tries] == [
        *((250, True), (250, False), (280, True)),
        *((280, False), (280, False)),
    ]


def test_after_the_deadline_the_best_on_the_public_half_is_ranked_with_its_private_count(book):
    hand_in(book, "anna", 0, answers(250, 400))
    best = hand_in(book, "anna", 1, answers(256, 100))
    hand_in(book, "anna", 2, answers(256, 499))  # as good in public, but later: the private half must not choose
    other = hand_in(book, "ben", 3, answers(200, 130))
    assert standings(book, True) == {"anna": (best, 100, 500), "ben": (other, 130, 500)}
    assert list(standings(book, True)) == ["ben", "anna"] and list(standings(book, False)) == ["anna", "ben"]


def test_a_set_that_is_not_split_counts_as_a_whole_before_and_after(book):
    exercise = replace(EXERCISE, hidden_set=HiddenSetSpec("mnist", 48, split=False))
    number = hand_in(book, "anna", 0, answers(250, 400))
    for final in (False, True):
        assert standings(book, final, exercise) == {"anna": (number, 650, 1_000)}


def test_the_grade_is_the_final_boards_whatever_the_day(book, tmp_path):
    hand_in(book, "anna", 0, answers(250, 239))
    hand_in(book, "ben", 1, answers(100, 240))
    out = tmp_path / "grades.csv"
    export_grades(course(), tmp_path, {}, out)
    lines = [line.split(",") for line in out.read_text().splitlines()]
    at = [lines[0].index(name) for name in ("student_id", "correct", "total", "passed")]
    assert [[line[i] for i in at] for line in lines[1:]] == [["anna", "239", "500", "no"], ["ben", "240", "500", "yes"]]


def test_the_deadline_is_over_by_the_clock_or_by_what_was_received():
    late = [SimpleNamespace(received_at="2126-12-16T15:00:00.000001Z")]
    assert not is_over(DUE, [], DUE) and is_over(DUE, [], DUE + timedelta(microseconds=1))
    assert is_over(DUE, late, TIME) and not is_over(DUE, [], None)


def test_the_private_half_stays_closed_until_the_last_extension_has_ended(tmp_path):
    assert last_deadline(EXERCISE, tmp_path) == DUE
    rows = [
        "student_id,exercise,due",
        "anna,06_hyperopt,2126-12-20T15:59:59+01:00",
        "ben,04_grid_search,2127-01-01T00:00:00Z",
    ]
    (tmp_path / "extensions.csv").write_text("\n".join(rows))
    assert last_deadline(EXERCISE, tmp_path) == datetime(2126, 12, 20, 14, 59, 59, tzinfo=UTC)


def test_pairs_are_counted_image_by_image_against_the_first_of_the_band(book):
    hand_in(book, "anna", 0, answers(300, 0))
    hand_in(book, "ben", 1, answers(295, 0))  # a subset of anna's: 5 against none
    hand_in(book, "cleo", 2, answers(290, 0))  # 10 against none: a band of its own
    hand_in(book, "dora", 3, answers(289, 0, start=40))
    rows = board(EXERCISE, book.path.parent, book, final=False).standings
    assert [(row.student, row.against_leader) for row in rows] == [
        ("anna", None),
        ("ben", (5, 0)),
        ("cleo", (10, 0)),
        ("dora", (40, 39)),
    ]


def test_before_and_after_are_compared_on_the_same_images_of_the_same_submission(book, tmp_path):
    hand_in(book, "anna", 0, tuned=answers(300, 310), baseline=answers(280, 300, start=10))
    entry = json.loads(scores_bytes(course(), tmp_path, book))["exercises"][0]["entries"][0]
    assert entry["before"] == {"correct": 280, "gained": 20, "lost": 0} and entry["correct"] == 300


def test_the_leaderboard_accepts_what_is_exported_in_both_phases(book, tmp_path):
    for number in range(12):
        student = f"s{number:02}"
        hand_in(book, student, number, answers(200 + 7 * number, 300 - 9 * number, start=3 * number))
        hand_in(book, student, 20 + number, answers(230, 250, start=number))
    hand_in(book, "late", 50, None)
    for exercise, phase in ((EXERCISE, "public"), (replace(EXERCISE, due=DUE - timedelta(days=90)), "final")):
        scores = parse(scores_bytes(course(exercise), tmp_path, book))
        assert scores.exercises[0].phase == phase and len(scores.exercises[0].entries) == 12
        assert len(scores.exercises[0].histories) == 13
        files = site_files(scores, "ab" * 32)
        assert sum(name.startswith("u/") for name in files) == 13


def test_who_opted_out_keeps_the_rank_and_has_neither_pseudonym_nor_history(book, tmp_path):
    for number, student in enumerate(("anna", "ben", "cleo")):
        hand_in(book, student, number, answers(300 - 50 * number, 200))
    (tmp_path / "opt_out.txt").write_text("ben\n")
    found = json.loads(scores_bytes(course(), tmp_path, book))["exercises"][0]
    users = pseudonyms(tmp_path, "2126w", ["anna", "cleo"])
    assert [entry["user"] for entry in found["entries"]] == [users["anna"], None, users["cleo"]]
    assert set(found["histories"]) == set(users.values())
    assert "ben" not in json.loads((tmp_path / "pseudonyms.json").read_text())["terms"]["2126w"]


def run_baselines(book, tmp_path, judge=lambda data, _contract: Judged(len(data), answers(len(data), 300))):
    with executor("serial") as pool:
        return score_baselines(EXERCISE, tmp_path, book, pool, Tools(judge, True), "v1", "1", LABELS)


def test_baselines_are_scored_once_on_the_same_images_and_shown_with_the_part_that_counts(book, tmp_path):
    folder = tmp_path / "baselines" / EXERCISE.id
    folder.mkdir(parents=True)
    (folder / "linear.onnx").write_bytes(b"x" * 111)
    (folder / "reference.onnx").write_bytes(b"y" * 222)
    assert run_baselines(book, tmp_path) == [("linear", 411, 1_000), ("reference", 522, 1_000)]
    assert run_baselines(book, tmp_path) == []
    shown = json.loads(scores_bytes(course(), tmp_path, book))["exercises"][0]["baselines"]
    assert [(row["name"], row["correct"], row["total"]) for row in shown] == [
        ("linear", 111, 500),
        ("reference", 222, 500),
    ]
    (folder / "linear.onnx").write_bytes(b"x" * 99)
    (folder / "reference.onnx").unlink()
    assert run_baselines(book, tmp_path) == [("linear", 399, 1_000)]
    shown = json.loads(scores_bytes(course(), tmp_path, book))["exercises"][0]["baselines"]
    assert [(row["name"], row["correct"]) for row in shown] == [("linear", 99)]


def test_a_baseline_that_a_student_could_not_hand_in_is_an_error_of_ours(book, tmp_path):
    folder = tmp_path / "baselines" / EXERCISE.id
    folder.mkdir(parents=True)
    (folder / "Linear model.onnx").write_bytes(b"x")
    with pytest.raises(HiddenSetError, match="rename the file"):
        run_baselines(book, tmp_path)
    (folder / "Linear model.onnx").rename(folder / "linear.onnx")
    with pytest.raises(HiddenSetError, match="baseline linear of 06_hyperopt: not_onnx, no"):
        run_baselines(book, tmp_path, lambda _data, _contract: Refused("not_onnx", "no"))


def test_nothing_of_a_student_but_pseudonym_day_and_counts_is_in_any_published_byte(book, tmp_path):
    names = {"anna": "Anna Bauer", "ben": "Ben Weiss", "cleo": "Cleo Zander"}
    for number, student in enumerate(names):
        hand_in(book, student, 1 + 7 * number, answers(300 - 30 * number, 200, start=number))
        hand_in(book, student, 31 + number, None)
    (tmp_path / "opt_out.txt").write_text("cleo\n")
    roster = tmp_path / "roster.csv"
    roster.write_text("student_id,name\n" + "".join(f"{key},{name}\n" for key, name in names.items()))
    publish(course(), tmp_path, roster, tmp_path / "site")
    everything = {path.name: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()}
    everything["scores.json"] = (tmp_path / "scores.json").read_bytes()
    rows = book.submissions()
    secrets = [*names.values(), *(part for name in names.values() for part in name.split()[1:]), "secret detail"]
    secrets += (
        [row.sha256 for row in rows] + [row.received_at[10:19] for row in rows] + [row.created_at for row in rows]
    )
    secrets += [bits.hex() for row in book.results(EXERCISE.id) for bits in (row.public_right, row.private_right)]
    for name, content in everything.items():
        text = content.decode("utf-8")
        for secret in secrets:
            assert secret.lower() not in text.lower(), (name, secret)
        assert not re.search(r"\b(anna|ben|cleo)\b", text, re.IGNORECASE), name
    site = b"".join(content for name, content in everything.items() if name != "scores.json")
    for bits in (row.public_right for row in book.results(EXERCISE.id)):
        assert bits not in site


def test_the_preview_serves_the_site_to_this_machine_only_and_ends(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html>here")
    with preview(tmp_path, 0) as site:
        assert site.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(site.url) as answer:
            assert b"here" in answer.read() and answer.headers["Cache-Control"] == "no-store"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{site.url}../../etc/passwd")
        port = int(site.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(CourseError, match="another --port"), preview(tmp_path, port):
            pass
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(site.url)
