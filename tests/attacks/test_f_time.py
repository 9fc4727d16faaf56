"""4f: copies, clocks, deadlines, crashes, and what is already published."""

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from autograder.course.manifest import Quota
from autograder.errors import HiddenSetError, RecordsError, SandboxError, SubmissionError
from autograder.grading import score as score_module
from autograder.grading.score import score
from autograder.intake import store
from autograder.intake.deadlines import both
from autograder.records.export import scores_bytes
from autograder.records.gradebook import Gradebook
from autograder.records.publish import publish

ROOT = Path(__file__).resolve().parents[2]


def results(house):
    with Gradebook(house.course_dir) as book:
        return book.results(house.exercise.id)


@pytest.mark.attack(58, verdict="SCORED, both flagged for staff")
def test_a_byte_identical_model_flags_both_and_costs_neither(house, models, tools):
    data = house.files("anna")["model.onnx"]
    house.hand_in("anna", model__onnx=data)
    house.hand_in("ben", model__onnx=data)
    house.grade()
    for name in ("anna", "ben"):
        assert house.verdict(name) == f"SCORED({tools.HONEST})"
        assert "duplicate" in house.rows(name)[0].flags
    assert "duplicate" not in house.rows("honest")[0].flags


@pytest.mark.attack(59, 60, verdict="SCORED: never an automatic penalty")
def test_a_disguised_copy_is_scored_like_any_other(house, models, tools):
    weights = np.eye(8, 4, dtype=np.float32)
    variants = {
        "saved again": [numpy_helper.from_array(weights, "w")],
        "scaled": [numpy_helper.from_array(weights * 3, "w")],
        "noised": [numpy_helper.from_array(weights + np.float32(1e-6), "w")],
    }
    for name, initializers in variants.items():
        house.hand_in(name, model__onnx=models.bytes(initializers=initializers))
    house.grade()
    assert {house.verdict(name) for name in variants} == {f"SCORED({tools.HONEST})"}


@pytest.mark.attack(61, 67, verdict="unchanged: no new row, no quota, no new time")
def test_a_replay_of_ones_own_hand_in_changes_nothing(house, tools):
    house.with_exercise(quota=Quota(per_day=1))
    house.grade()
    (before,) = house.rows("honest")
    scored = results(house)
    for days in range(3):
        outcomes = {row.outcome for row in house.collect(now=tools.DUE - timedelta(days=days, hours=2)).rows}
        assert outcomes == {"unchanged"}
        house.unharmed(score(house.course, house.exercise.id, house.course_dir, progress=False))
    assert house.rows("honest") == [before] and results(house) == scored


@pytest.mark.attack(62, verdict="received-at is ours")
def test_times_of_files_and_in_files_are_never_believed(house, tools):
    claim = {"schema": 1, "exercise": house.exercise.id, "claimed": {}, "received_at": "2020-01-01T00:00:00Z"}
    house.hand_in("forger", submission__json=json.dumps(claim).encode())
    path = house.drop / f"{house.student('forger')}.zip"
    os.utime(path, (0, 0))
    house.grade(now=tools.DUE + timedelta(seconds=-1))
    assert house.rows("forger")[0].received_at == "2026-12-16T14:59:58.000000Z"
    late = house.hand_in("late forger")
    os.utime(house.drop / f"{house.student('late forger')}.zip", (0, 0))
    house.collect(now=tools.DUE + timedelta(seconds=1))
    assert late and house.verdict("late forger") == "REJECTED(late)"


@pytest.mark.attack(63, verdict="in time if received_at <= due, as instants")
@pytest.mark.parametrize(
    ("due", "received", "in_time"),
    [
        ("2026-12-16T15:59:59+01:00", "2026-12-16T14:59:59+00:00", True),
        ("2026-12-16T15:59:59+01:00", "2026-12-16T14:59:59.000001+00:00", False),
        ("2026-12-16T15:59:59+01:00", "2026-12-16T23:59:59+09:00", True),  # the same instant elsewhere
        ("2026-10-25T02:30:00+02:00", "2026-10-25T02:29:00+01:00", False),  # the hour that comes twice
        ("2026-10-25T02:30:00+01:00", "2026-10-25T02:31:00+02:00", True),
        ("2027-03-28T03:00:00+02:00", "2027-03-28T01:00:00+00:00", True),  # the hour that does not exist
        ("2028-02-29T12:00:00+01:00", "2028-02-29T11:00:00+00:00", True),
        ("2028-02-29T12:00:00+01:00", "2028-03-01T00:00:00+01:00", False),
    ],
)
def test_deadlines_are_compared_as_instants(house, due, received, in_time):
    house.with_exercise(due=datetime.fromisoformat(due))
    house.hand_in("anna")
    house.collect(now=datetime.fromisoformat(received))
    assert house.verdict("anna") == ("queued" if in_time else "REJECTED(late)")
    if not in_time:
        assert "UTC" in house.detail("anna") and house.detail("anna").count("20") >= 2


