"""The record: transactions, states, append-only tables, one coordinator."""

import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autograder.errors import RecordsError
from autograder.records import schema
from autograder.records.gradebook import Gradebook
from autograder.records.lock import coordinator
from autograder.records.rows import Notebook, Prediction, Result, clean, utc_text

EXERCISE = "04_grid_search"
TIME = datetime(2026, 12, 1, 10, tzinfo=UTC)


@pytest.fixture
def book(tmp_path):
    with Gradebook(tmp_path, create=True) as opened:
        yield opened


def add(book, student="anna", letter="a", minutes=0, **options):
    return book.add_submission(
        EXERCISE, student, letter * 64, TIME + timedelta(minutes=minutes), **options
    ).submission_id


def result(submission_id, correct=50, version="v1", **changes):
    row = Result(submission_id, "model.onnx", version, "1", correct, 100, 0, 7, 8, True)
    return replace(row, **changes)


def scored(book, correct, version="v1", **options):
    number = add(book, **options)
    book.set_state(number, "running")
    book.set_predicted([Prediction(number, "model.onnx", f"{version}/1", "0" * 64, 1, True)])
    book.set_scored([result(number, correct, version)])
    return number


def raw(book):
    """Straight into the file, past our code."""
    db = sqlite3.connect(book.path)
    db.execute("PRAGMA recursive_triggers = ON")
    return db


def test_fifty_threads_adding_the_same_bytes_make_one_row(tmp_path):
    start = threading.Barrier(50)

    def one(_):
        start.wait()
        with Gradebook(tmp_path, create=True) as book:  # also races for creating the file
            return book.add_submission(EXERCISE, "anna", "a" * 64, TIME)

    with ThreadPoolExecutor(50) as pool:
        added = list(pool.map(one, range(50)))
    assert sum(item.created for item in added) == 1
    assert len({item.submission_id for item in added}) == 1
    with Gradebook(tmp_path) as book:
        assert len(book.submissions()) == 1
        assert [event.what for event in book.audit("anna")] == ["received", "validated", "queued"]


def test_processes_adding_different_bytes_at_once_lose_none(tmp_path):
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from autograder.records.gradebook import Gradebook\n"
        "with Gradebook(Path(sys.argv[1]), create=True) as book:\n"
        "    for n in range(10):\n"
        "        sha = f'{int(sys.argv[2]) * 10 + n:064x}'\n"
        "        book.add_submission('04_grid_search', 'anna', sha, datetime.now(UTC))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(5)]
    assert [process.wait(60) for process in running] == [0] * 5
    with Gradebook(tmp_path) as book:
        assert len(book.submissions()) == 50
        assert len(book.audit("anna")) == 150


def test_the_file_is_for_its_owner_and_uses_a_write_ahead_log(book):
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600
    with raw(book) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not [path for path in book.path.parent.iterdir() if path.name.startswith(".new-record")]


