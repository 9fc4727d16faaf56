"""Taking a drop folder into the record."""

import hashlib
import json
import os
import stat
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.errors import CourseError, RecordsError, SubmissionError
from autograder.intake import store
from autograder.intake.collect import collect
from autograder.intake.roster import load_roster
from autograder.records.gradebook import Gradebook

DUE = datetime(2026, 12, 16, 15, 59, 59, tzinfo=timezone(timedelta(hours=1)))
BEFORE = DUE - timedelta(days=1)
EXERCISE = Exercise(
    id="04_grid_search",
    title="Hyper-parameter search",
    due=DUE,
    cell_timeout_s=10,
    notebook_timeout_s=20,
    data=("cifar10",),
    tasks=(Task("tanh", 2),),
    models=(ModelContract("model.onnx", (3, 32, 32), 10, 1_000_000, 3_000_000),),
    hidden_set=HiddenSetSpec("cifar10", 48),
)
COURSE = Course("Course", "2026w", (EXERCISE,), Path("solutions/course.toml"))


def write_zip(path, **changes):
    """A good submission; keyword arguments (dots as __) replace its files, None removes one."""
    files = {
        "04_grid_search.ipynb": f'{{"cells": [], "of": "{path}"}}'.encode(),
        "model.onnx": f"weights of {path}".encode(),
        "submission.json": json.dumps({"schema": 1, "exercise": EXERCISE.id, "claimed": {"model.onnx": 0.5}}).encode(),
    } | {name.replace("__", "."): data for name, data in changes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files.items():
            if data is not None:
                target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return path


@pytest.fixture
def folders(tmp_path):
    drop, course_dir = tmp_path / "drop", tmp_path / "course"
    drop.mkdir()
    roster = tmp_path / "roster.csv"
    roster.write_text("student_id,name,mail\nanna,Anna Bauer,a@x\nben,Ben Costa,b@x\ncleo,Cleo Duval,c@x\n")
    return drop, roster, course_dir


def run(folders, now=BEFORE):
    drop, roster, course_dir = folders
    return collect(COURSE, EXERCISE.id, drop, roster, course_dir, now, progress=False)


def rows(folders):
    with Gradebook(folders[2]) as book:
        return {row.student: row for row in book.submissions(EXERCISE.id)}


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))} if folder.exists() else None


def test_both_layouts_are_taken_in_and_queued(folders):
    write_zip(folders[0] / "anna.zip")
    write_zip(folders[0] / "ben" / "submission.zip")
    report = run(folders)
    assert {(row.student, row.outcome) for row in report.rows} == {("anna", "queued"), ("ben", "queued")}
    assert {name: row.state for name, row in rows(folders).items()} == {"anna": "queued", "ben": "queued"}


def test_each_state_on_the_way_is_in_the_audit(folders):
    write_zip(folders[0] / "anna.zip")
    run(folders)
    with Gradebook(folders[2]) as book:
        assert [event.what for event in book.audit("anna")] == ["received", "validated", "queued"]


def test_the_bytes_are_kept_read_only_under_their_hash(folders):
    data = write_zip(folders[0] / "anna.zip").read_bytes()
    run(folders)
    sha = hashlib.sha256(data).hexdigest()
    path = folders[2] / "store" / sha[:2] / f"{sha}.zip"
    assert path.read_bytes() == data and stat.S_IMODE(path.stat().st_mode) == 0o444
    assert rows(folders)["anna"].sha256 == sha
    assert [path] == [item for item in (folders[2] / "store").rglob("*") if item.is_file()]


def test_the_owner_is_the_name_in_the_drop_and_nothing_inside_the_zip(folders):
    claim = {"schema": 1, "exercise": EXERCISE.id, "claimed": {"model.onnx": 0.5}, "student": "ben"}
    write_zip(folders[0] / "anna.zip", submission__json=json.dumps(claim).encode())
    run(folders)
    assert set(rows(folders)) == {"anna"}