@pytest.mark.attack(63, verdict="refused: a time without a zone")
@pytest.mark.parametrize("text", ["2026-12-16T15:59:59", "2026-12-16", "yesterday", "2026-02-30T00:00:00Z", ""])
def test_a_time_without_a_zone_is_no_time(house, text):
    house.hand_in("anna")
    (house.drop / "received.csv").write_text(f"file,received_at\n{house.student('anna')}.zip,{text}\n")
    with pytest.raises(SubmissionError, match="line 2.*zone"):
        house.collect()
    (house.drop / "received.csv").unlink()
    (house.course_dir / "extensions.csv").write_text(
        f"student_id,exercise,due\n{house.student('anna')},{house.exercise.id},{text}\n"
    )
    with pytest.raises(SubmissionError, match="line 2.*zone"):
        house.collect()
    assert not (house.course_dir / "records.db").exists()


@pytest.mark.attack(64, verdict="REJECTED(late), later SCORED by an extension, with the first time")
def test_an_extension_that_is_granted_afterwards_takes_the_same_hand_in(house, tools):
    zone = timezone(timedelta(hours=1))
    at = tools.DUE + timedelta(hours=5)
    house.hand_in("anna")
    house.hand_in("ben")
    house.collect(now=at)
    assert house.verdict("anna") == house.verdict("ben") == "REJECTED(late)"
    extended = (tools.DUE + timedelta(days=1)).astimezone(zone)
    (house.course_dir / "extensions.csv").write_text(
        f"student_id,exercise,due\n{house.student('anna')},{house.exercise.id},{extended.isoformat()}\n"
    )
    house.collect(now=at + timedelta(days=3))  # staff are slow: what counts is when it was first received
    score(house.course, house.exercise.id, house.course_dir, progress=False)
    assert house.verdict("anna") == f"SCORED({tools.HONEST})" and house.verdict("ben") == "REJECTED(late)"
    first, second = house.rows("anna")
    assert first.received_at == second.received_at == at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert second.late, "it was after the common deadline, and the record says so"
    with Gradebook(house.course_dir) as book:
        assert any("extension" in event.detail and "+0100" in event.detail for event in book.events(second.id))
    house.hide(seed=3)  # graded again, on another set: the time stays
    score(house.course, house.exercise.id, house.course_dir, progress=False)
    assert house.rows("anna")[1].received_at == second.received_at
    assert both(extended).endswith("UTC (2026-12-17 15:59:59 +0100)")


def one_intake(folder, number, barrier):
    """In a process of its own: one of many hand-ins of one student, all at once."""
    barrier.wait()
    with Gradebook(folder) as book:
        book.add_submission(
            "04_grid_search", "anna", f"{number:064x}", datetime(2026, 12, 1, 10, tzinfo=UTC), quota=Quota(per_day=7)
        )
    os._exit(0)


