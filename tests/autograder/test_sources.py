"""Bulk downloads of learning platforms and nbgrader's exchange as drops; extensions and quotas on the way in."""

import io
import json
import os
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Quota, Task
from autograder.errors import SubmissionError
from autograder.intake import store
from autograder.intake.collect import collect
from autograder.intake.deadlines import both, load_deadlines
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
ROSTER = """student_id,name,moodle_id,canvas_id
anna,Anna Bauer,,4711
ben,Ben Costa,202,4712
cleo,Chloé Duval,,4713
dora1,Dora Ek,,
dora2,Dora Ek,205,
"""


def files(who, **changes):
    content = {
        "04_grid_search.ipynb": f'{{"cells": [], "of": "{who}"}}'.encode(),
        "model.onnx": f"weights of {who}".encode(),
        "submission.json": json.dumps({"schema": 1, "exercise": EXERCISE.id, "claimed": {}}).encode(),
    }
    return {name: data for name, data in (content | changes).items() if data is not None}


def packed(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in entries.items():
            target.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "roster.csv").write_text(ROSTER, encoding="utf-8")
    return tmp_path


def take(place, drop, now=BEFORE, exercise=EXERCISE, **options):
    course = Course("Course", "2026w", (exercise,), Path("solutions/course.toml"))
    report = collect(course, exercise.id, drop, place / "roster.csv", place / "course", now, progress=False, **options)
    return {row.file: row for row in report.rows}


def students(place):
    with Gradebook(place / "course") as book:
        return [(row.student, row.state) for row in book.submissions(EXERCISE.id)]


MOODLE = {
    "Anna Bauer_201_assignsubmission_file_/submission.zip": "anna",
    "Benjamin C._202_assignsubmission_file_/my work.zip": "ben",  # by number
    "CHLOE\u0301  Duval_203_assignsubmission_file/submission.zip": "cleo",  # by name, however it is written
    "Dora Ek_204_assignsubmission_file_/submission.zip": None,  # two of that name
    "Dora Ek_205_assignsubmission_file_/submission.zip": "dora2",
    "Eve Nobody_206_assignsubmission_file_/submission.zip": None,
}
CANVAS = {
    "bauerann_4711_990001_submission.zip": "anna",
    "costaben_LATE_4712_990002_submission-1.zip": "ben",  # what Canvas calls late is not what we call late
    "nobody_4799_990003_submission.zip": None,
}


@pytest.mark.parametrize(("names", "kind"), [(MOODLE, "moodle"), (CANVAS, "canvas")], ids=["moodle", "canvas"])
@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_a_bulk_download_is_taken_for_those_in_the_roster(place, names, kind, as_zip, told):
    content = {name: packed(files(name)) for name in names}
    drop = place / "download"
    if as_zip:
        drop = drop.with_suffix(".zip")
        drop.write_bytes(packed(content | {"readme.txt": b"x"}))
    else:
        for name, data in (content | {"readme.txt": b"x"}).items():
            (drop / name).parent.mkdir(parents=True, exist_ok=True)
            (drop / name).write_bytes(data)
    rows = take(place, drop, source=kind if told else "auto")
    assert sorted(students(place)) == sorted((who, "queued") for who in names.values() if who)
    unknown = [row for row in rows.values() if row.outcome == "unknown"]
    assert len(unknown) == sum(who is None for who in names.values())
    assert all("moodle_id" in row.detail or "canvas_id" in row.detail for row in unknown)
    assert [row.outcome for row in rows.values()].count("ignored") == 1
    with Gradebook(place / "course") as book:
        for row in book.submissions(EXERCISE.id):
            name = next(name for name, who in names.items() if who == row.student)
            assert store.get(place / "course", row.sha256) == content[name]