def test_collecting_again_changes_nothing(folders):
    write_zip(folders[0] / "anna.zip")
    run(folders)
    with Gradebook(folders[2]) as book:
        before = book.submissions(), book.audit("anna")
    report = run(folders, now=BEFORE + timedelta(hours=5))
    assert [row.outcome for row in report.rows] == ["unchanged"]
    with Gradebook(folders[2]) as book:
        assert (book.submissions(), book.audit("anna")) == before


def test_one_owns_same_bytes_in_both_layouts_are_one_row(folders):
    data = write_zip(folders[0] / "anna.zip").read_bytes()
    (folders[0] / "anna").mkdir()
    (folders[0] / "anna" / "submission.zip").write_bytes(data)
    assert sorted(row.outcome for row in run(folders).rows) == ["queued", "unchanged"]
    with Gradebook(folders[2]) as book:
        assert len(book.submissions()) == 1


def test_a_student_who_is_not_in_the_roster_is_reported_and_nothing_is_kept(folders):
    write_zip(folders[0] / "mallory.zip")
    write_zip(folders[0] / "anna.zip")
    outcomes = {row.file: row.outcome for row in run(folders).rows}
    assert outcomes == {"'mallory.zip'": "unknown", "anna.zip": "queued"}
    assert len(list((folders[2] / "store").rglob("*.zip"))) == 1


@pytest.mark.parametrize(
    ("late_by", "state"),
    [(timedelta(0), "queued"), (timedelta(microseconds=1), "REJECTED"), (timedelta(seconds=-1), "queued")],
)
def test_exactly_when_due_is_in_time_and_anything_later_is_late(folders, late_by, state):
    write_zip(folders[0] / "anna.zip")
    run(folders, now=(DUE + late_by).astimezone(UTC))
    row = rows(folders)["anna"]
    assert (row.state, row.late, row.code) == (state, state == "REJECTED", "late" if row.late else "")


def test_a_late_hand_in_is_stored_with_its_reason_and_not_queued(folders):
    data = write_zip(folders[0] / "anna.zip").read_bytes()
    run(folders, now=DUE + timedelta(seconds=1))
    row = rows(folders)["anna"]
    assert store.get(folders[2], row.sha256) == data
    assert "14:59:59 UTC" in row.detail and "15:00:00 UTC" in row.detail


def test_received_at_comes_from_the_table_of_the_drop_in_any_zone(folders):
    write_zip(folders[0] / "anna.zip")
    write_zip(folders[0] / "ben" / "submission.zip")
    (folders[0] / "received.csv").write_text(
        "file,received_at\nanna.zip,2026-12-16T06:59:59-08:00\nben/submission.zip,2026-12-16T16:00:00+01:00\n"
    )
    run(folders, now=DUE + timedelta(days=30))
    found = rows(folders)
    assert (found["anna"].received_at, found["anna"].late) == ("2026-12-16T14:59:59.000000Z", False)
    assert (found["ben"].received_at, found["ben"].late) == ("2026-12-16T15:00:00.000000Z", True)


def test_times_in_files_and_of_files_are_never_believed(folders):
    path = write_zip(folders[0] / "anna.zip")
    os.utime(path, (0, 0))
    run(folders, now=DUE + timedelta(days=1))
    assert rows(folders)["anna"].late


def test_the_first_time_of_receipt_stays(folders):
    write_zip(folders[0] / "anna.zip")
    run(folders)
    (folders[0] / "received.csv").write_text("file,received_at\nanna.zip,2020-01-01T00:00:00Z\n")
    run(folders)
    assert rows(folders)["anna"].received_at == "2026-12-15T14:59:59.000000Z"


def test_a_broken_zip_is_rejected_with_a_reason_and_the_others_go_on(folders):
    (folders[0] / "anna.zip").write_bytes(b"PK\x03\x04 not really")
    (folders[0] / "ben.zip").write_bytes(b"")
    write_zip(folders[0] / "cleo.zip")
    run(folders)
    found = rows(folders)
    assert {name: (row.state, row.code) for name, row in found.items()} == {
        "anna": ("REJECTED", "archive"),
        "ben": ("REJECTED", "archive"),
        "cleo": ("queued", ""),
    }


