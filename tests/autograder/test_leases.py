"""The lease of the grading run: one valid at a time, renewed, void when its process is dead or silent."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from autograder.errors import RecordsError
from autograder.records import leases
from autograder.records.gradebook import Gradebook
from autograder.records.leases import grading, holder, is_void
from autograder.records.rows import utc_text

EXERCISE = "04_grid_search"
ELSEWHERE = "another-machine:17:4711"


def at(seconds):
    return utc_text(datetime.now(UTC) + timedelta(seconds=seconds))


@pytest.fixture
def course_dir(tmp_path):
    with Gradebook(tmp_path, create=True) as book:
        book.add_submission(EXERCISE, "anna", "a" * 64, datetime(2026, 12, 1, tzinfo=UTC))
    return tmp_path


def held(course_dir, name, until):
    with Gradebook(course_dir) as book:
        book.take_lease(name, until, lambda *_: True)


def leases_of(book):
    return [tuple(row) for row in book._db.execute("SELECT holder, until FROM lease")]


def test_a_run_holds_one_lease_that_names_it_and_gives_it_back(course_dir):
    with grading(course_dir) as book:
        ((name, until),) = leases_of(book)
        assert name == holder() and at(0) < until <= at(leases.VALID_S)
        assert book.claim(EXERCISE).held_by == name
    with Gradebook(course_dir) as book:
        assert leases_of(book) == [] and book.holder == ""


def test_a_valid_lease_of_another_machine_keeps_a_run_out_and_is_named(course_dir):
    held(course_dir, ELSEWHERE, at(60))
    with pytest.raises(RecordsError, match="process 17 on another-machine"), grading(course_dir):
        pass
    with Gradebook(course_dir) as book:
        assert leases_of(book)[0][0] == ELSEWHERE


def test_a_lease_that_nobody_renewed_is_void(course_dir):
    held(course_dir, ELSEWHERE, at(-1))
    with grading(course_dir) as book:
        assert [name for name, _ in leases_of(book)] == [holder()]


def test_without_the_lock_file_a_living_run_of_this_machine_still_keeps_others_out(course_dir):
    code = (
        "import sys, time; from pathlib import Path; from autograder.records.leases import grading\n"
        "with grading(Path(sys.argv[1])) as book:\n    book.claim('04_grid_search')\n    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(course_dir)], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        (course_dir / "lock").unlink()
        with pytest.raises(RecordsError, match=f"process {other.pid} on"), grading(course_dir):
            pass
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with grading(course_dir) as book:  # it is dead, so its lease is void before its time, and its row comes back
        assert book.submissions()[0].state == "running"
        assert book.recover(EXERCISE) == 1
        assert book.claim(EXERCISE).held_by == holder()


def test_a_process_id_that_was_given_again_does_not_keep_a_dead_lease_alive():
    host, process, started = holder().rsplit(":", 2)
    assert not is_void(f"{host}:{process}:{started}", at(60))
    assert is_void(f"{host}:{process}:{int(started) - 1}", at(60))
    assert not is_void(f"{ELSEWHERE}", at(60)) and is_void(f"{host}:{process}:{started}", at(-1))


def test_what_a_run_writes_after_it_lost_its_lease_is_refused_and_changes_nothing(course_dir):
    with grading(course_dir) as book:
        row = book.claim(EXERCISE)
        held(course_dir, ELSEWHERE, at(60))  # this machine was asleep for an hour, say
        before = book.events(row.id)
        for write in (
            lambda: book.set_state(row.id, "FAILED", "timeout"),
            lambda: book.claim(EXERCISE),
            lambda: book.recover(EXERCISE),
            lambda: book.give_back(row.id, "stopped"),
        ):
            with pytest.raises(RecordsError, match="lost its lease"):
                write()
        assert book.submission(row.id) == row and book.events(row.id) == before
    with Gradebook(course_dir) as book:
        assert leases_of(book)[0][0] == ELSEWHERE  # giving back ours does not take away theirs


def test_the_heartbeat_renews_the_lease_while_the_run_waits(course_dir, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    with grading(course_dir) as book:
        ((_, first),) = leases_of(book)
        deadline = time.monotonic() + 30
        while leases_of(book)[0][1] == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert leases_of(book)[0][1] > first