def test_the_newest_attachment_of_a_person_counts(place):
    drop = place / "d.zip"
    drop.write_bytes(packed({
        "bauerann_4711_100_submission.zip": packed(files("old")),
        "bauerann_4711_99_submission.zip": packed(files("older")),
        "bauerann_4711_2000_submission-2.zip": packed(files("new")),
    }))  # fmt: skip
    rows = take(place, drop)
    assert rows["bauerann_4711_2000_submission-2.zip"].outcome == "queued"
    assert [row.outcome for row in rows.values()].count("ignored") == 2 and students(place) == [("anna", "queued")]


def test_flat_moodle_names_are_understood(place):
    drop = place / "d.zip"
    drop.write_bytes(packed({"Anna Bauer_201_assignsubmission_file_submission.zip": packed(files("anna"))}))
    assert take(place, drop)["Anna Bauer_201_assignsubmission_file_submission.zip"].student == "anna"


def test_hostile_names_in_a_bulk_download_go_nowhere(place):
    drop = place / "d.zip"
    names = [
        "../../Anna Bauer_1_assignsubmission_file_/submission.zip",
        "/tmp/pwned.zip",
        "a\x1b[31m_201_assignsubmission_file_/x.zip",
    ]
    drop.write_bytes(packed({name: packed(files(name)) for name in names}))
    rows = take(place, drop, source="moodle")
    assert {path.name for path in place.iterdir()} == {"roster.csv", "d.zip", "course"}
    assert all(row.file.isprintable() for row in rows.values()) and not Path("/tmp/pwned.zip").exists()


@pytest.mark.parametrize("layout", ["inbound", "submitted"])
def test_nbgraders_own_layouts_are_taken(place, layout):
    drop = place / layout
    for who in ("anna", "ben", "stranger"):
        folder = drop / f"{who}+04_grid_search+2020-01-01 00:00:00 UTC+a1b2"
        if layout == "submitted":
            folder = drop / who / "04_grid_search"
        folder.mkdir(parents=True)
        for name, data in files(who, **{"submission.json": None}).items():
            (folder / name).write_bytes(data)
        (folder / "timestamp.txt").write_text("2020-01-01 00:00:00 UTC")
        (folder / "extra.py").write_text("raise SystemExit")
    rows = take(place, drop)
    assert students(place) == [("anna", "queued"), ("ben", "queued")]
    assert [row.outcome for row in rows.values()].count("unknown") == 1
    with Gradebook(place / "course") as book:
        (row, _) = book.submissions(EXERCISE.id)
    assert row.received_at.startswith("2026-12-15"), "timestamp.txt is written by the student"
    with zipfile.ZipFile(store.path_of(place / "course", row.sha256)) as archive:
        assert sorted(archive.namelist()) == ["04_grid_search.ipynb", "model.onnx", "submission.json"]
    assert {row.outcome for row in take(place, drop).values()} == {"unchanged", "unknown"}  # the same bytes again


def test_of_several_exchange_folders_the_last_counts_and_other_exercises_are_left_alone(place):
    drop = place / "inbound"
    for time, exercise in (("2026-12-01", "04_grid_search"), ("2026-12-02", "04_grid_search"), ("2026-12-03", "01_x")):
        folder = drop / f"anna+{exercise}+{time}"
        folder.mkdir(parents=True)
        for name, data in files(time).items():
            (folder / name).write_bytes(data)
    rows = take(place, drop)
    assert rows["'anna+04_grid_search+2026-12-02'"].outcome == "queued" and len(rows) == 2


def test_a_link_in_an_exchange_folder_is_not_followed(place):
    folder = place / "inbound" / "anna+04_grid_search+now"
    folder.mkdir(parents=True)
    secret = place / "secret"
    secret.write_bytes(b"weights")
    for name, data in files("anna").items():
        (folder / name).write_bytes(data)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(secret)
    (row,) = take(place, place / "inbound").values()
    assert (row.outcome, row.code) == ("REJECTED", "missing_file")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of another user")