def test_a_file_over_the_limit_is_recorded_but_not_kept(folders):
    with open(folders[0] / "anna.zip", "wb") as file:
        file.truncate(60_000_000)
    run(folders)
    assert (rows(folders)["anna"].state, rows(folders)["anna"].code) == ("REJECTED", "too_large")
    assert not (folders[2] / "store").exists()


@pytest.mark.parametrize("what", ["link", "pipe", "directory", "folder link"])
def test_what_is_not_a_plain_file_is_ignored_and_does_not_hang(folders, tmp_path, what):
    path = folders[0] / "anna.zip"
    other = write_zip(tmp_path / "elsewhere" / "submission.zip")
    if what == "link":
        path.symlink_to(other)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        (folders[0] / "anna").symlink_to(other.parent)
    assert [row.outcome for row in run(folders).rows] == ["ignored"]
    assert rows(folders) == {}


def test_a_link_inside_a_students_folder_is_not_followed(folders, tmp_path):
    (folders[0] / "anna").mkdir()
    (folders[0] / "anna" / "submission.zip").symlink_to(write_zip(tmp_path / "elsewhere.zip"))
    assert [row.outcome for row in run(folders).rows] == ["ignored"]


def test_other_files_and_rows_without_a_file_are_reported(folders):
    (folders[0] / "anna.rar").write_bytes(b"Rar!")
    (folders[0] / "ben").mkdir()
    (folders[0] / "received.csv").write_text("file,received_at\nghost.zip,2026-01-01T00:00:00Z\n")
    assert [row.outcome for row in run(folders).rows] == ["ignored"] * 3


@pytest.mark.parametrize("same", ["bytes", "model", "notebook"])
def test_the_same_content_of_two_students_flags_both_and_queues_both(folders, same):
    data = write_zip(folders[0] / "anna.zip", model__onnx=b"m", **{"04_grid_search__ipynb": b"{}"})
    if same == "bytes":
        (folders[0] / "ben.zip").write_bytes(data.read_bytes())
    elif same == "model":
        write_zip(folders[0] / "ben.zip", model__onnx=b"m")
    else:
        write_zip(folders[0] / "ben.zip", **{"04_grid_search__ipynb": b"{}"})
    write_zip(folders[0] / "cleo.zip")
    run(folders)
    found = rows(folders)
    assert {name: row.flags for name, row in found.items()} == {
        "anna": ("duplicate",),
        "ben": ("duplicate",),
        "cleo": (),
    }
    assert {row.state for row in found.values()} == {"queued"}


def test_a_duplicate_that_comes_a_day_later_flags_the_earlier_one_too(folders):
    write_zip(folders[0] / "anna.zip", model__onnx=b"m")
    run(folders)
    write_zip(folders[0] / "ben.zip", model__onnx=b"m")
    run(folders)
    assert rows(folders)["anna"].flags == rows(folders)["ben"].flags == ("duplicate",)
    with Gradebook(folders[2]) as book:
        assert "submission 2 of ben" in book.audit("anna")[-1].detail


def test_handing_in_ones_own_model_again_is_no_duplicate(folders):
    write_zip(folders[0] / "anna.zip", model__onnx=b"m")
    run(folders)
    write_zip(folders[0] / "anna.zip", model__onnx=b"m", **{"04_grid_search__ipynb": b"[1]"})
    run(folders)
    with Gradebook(folders[2]) as book:
        assert [row.flags for row in book.submissions()] == [(), ()]