@pytest.mark.parametrize("table", ["result", "event", "notebook_result", "file"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "INSERT OR REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_what_is_written_once_can_be_neither_changed_nor_removed(book, table, statement):
    number = scored(book, 50, fingerprints={"model.onnx": "f" * 64})
    book.add_notebook_result(Notebook(number, "s", 1.0, 2.0, {}, "graded", "", "", True))
    with raw(book) as db:
        before = db.execute(f"SELECT * FROM {table}").fetchall()
        assert before
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement.format(table, "submission_id", number))
        assert db.execute(f"SELECT * FROM {table}").fetchall() == before


@pytest.mark.parametrize("column", ["received_at", "student", "sha256", "exercise", "late", "created_at"])
def test_who_handed_in_what_and_when_never_changes(book, column):
    add(book)
    with raw(book) as db:
        with pytest.raises(sqlite3.IntegrityError, match="never changes"):
            db.execute(f"UPDATE submission SET {column} = {column}")
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            db.execute("DELETE FROM submission")


def test_columns_have_types_and_limits(book):
    number = add(book)
    for bad in (
        result(number, correct=101),
        result(number, correct=-1),
        result(number, correct="many"),
        result(number, total=0, correct=0),
        result(number + 1),
    ):
        with pytest.raises(RecordsError):
            book.add_result(bad)
    assert book.results(EXERCISE) == []


def test_a_result_for_the_same_key_is_ignored_and_the_first_one_stays(book):
    number = add(book)
    assert book.add_result(result(number, 50))
    assert not book.add_result(result(number, 99))
    assert book.add_result(result(number, 60, "v2"))
    assert book.add_result(result(number, 70, scorer_version="2"))
    assert [row.correct for row in book.results(EXERCISE)] == [50, 60, 70]


def test_every_transition_that_is_not_in_the_table_is_refused(book):
    paths = {
        "queued": [],
        "running": ["running"],
        "predicted": ["running", "predicted"],
        "scored": ["running", "predicted", "scored"],
        "published": ["running", "predicted", "scored", "published"],
        "FAILED": ["running", "FAILED"],
        "ERROR": ["running", "ERROR"],
    }
    for count, (start, path) in enumerate(paths.items()):
        for more, target in enumerate(schema.STATES):
            number = book.add_submission(EXERCISE, "anna", f"{100 * count + more:064x}", TIME).submission_id
            for step in path:
                book.set_state(number, step)
            if target in schema.TRANSITIONS[start]:
                book.set_state(number, target)
                assert book.submission(number).state == target
            else:
                with pytest.raises(RecordsError, match=f"is {start} and cannot become {target}"):
                    book.set_state(number, target)
                assert book.submission(number).state == start


def test_a_rejected_submission_stays_so_and_says_why(book):
    number = add(book, rejected=("archive", "damaged"))
    for target in schema.STATES:
        with pytest.raises(RecordsError):
            book.set_state(number, target)
    assert [event.what for event in book.events(number)] == ["received", "REJECTED"]
    assert book.events(number)[-1].code == "archive"


def test_claiming_takes_each_submission_once_in_the_order_of_receipt(book):
    for minutes, student in ((3, "cleo"), (1, "anna"), (2, "ben")):
        add(book, student, student[0], minutes)
    add(book, "dora", "d", 0, rejected=("late", ""))
    order = [book.claim(EXERCISE).student for _ in range(3)]
    assert order == ["anna", "ben", "cleo"] and book.claim(EXERCISE) is None
    assert book.claim("05_model_search") is None


def test_eight_threads_never_claim_the_same_submission(tmp_path):
    with Gradebook(tmp_path, create=True) as book:
        for number in range(40):
            book.add_submission(EXERCISE, "anna", f"{number:064x}", TIME)

    def take(_):
        claimed = []
        with Gradebook(tmp_path) as book:
            while row := book.claim(EXERCISE):
                claimed.append(row.id)
        return claimed

    with ThreadPoolExecutor(8) as pool:
        claimed = [number for part in pool.map(take, range(8)) for number in part]
    assert sorted(claimed) == list(range(1, 41))


def test_what_was_predicted_is_claimed_before_what_is_queued(book):
    first, second = add(book), add(book, "ben", "b", 1)
    book.set_state(second, "running")
    book.set_predicted([Prediction(second, "model.onnx", "v1/1", "0" * 64, 1, True)])
    assert book.claim(EXERCISE).id == second
    assert book.submission(first).state == "queued"


def test_what_we_failed_on_before_is_claimed_last(book):
    first, second = add(book), add(book, "ben", "b", 1)
    book.set_state(book.claim(EXERCISE).id, "ERROR", "ours", "disk full")
    assert book.recover(EXERCISE) == 1
    assert [book.claim(EXERCISE).id, book.claim(EXERCISE).id] == [second, first]


def test_recovery_queues_only_what_a_crash_or_other_versions_left(book):
    done = scored(book, 50, version="v1")
    old = scored(book, 40, version="v0", student="ben", letter="b")
    running = add(book, "cleo", "c")
    book.set_state(running, "running")
    failed = add(book, "dora", "d")
    book.set_state(failed, "running")
    book.set_state(failed, "FAILED", "timeout", judged_with="v1/1")
    assert book.recover(EXERCISE, "v1/1") == 2
    states = {number: book.submission(number).state for number in (done, old, running, failed)}
    assert states == {done: "scored", old: "queued", running: "queued", failed: "FAILED"}
    assert book.recover(EXERCISE, "v1/1") == 0


def test_a_transaction_that_fails_half_way_leaves_nothing(book):
    number = add(book)
    book.set_state(number, "running")
    events = book.events(number)
    good, bad = result(number), result(number, correct=101, model_file="second.onnx")
    book.set_predicted([Prediction(number, "model.onnx", "v1/1", "0" * 64, 1, True)])
    with pytest.raises(RecordsError):
        book.set_scored([good, bad])
    assert book.results(EXERCISE) == [] and book.submission(number).state == "predicted"
    assert len(book.events(number)) == len(events) + 1


def test_best_is_the_highest_count_and_the_earliest_of_equals(book):
    scored(book, 50, student="anna", letter="a", minutes=0)
    best = scored(book, 70, student="anna", letter="b", minutes=1)
    scored(book, 70, student="anna", letter="c", minutes=2)
    early = scored(book, 70, student="ben", letter="d", minutes=-5)
    found = book.best(EXERCISE, "model.onnx", "v1", "1")
    assert [(row.student, row.submission_id, row.correct) for row in found] == [
        ("ben", early, 70),
        ("anna", best, 70),
    ]
    assert book.best(EXERCISE, "model.onnx", "v2", "1") == []


def test_publishing_marks_only_what_is_still_scored(book):
    done, waiting = scored(book, 50), add(book, "ben", "b")
    assert book.publish([done, waiting]) == 1
    assert book.publish([done, waiting]) == 0
    assert [book.submission(number).state for number in (done, waiting)] == ["published", "queued"]


def test_notebook_points_are_kept_per_release_and_the_newest_counts(book):
    number = add(book)
    first = Notebook(number, "release 1", 1.0, 2.0, {"tanh": [1.0, 2, "ok"]}, "graded", "", "", True)
    assert book.add_notebook_result(first) and not book.add_notebook_result(replace(first, points=2.0))
    assert book.notebooks(EXERCISE) == {number: first}
    second = replace(first, snapshot_sha="release 2", points=2.0, sandboxed=False)
    assert book.add_notebook_result(second)
    assert book.notebooks(EXERCISE) == {number: second}


def test_text_from_outside_is_stored_as_one_printable_line(book):
    number = add(book)
    book.set_state(number, "running")
    book.set_state(number, "FAILED", "corrupt", "two\nlines \x1b[2J \u202e \ud800" + "x" * 9999)
    detail = book.submission(number).detail
    assert detail.isprintable() and len(detail) == 300 and "\\x1b" in detail
    assert clean("plain") == "plain" and clean("") == ""


def test_times_sort_as_text(book):
    moments = [TIME, TIME + timedelta(microseconds=1), TIME + timedelta(seconds=1), TIME.replace(year=2027)]
    texts = [utc_text(moment) for moment in moments]
    assert texts == sorted(texts) and len({len(text) for text in texts}) == 1


def test_a_missing_record_is_refused_and_not_made(tmp_path):
    with pytest.raises(RecordsError, match="run collect first"):
        Gradebook(tmp_path / "course")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [0, schema.SCHEMA_VERSION + 1])