@pytest.mark.attack(65, verdict="exactly the quota")
def test_fifty_intakes_at_once_take_exactly_the_quota(tmp_path):
    with Gradebook(tmp_path, create=True):
        pass
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(50)
    processes = [context.Process(target=one_intake, args=(tmp_path, number, barrier)) for number in range(50)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 50
    with Gradebook(tmp_path) as book:
        rows = book.submissions("04_grid_search")
    assert len(rows) == 50
    assert sorted(row.state for row in rows) == ["REJECTED"] * 43 + ["queued"] * 7
    assert {row.code for row in rows if row.state == "REJECTED"} == {"quota"}


@pytest.mark.attack(65, verdict="one row each, one order")
def test_many_hand_ins_in_one_second_are_all_there_in_one_order(house, tools):
    moment = tools.DUE - timedelta(days=2)
    for number in range(20):
        house.hand_in(f"student {number}")
    house.collect(now=moment)
    with Gradebook(house.course_dir) as book:
        rows = book.submissions(house.exercise.id)
    assert len(rows) == 20 and len({row.id for row in rows}) == 20
    assert [row.student for row in rows] == sorted(row.student for row in rows)


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from autograder.course.manifest import load
from autograder.grading.score import score
score(load(sys.argv[2]), "04_grid_search", Path(sys.argv[3]), progress=False)
"""
MANIFEST = """
[course]
name = "Course"
term = "2026w"
[[exercise]]
id = "04_grid_search"
title = "Hyper-parameter search"
due = "2026-12-16T15:59:59+01:00"
cell_timeout_s = 10
notebook_timeout_s = 20
[[exercise.task]]
id = "tanh"
points = 2
[[exercise.model]]
file = "model.onnx"
input = [1, 2, 4]
classes = 4
max_parameters = 2000
max_bytes = 100000
max_flops = 1000000
[exercise.hidden_set]
dataset = "toy"
pass_percent = 48
"""


@pytest.mark.slow
@pytest.mark.attack(66, 67, verdict="SCORED once each")
def test_kill_9_at_any_moment_and_a_rerun_give_one_grade_each(house, tools, tmp_path):
    for number in range(6):
        house.hand_in(f"student {number}")
    house.hand_in("honest")
    house.collect()
    (tmp_path / "course.toml").write_text(MANIFEST)
    command = [sys.executable, "-c", DRIVER, str(ROOT), str(tmp_path / "course.toml"), str(house.course_dir)]
    generator = random.Random(5)
    for _ in range(6):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0.8, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 10
    while tools.living(str(house.root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    house.unharmed()
    found = results(house)
    assert len(found) == 7 and len({row.submission_id for row in found}) == 7
    assert {row.correct for row in found} == {tools.HONEST}
    leftover = [path for path in house.course_dir.rglob("*") if path.name.startswith(".") and path.is_file()]
    assert leftover == []


@pytest.mark.attack(68, verdict="ERROR, tried again; never a zero")
@pytest.mark.parametrize("what", ["sandbox", "inputs gone", "labels changed", "disk full", "locked"])
def test_our_own_trouble_is_never_the_students(house, tools, monkeypatch, what):
    house.hand_in("honest")
    house.collect()
    with monkeypatch.context() as patch:
        if what == "sandbox":

            def broken(*arguments):
                raise SandboxError("no more memory for us; wait")

            patch.setattr("autograder.grading.score.judge_served", broken)
        elif what == "inputs gone":
            (house.hidden / "inputs.npy").rename(house.outside / "away")
        elif what == "labels changed":
            np.save(house.hidden / "labels.npy", (house.labels + 1) % 4)
        elif what == "disk full":

            def full(*arguments, **options):
                raise RecordsError("no space left on device; free some")

            patch.setattr(store, "write_atomically", full)
        else:
            patch.setattr("autograder.records.gradebook.BUSY_TIMEOUT_S", 0.1)
            other = sqlite3.connect(house.course_dir / "records.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises((SandboxError, HiddenSetError, RecordsError)):
            score(house.course, house.exercise.id, house.course_dir, progress=False)
        if what == "locked":
            other.execute("ROLLBACK")
            other.close()
    assert house.verdict("honest") in ("queued", "ERROR") and results(house) == []
    if what == "inputs gone":
        (house.outside / "away").rename(house.hidden / "inputs.npy")
    if what == "labels changed":
        np.save(house.hidden / "labels.npy", house.labels)
        (house.hidden / "labels.npy").chmod(0o600)
    house.grade()  # the same verb again, and all is well


@pytest.mark.attack(69, verdict="SCORED anew in new rows; the old stay")
def test_a_corrected_scorer_judges_everybody_again_in_new_rows(house, monkeypatch):
    house.grade()
    before = results(house)
    monkeypatch.setattr(score_module, "SCORER_VERSION", "next")
    house.grade()
    after = results(house)
    assert after[: len(before)] == before
    assert [row.scorer_version for row in after] == [before[0].scorer_version, "next"]


@pytest.mark.attack(70, verdict="history is kept whatever happens to the best")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM result",
        "UPDATE result SET correct = total",
        "DELETE FROM submission",
        "UPDATE submission SET received_at = '2020'",
        "UPDATE submission SET student = 'mallory'",
        "DELETE FROM event",
        "UPDATE event SET what = 'nothing'",
        "INSERT OR REPLACE INTO result SELECT * FROM result",
    ],
)
def test_what_was_recorded_cannot_be_taken_back_unseen(house, statement):
    house.grade()
    database = sqlite3.connect(house.course_dir / "records.db")
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("PRAGMA recursive_triggers = ON")
        database.execute(statement)
    database.close()
    house.unharmed()


@pytest.mark.attack(71, verdict="made again from the record alone")
def test_pages_edited_by_hand_are_replaced_from_the_record(house):
    house.grade()
    site = house.root / "site"
    publish(house.course, house.course_dir, house.root / "roster.csv", site)
    before = {path: path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()}
    for path in [*before, house.course_dir / "scores.json"]:
        path.write_bytes(path.read_bytes().replace(b"300", b"400") + b"<script>1</script>")
    publish(house.course, house.course_dir, house.root / "roster.csv", site)
    assert {path: path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()} == before
    house.unharmed()


@pytest.mark.attack(72, verdict="the old entry stays until the new one is scored")
def test_an_entry_stays_on_the_board_while_a_newer_one_waits(house, models):
    house.grade()

    def board():
        with Gradebook(house.course_dir) as book:
            return json.loads(scores_bytes(house.course, house.course_dir, book))["exercises"][0]["entries"]

    (before,) = board()
    house.hand_in("honest", model__onnx=models.then(helper.make_node("Neg", ["z"], ["y"])))
    house.collect(now=datetime(2026, 12, 16, 10, tzinfo=UTC))
    (waiting,) = board()
    assert (waiting["user"], waiting["correct"]) == (before["user"], before["correct"])
    score(house.course, house.exercise.id, house.course_dir, progress=False)
    (after,) = board()  # the newer one is worse, so it changes nothing but the number of tries
    assert (after["user"], after["correct"], after["submissions"]) == (before["user"], before["correct"], 2)
