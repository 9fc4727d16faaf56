"""scores -> folder: reproducible, all or nothing, and never over something that is not ours."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leaderboard import build as build_module
from leaderboard import swap
from leaderboard.build import build
from leaderboard.schema import LeaderboardError

ROOT = Path(__file__).parents[2]


def snapshot(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def strangers(folder, *known):
    return sorted(path.name for path in folder.iterdir() if path.name not in {"scores.json", "site", *known})


def test_a_build_writes_every_page_file_and_asset(class_of_twelve, save, tmp_path):
    built = build(save(class_of_twelve), tmp_path / "deep" / "er" / "site")
    assert (
        set(built.files)
        == set(snapshot(built.folder))
        == {
            "index.html",
            "04_grid_search.html",
            "04_grid_search.csv",
            "about.html",
            "feed.xml",
            "leaderboard.json",
            "assets/board.js",
            "assets/page.js",
            "assets/style.css",
            "assets/icon.svg",
            *(f"u/u01{number:02}.html" for number in range(12)),
        }
    )
    assert (built.exercises, built.entries) == (1, 12)


def test_the_footer_hash_is_that_of_the_scores_file(class_of_twelve, save, tmp_path):
    path = save(class_of_twelve)
    build(path, tmp_path / "site")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for name in ("index.html", "04_grid_search.html", "leaderboard.json"):
        assert digest in (tmp_path / "site" / name).read_text(encoding="utf-8")


def test_a_rebuild_is_byte_identical_in_another_process_zone_and_locale(class_of_twelve, save, tmp_path):
    path = save(class_of_twelve)
    build(path, tmp_path / "site")
    elsewhere = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "leaderboard", str(path), "--out", str(tmp_path / "again")]
    subprocess.run(command, check=True, cwd=ROOT, env=elsewhere, capture_output=True)
    assert snapshot(tmp_path / "site") == snapshot(tmp_path / "again")


def test_files_can_be_read_by_a_web_server_whatever_the_umask(class_of_twelve, save, tmp_path):
    before = os.umask(0o077)
    try:
        build(save(class_of_twelve), tmp_path / "site")
    finally:
        os.umask(before)
    for path in [tmp_path / "site", *(tmp_path / "site").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_an_exercise_that_is_gone_leaves_no_page_behind(class_of_twelve, make_scores, save, tmp_path):
    build(save(class_of_twelve), tmp_path / "site")
    build(save(make_scores()), tmp_path / "site")
    assert sorted(snapshot(tmp_path / "site")) == [
        "about.html",
        "assets/board.js",
        "assets/icon.svg",
        "assets/page.js",
        "assets/style.css",
        "feed.xml",
        "index.html",
        "leaderboard.json",
    ]
    assert strangers(tmp_path) == []


def break_fsync(monkeypatch):
    calls = iter(range(100))

    def fsync(_handle):
        if next(calls) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(swap.os, "fsync", fsync)


def break_sync_all(monkeypatch):
    def fails(_folder):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(swap, "_sync_all", fails)


def break_exchange(monkeypatch):
    def exchange(_first, _second):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(swap, "_exchange", exchange)


def break_second_rename(monkeypatch):
    monkeypatch.setattr(swap, "_exchange", lambda _first, _second: False)
    rename, calls = Path.rename, iter(range(100))

    def second_fails(self, target):
        if next(calls) == 1:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)


@pytest.mark.parametrize("break_it", [break_fsync, break_sync_all, break_exchange, break_second_rename])
def test_a_disk_error_keeps_the_old_site_and_leaves_nothing_behind(
    class_of_twelve, make_scores, save, tmp_path, monkeypatch, break_it
):
    build(save(class_of_twelve), tmp_path / "site")
    old = snapshot(tmp_path / "site")
    with monkeypatch.context() as patch:
        break_it(patch)
        with pytest.raises(LeaderboardError, match="the old site is unchanged") as caught:
            build(save(make_scores()), tmp_path / "site")
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path / "site") == old
    assert strangers(tmp_path) == []


def test_a_bug_in_rendering_keeps_the_old_site_and_traceback(class_of_twelve, save, tmp_path, monkeypatch):
    path = save(class_of_twelve)
    build(path, tmp_path / "site")
    old = snapshot(tmp_path / "site")
    monkeypatch.setattr(build_module, "board_csv", lambda _board, _rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(path, tmp_path / "site")
    assert snapshot(tmp_path / "site") == old


@pytest.mark.parametrize("moment", ["build.write_parts", "swap._flush", "swap._put_in_place", "swap._sync"])
def test_kill_minus_nine_leaves_a_whole_site_and_the_next_build_cleans_up(
    class_of_twelve, make_scores, save, tmp_path, moment
):
    site = tmp_path / "site"
    build(save(class_of_twelve), site)
    old = snapshot(site)
    new_scores = save(make_scores())
    build(new_scores, tmp_path / "expected")
    new = snapshot(tmp_path / "expected")
    program = (
        "import os, signal, sys; from pathlib import Path; from leaderboard import build, swap\n"
        f"{moment} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "build.build(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", program, str(new_scores), str(site)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert strangers(tmp_path, "expected") != []
    assert snapshot(site) in (old, new)
    build(new_scores, site)
    assert snapshot(site) == new
    assert strangers(tmp_path, "expected") == []


def test_without_an_atomic_exchange_two_renames_give_the_same_site(
    class_of_twelve, make_scores, save, tmp_path, monkeypatch
):
    monkeypatch.setattr(swap, "_exchange", lambda _first, _second: False)
    build(save(class_of_twelve), tmp_path / "site")
    build(save(make_scores()), tmp_path / "site")
    assert "04_grid_search.html" not in snapshot(tmp_path / "site")
    assert strangers(tmp_path) == []


def test_where_a_file_system_cannot_be_flushed_at_once_every_file_is(class_of_twelve, save, tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "_sync_all", lambda _folder: False)
    synced, sync = [], swap._sync
    monkeypatch.setattr(swap, "_sync", lambda path: (synced.append(path.name), sync(path)))
    built = build(save(class_of_twelve), tmp_path / "site")
    assert {Path(name).name for name in built.files} <= set(synced)


def test_the_site_is_a_folder_at_every_moment_of_a_rebuild(class_of_twelve, make_scores, save, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    if not swap._exchange(first, second):
        pytest.skip("this file system cannot exchange two folders atomically")
    site = tmp_path / "site"
    paths = [save(class_of_twelve, "one.json"), save(make_scores(), "two.json")]
    build(paths[0], site)
    looks, done = [], threading.Event()

    def visit():
        while not done.is_set():
            looks.append(site.is_dir())

    visitor = threading.Thread(target=visit)
    visitor.start()
    for turn in range(30):
        build(paths[turn % 2], site)
    done.set()
    visitor.join()
    assert len(looks) > 30 and all(looks)


def test_many_builds_at_once_leave_one_whole_site(class_of_twelve, make_scores, save, tmp_path):
    paths = [save(class_of_twelve, "one.json"), save(make_scores(), "two.json")]
    for number, path in enumerate(paths):
        build(path, tmp_path / f"expected{number}")
    wholes = [snapshot(tmp_path / f"expected{number}") for number in range(2)]
    command = [sys.executable, "-m", "leaderboard"]
    running = [
        subprocess.Popen(
            [*command, str(paths[turn % 2]), "--out", str(tmp_path / "site")],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for turn in range(6)
    ]
    assert [process.wait(60) for process in running] == [0] * 6
    assert snapshot(tmp_path / "site") in wholes
    assert strangers(tmp_path, "one.json", "two.json", "expected0", "expected1") == []


def test_a_folder_with_other_files_is_refused_untouched(class_of_twelve, save, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    with pytest.raises(LeaderboardError, match="other files"):
        build(save(class_of_twelve), home)
    assert snapshot(home) == {"thesis.tex": b"years of work"}


def test_a_file_or_the_root_as_output_is_refused(class_of_twelve, save, tmp_path):
    path = save(class_of_twelve)
    plain = tmp_path / "plain"
    plain.write_text("x")
    with pytest.raises(LeaderboardError, match="got the file"):
        build(path, plain)
    with pytest.raises(LeaderboardError):
        build(path, Path("/"))
    with pytest.raises(LeaderboardError, match="expected to write the site"):
        build(path, plain / "below")


def test_scores_inside_the_output_folder_that_it_would_delete_are_refused(class_of_twelve, save, tmp_path):
    build(save(class_of_twelve), tmp_path / "site")
    inside = tmp_path / "site" / "scores.json"
    inside.write_bytes((tmp_path / "scores.json").read_bytes())
    with pytest.raises(LeaderboardError, match="outside"):
        build(inside, tmp_path / "site")
    assert inside.exists()


def test_an_empty_folder_and_a_symlink_are_filled(class_of_twelve, save, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    for _ in range(2):
        build(save(class_of_twelve), tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target" / "index.html").is_file()
