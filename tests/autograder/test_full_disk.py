"""A disk that is full: one line that says so, nothing lost, and a rerun after clearing up gives what an undisturbed run gives."""

import errno
import os
import resource
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autograder import __main__ as cli
from autograder.course.manifest import load
from autograder.errors import CourseError
from autograder.grading.judge import Judged
from autograder.grading.score import Tools, score
from autograder.intake.collect import collect
from autograder.intake.roster import load_roster
from autograder.records.export import export_grades
from autograder.records.gradebook import Gradebook
from autograder.records.publish import publish
from autograder.records.withdraw import withdraw
from tests.autograder.small_course import CLASSES, EXERCISE, SIZE, make_course, published, tiny_model

STUDENTS = [f"s{number:02d}" for number in range(12)]


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request, tmp_path):
    """(folder, how to fill it up to so many free bytes): a small tmpfs, or a limit on the size of files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":

        @contextmanager
        def limited(free):
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

        yield folder, limited
        return
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a tmpfs")

    @contextmanager
    def filled(free):
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            rest = os.statvfs(folder)
            file.write(bytes(max(0, rest.f_bavail * rest.f_frsize - free)))
        try:
            yield
        finally:
            ballast.unlink()

    yield folder, filled
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed verb may hold a file until it is collected


def judged(data, contract):
    """Answers that depend on the file only, without a sandbox."""
    return Judged(5, np.frombuffer(data, np.uint8)[-SIZE:] % CLASSES)


def verbs(folder):
    """The verbs that write, in their order, each with its own arguments."""
    course, course_dir, roster = load(folder / "course.toml"), folder / "course", folder / "roster.csv"
    roster.write_text("student_id,name\n" + "".join(f"{name},Name of {name}\n" for name in [*STUDENTS, "late"]))
    return {
        "collect": partial(collect, course, EXERCISE, folder / "drop", roster, course_dir, progress=False),
        "score": partial(score, course, EXERCISE, course_dir, progress=False, tools=lambda *_: Tools(judged, True)),
        "withdraw": partial(withdraw, course, course_dir, 3, "asked for it"),
        "publish": partial(publish, course, course_dir, roster, folder / "site"),
        "export": partial(export_grades, course, course_dir, load_roster(roster), folder / "grades.csv"),
    }


def made(folder):
    """A course of twelve submissions in the record, and one more in the drop."""
    make_course(folder, [(name, tiny_model(number)) for number, name in enumerate(STUDENTS)])
    drop = folder / "drop"
    drop.mkdir()
    with Gradebook(folder / "course") as book:
        first = book.submissions()[0]
    stored = folder / "course" / "store" / first.sha256[:2] / f"{first.sha256}.zip"
    (drop / "late.zip").write_bytes(stored.read_bytes())
    moment = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(days=1)
    (drop / "received.csv").write_text(f"file,received_at\nlate.zip,{moment.isoformat()}\n")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A course on which every verb ran once, with room enough."""
    folder = made(tmp_path_factory.mktemp("room") / "undisturbed")
    for verb in verbs(folder).values():
        verb()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 5_000, 40_000])
def test_every_verb_that_writes_says_so_in_one_line_and_goes_on_later(disk, undisturbed, free):
    place, full = disk
    folder, refused = made(place / "small"), []
    for name, verb in verbs(folder).items():
        with full(free):
            try:
                verb()
            except CourseError as error:
                refused.append(name)
                text = str(error)
                assert "\n" not in text and any(word in text for word in ("space", "full", "disk", "large", "I/O")), (
                    text
                )
            else:
                if name == "withdraw":  # it was done, and once is enough
                    continue
        verb()
    assert free > 5_000 or refused, "the disk was not full"
    assert published(folder, undisturbed) == published(undisturbed)
    assert (folder / "grades.csv").read_bytes() == (undisturbed / "grades.csv").read_bytes()
    site = {path.name: path.read_bytes() for path in (folder / "site").iterdir() if path.suffix == ".html"}
    assert len(site) > 1
    leftovers = [path for path in Path(folder).rglob(".*") if path.name not in (".lock", ".nojekyll")]
    assert leftovers == []


def test_a_full_disk_is_one_line_wherever_the_write_was(monkeypatch, capsys):
    def write(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "/course/work/x")

    monkeypatch.setattr("autograder.records.status.status", write)
    assert cli.main(["status", "--course", str(Path(__file__).parents[2] / "solutions" / "course.toml")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: /course/work/x: No space left on device; free some space") and told.count("\n") == 1