def test_a_folder_that_belongs_to_another_student_is_not_theirs_to_hand_in(place, monkeypatch):
    folder = place / "inbound" / "anna+04_grid_search+now"
    folder.mkdir(parents=True)
    os.chown(folder, 54321, 54321)
    from autograder.intake import sources

    monkeypatch.setattr(sources.pwd, "getpwuid", lambda uid: type("Entry", (), {"pw_name": "ben"}))
    (row,) = take(place, place / "inbound").values()
    assert row.outcome == "unknown" and "belongs to ben" in row.detail


@pytest.mark.parametrize(
    ("make", "source", "says"),
    [
        (lambda p: p.write_bytes(b"no zip"), "auto", "which this is not"),
        (lambda p: p.write_bytes(packed({"a.zip": b""})), "auto", "neither a Moodle nor a Canvas"),
        (lambda p: p.write_bytes(packed({"a.zip": b""})), "folder", "expected a folder"),
        (lambda p: p.write_bytes(packed({"a.zip": b""})), "nbgrader", "inbound or submitted"),
        (lambda p: p.mkdir(), "blackboard", "expected auto, folder, moodle"),
        (lambda p: None, "auto", "expected a folder"),
    ],
)
def test_a_drop_that_cannot_be_understood_says_what_to_do(place, make, source, says):
    drop = place / "drop.zip"
    make(drop)
    with pytest.raises(SubmissionError, match=says):
        take(place, drop, source=source)
    assert not (place / "course").exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("eve,Eve,x1,", "line 7: moodle_id 'x1', expected digits"),
        ("eve,Eve,202,", "line 7: moodle_id 202 stands there twice"),
        ("eve,Eve,,4711", "line 7: canvas_id 4711 stands there twice"),
    ],
)
def test_numbers_of_platforms_are_checked_in_the_roster(place, row, says):
    (place / "roster.csv").write_text(f"{ROSTER}{row}\n", encoding="utf-8")
    with pytest.raises(SubmissionError, match=says):
        load_roster(place / "roster.csv")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("eve,04_grid_search,2026-12-20T12:00:00+01:00", "'eve' is not in the roster"),
        ("anna,05_other,2026-12-20T12:00:00+01:00", "no exercise '05_other'"),
        ("anna,04_grid_search,2026-12-20 12:00", "expected a time with a zone"),
        ("anna,04_grid_search,2026-12-16T15:59:59+01:00", "not later than"),
        (
            "anna,04_grid_search,2026-12-20T12:00Z\nanna,04_grid_search,2026-12-21T12:00Z",
            "line 3: anna has an extension",
        ),
    ],
)
def test_a_bad_extension_is_refused_with_its_line(place, row, says):
    path = place / "extensions.csv"
    path.write_text(f"student_id,exercise,due\n{row}\n")
    course = Course("Course", "2026w", (EXERCISE,), Path("x"))
    with pytest.raises(SubmissionError, match=says):
        load_deadlines(path, course, load_roster(place / "roster.csv"))


def test_a_moment_is_shown_in_utc_and_in_its_own_zone():
    assert both(DUE) == "2026-12-16 14:59:59 UTC (2026-12-16 15:59:59 +0100)"
    assert both(DUE.astimezone(UTC)) == "2026-12-16 14:59:59 UTC"


def test_what_was_refused_for_the_quota_may_be_handed_in_again_another_day(place):
    from dataclasses import replace

    exercise = replace(EXERCISE, quota=Quota(per_day=1))
    drop = place / "drop"
    drop.mkdir()
    for number, hours in ((1, 0), (2, 1)):
        (drop / "anna.zip").write_bytes(packed(files(f"{number}")))
        take(place, drop, BEFORE - timedelta(days=3) + timedelta(hours=hours), exercise)
    assert students(place) == [("anna", "queued"), ("anna", "REJECTED")]
    later = BEFORE - timedelta(days=2)
    (drop / "received.csv").write_text(f"file,received_at\nanna.zip,{later.isoformat()}\n")
    assert take(place, drop, exercise=exercise)["anna.zip"].outcome == "queued"
    assert take(place, drop, exercise=exercise)["anna.zip"].outcome == "unchanged"
    assert [state for _, state in students(place)].count("queued") == 2
