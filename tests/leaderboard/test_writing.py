"""Parts of a site written side by side: the same files, the same errors, nothing left when one of them dies."""

import os
import signal
import threading
import time

import pytest

import leaderboard.build as build_module
from leaderboard import writing
from leaderboard.build import build
from leaderboard.schema import LeaderboardError
from leaderboard.writing import write_parts


@pytest.fixture
def alone(monkeypatch):
    """As in a program of its own, whatever threads the tests before have left."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def pages(names, content=b"x"):
    return lambda: ((name, content) for name in names)


def whose(name, seconds=0.0):
    """A part whose only file holds the id of the process that made it."""

    def part():
        time.sleep(seconds)
        yield name, str(os.getpid()).encode()

    return part


@pytest.mark.usefixtures("alone")
def test_side_by_side_two_processes_write_each_part_once(tmp_path):
    names = sorted(f"u/{number}" for number in range(40))
    assert write_parts([whose(name, 0.02) for name in names], tmp_path, beside=True) == names
    makers = {int((tmp_path / name).read_bytes()) for name in names}
    assert len(makers) == 2 and os.getpid() in makers


@pytest.mark.usefixtures("alone")
def test_more_parts_than_a_pipe_has_room_for_are_written_here(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "MOST_PARTS", 2)
    write_parts([whose("a", 0.05), whose("b", 0.05), whose("c", 0.05)], tmp_path, beside=True)
    assert {int((tmp_path / name).read_bytes()) for name in "abc"} == {os.getpid()}


def test_the_most_parts_fit_in_a_pipe_at_once():
    tokens = writing._tokens(writing.MOST_PARTS)
    try:
        assert len(os.read(tokens, 1 << 20)) == writing.MOST_PARTS * writing.TOKEN and os.read(tokens, 1) == b""
    finally:
        os.close(tokens)


def test_one_after_the_other_all_is_written_here(tmp_path):
    write_parts([whose("b"), whose("u/a")], tmp_path, beside=False)
    assert {int(path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()} == {os.getpid()}


def test_where_another_thread_runs_no_copy_of_the_process_is_made(tmp_path):
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        write_parts([whose("b"), whose("c")], tmp_path, beside=True)
    finally:
        release.set()
        thread.join()
    assert int((tmp_path / "c").read_bytes()) == os.getpid()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("beside", [True, False])
def test_files_and_folders_are_public_whatever_the_umask(tmp_path, beside):
    before = os.umask(0o077)
    try:
        write_parts([pages(["b"]), pages(["u/a", "u/b"])], tmp_path, beside=beside)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o644}
    assert (tmp_path / "u").stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("where", [0, 1])
def test_an_error_in_a_part_is_raised_as_it_is(tmp_path, beside, where):
    def bug():
        yield "c", b"x"
        raise ZeroDivisionError("in a page")

    parts = [pages(["b"]), pages(["d"])]
    parts[where] = bug
    with pytest.raises(ZeroDivisionError, match="in a page"):
        write_parts(parts, tmp_path, beside=beside)


@pytest.mark.usefixtures("alone")
def test_a_killed_copy_is_a_clear_error_and_the_old_site_stays(
    class_of_twelve, make_scores, save, tmp_path, monkeypatch
):
    build(save(make_scores()), tmp_path / "site")
    old = {path.name: path.read_bytes() for path in (tmp_path / "site").iterdir() if path.is_file()}
    here = os.getpid()

    def user_page(*_arguments):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5)  # so that the copy takes a part, too
        return lambda _user: b"x"

    monkeypatch.setattr(build_module, "LARGE", 1)
    monkeypatch.setattr(build_module, "USERS_AT_A_TIME", 1)
    monkeypatch.setattr(build_module, "user_page", user_page)
    with pytest.raises(LeaderboardError, match="it was killed.*the old site is unchanged"):
        build(save(class_of_twelve), tmp_path / "site")
    assert {path.name: path.read_bytes() for path in (tmp_path / "site").iterdir() if path.is_file()} == old
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("at_a_time", [1, 5, 250])
def test_a_large_class_gives_the_same_site_as_a_small_one_would(
    class_of_twelve, save, tmp_path, monkeypatch, at_a_time
):
    scores = save(class_of_twelve)
    whole = build(scores, tmp_path / "one")
    monkeypatch.setattr(build_module, "LARGE", 1)
    monkeypatch.setattr(build_module, "USERS_AT_A_TIME", at_a_time)
    assert build(scores, tmp_path / "two").files == whole.files
    for name in whole.files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