def test_a_record_of_another_schema_version_is_refused_and_untouched(book, tmp_path, version):
    with raw(book) as db:
        db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(RecordsError, match=f"schema version {version}, expected {schema.SCHEMA_VERSION}"):
        Gradebook(tmp_path, create=True)


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "records.db").write_bytes(content)
    with pytest.raises(RecordsError, match="records.db"):
        Gradebook(tmp_path, create=True)
    assert (tmp_path / "records.db").read_bytes() == content


def test_a_snapshot_does_not_see_what_is_written_meanwhile(book, tmp_path):
    add(book)
    with book.snapshot():
        assert len(book.submissions()) == 1
        with Gradebook(tmp_path) as other:
            add(other, "ben", "b")
        assert len(book.submissions()) == 1
    assert len(book.submissions()) == 2


def test_only_one_coordinator_at_a_time_and_the_error_names_the_other(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from autograder.records.lock import coordinator\n"
        "with coordinator(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RecordsError, match=f"process {holder.pid}"), coordinator(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with coordinator(tmp_path):  # the kernel has dropped the lock of the killed process
        pass
    with coordinator(tmp_path):
        pass


def test_the_lock_is_not_inherited_by_programs_that_are_started(tmp_path):
    with coordinator(tmp_path):
        child = subprocess.Popen(["sleep", "30"])
    try:
        with coordinator(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_coordinator_needs_a_course_folder(tmp_path):
    with pytest.raises(RecordsError, match="run collect first"), coordinator(tmp_path / "nowhere"):
        pass
    assert list(tmp_path.iterdir()) == []