def test_the_released_notebook_handed_in_untouched_by_two_is_no_duplicate(folders):
    untouched = b'{"cells": []}'
    bundle = folders[2] / "bundles" / "04_grid_search.zip"
    bundle.parent.mkdir(parents=True)
    with zipfile.ZipFile(bundle, "w") as target:
        target.writestr("exercises/04_grid_search/04_grid_search.ipynb", untouched)
    for name in ("anna", "ben"):
        write_zip(folders[0] / f"{name}.zip", **{"04_grid_search__ipynb": untouched})
    run(folders)
    assert {row.flags for row in rows(folders).values()} == {()}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("student_id,name\nanna,Anna\nAnna,Anna\n", "line 3"),
        ("student_id,name\nanna,Anna\n../x,Eve\n", "line 3"),
        ("student_id,name\nanna,Anna\nanna,Other\n", "line 2"),
        ("student_id,name\nanna,Anna\nben\n", "line 3"),
        ("student_id,name\nanna,Anna\nben,\n", "line 3"),
        ("student_id,name\nanna,Anna\nben,B\x1b[2Jen\n", "line 3"),
        ("student_id,name\nanna,Anna\n\nben,B\u202een\n", "line 4"),
        ('student_id,name\nanna,"two\nlines"\n', "line 3"),
        ('student_id,name\nanna,"Anna\n', "line 2"),
        ("student_id,name\n" + "a" * 33 + ",Anna\n", "line 2"),
        ("student_id,name\na,Anna\n", "line 2"),
        ("id,name\nanna,Anna\n", "line 1"),
        ("student_id,name,name\nanna,Anna,Anna\n", "line 1"),
        ("", "line 1"),
        ("student_id,name\n", "no students"),
        (b"student_id,name\nanna,\xff\n", "UTF-8"),
        (b"student_id,name\nan\0na,Anna\n", "line 2"),
    ],
)
def test_a_bad_roster_is_refused_with_its_line_before_anything_is_written(folders, text, says):
    write_zip(folders[0] / "anna.zip")
    folders[1].write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SubmissionError, match=says):
        run(folders)
    assert not folders[2].exists()


def test_a_roster_from_a_spreadsheet_is_read(folders):
    folders[1].write_bytes("\ufeffname;x,student_id,name\r\n1,anna,Anna Bäuerle\r\n\r\n".encode())
    assert {student.id: student.name for student in load_roster(folders[1]).values()} == {"anna": "Anna Bäuerle"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,received_at\nanna.zip,2026-12-01T10:00:00\n", "line 2.*zone"),
        ("file,received_at\nanna.zip,yesterday\n", "line 2"),
        ("file,received_at\nanna.zip,2026-12-01T10:00:00Z\nanna.zip,2026-12-02T10:00:00Z\n", "line 3.*twice"),
        ("file\nanna.zip\n", "line 1"),
    ],
)
def test_a_bad_table_of_times_is_refused_before_anything_is_written(folders, text, says):
    write_zip(folders[0] / "anna.zip")
    (folders[0] / "received.csv").write_text(text)
    with pytest.raises(SubmissionError, match=says):
        run(folders)
    assert not folders[2].exists()


def test_a_drop_that_is_no_folder_and_an_unknown_exercise_are_refused(folders, tmp_path):
    drop, roster, course_dir = folders
    for bad in (tmp_path / "nowhere", roster):
        with pytest.raises(SubmissionError, match="expected a folder"):
            collect(COURSE, EXERCISE.id, bad, roster, course_dir, progress=False)
    with pytest.raises(CourseError, match="04_grid_search"):
        collect(COURSE, "04_grid_serach", drop, roster, course_dir, progress=False)
    assert not course_dir.exists()


def test_a_store_that_cannot_be_written_stops_with_nothing_recorded(folders, monkeypatch):
    write_zip(folders[0] / "anna.zip")
    monkeypatch.setattr(store.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RecordsError, match="No space left"):
        run(folders)
    monkeypatch.undo()
    assert rows(folders) == {}
    assert [path for path in (folders[2] / "store").rglob("*") if path.is_file()] == []


def test_a_stored_file_that_has_changed_is_noticed(folders):
    write_zip(folders[0] / "anna.zip")
    run(folders)
    row = rows(folders)["anna"]
    path = store.path_of(folders[2], row.sha256)
    path.chmod(0o644)
    path.write_bytes(b"changed")
    with pytest.raises(RecordsError, match="changed"):
        store.get(folders[2], row.sha256)


def test_collecting_reads_the_drop_and_changes_nothing_in_it(folders):
    write_zip(folders[0] / "anna.zip")
    write_zip(folders[0] / "mallory.zip")
    before = tree(folders[0])
    run(folders)
    assert tree(folders[0]) == before
