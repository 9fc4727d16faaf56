"""scores.json -> site. Reading, ranking, rendering and swapping are elsewhere; this puts them in order."""

import contextlib
import gc
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from leaderboard.feed import feed
from leaderboard.pages import about_page, exercise_pages, index_page
from leaderboard.ranking import Board, board
from leaderboard.reading import load
from leaderboard.schema import LeaderboardError, Scores
from leaderboard.swap import MARKER, replace_folder
from leaderboard.tables import board_csv, exercise_json, leaderboard_json, published
from leaderboard.users import submitters, user_page
from leaderboard.writing import Part, write_parts

ASSETS = Path(__file__).parent / "assets"
LARGE = 5_000  # entries from which two processes make the site; a smaller class takes less than a second
USERS_AT_A_TIME = 250


@dataclass(frozen=True)
class Built:
    """What one build published. `files`: relative posix paths, sorted."""

    folder: Path
    files: tuple[str, ...]
    exercises: int
    entries: int


def site_files(scores: Scores, digest: str) -> dict[str, bytes]:
    """Every file of the site, relative posix path -> content; always the same bytes for the same arguments.

    `digest` is the sha256 (hex) of the scores file, printed in each footer.
    """
    return {name: content for part in _parts(scores, digest) for name, content in part()}


def _parts(scores: Scores, digest: str) -> list[Part]:
    """The work in pieces: what is made of all boards, each board's pages, and the pages of some users at a time."""
    boards = [board(exercise) for exercise in scores.exercises]
    users = submitters(boards)
    pages = cache(partial(user_page, scores, boards, digest))  # once in each process, when it is needed

    def users_from(start: int) -> Iterator[tuple[str, bytes]]:
        page = pages()
        return ((f"u/{user}.html", page(user)) for user in users[start : start + USERS_AT_A_TIME])

    return [
        partial(_files_of_all, scores, boards, digest),
        *(partial(exercise_pages, scores, one, digest) for one in boards),
        *(partial(users_from, start) for start in range(0, len(users), USERS_AT_A_TIME)),
    ]


def _files_of_all(scores: Scores, boards: Sequence[Board], digest: str) -> Iterator[tuple[str, bytes]]:
    yield "index.html", index_page(scores, boards, digest)
    yield "about.html", about_page(scores, boards, digest)
    yield "feed.xml", feed(scores, boards)
    exercises = []
    for one in boards:  # the rows of a large class are 6 MB of dicts per board, so only one board's at a time
        rows = [published(row) for row in one.rows]
        yield f"{one.exercise.id}.csv", board_csv(one, rows)
        exercises.append(exercise_json(one, rows))
    yield MARKER, leaderboard_json(scores, exercises, digest)
    for asset in sorted(ASSETS.iterdir()):
        yield f"assets/{asset.name}", asset.read_bytes()


def build(scores_path: Path, out_dir: Path) -> Built:
    """Builds the site of `scores_path` and swaps it in for `out_dir`, which the site owns entirely.

    On any failure the old site stays as it was.
    Raises: LeaderboardError (one line) for bad input or an unusable folder.
    """
    if scores_path.resolve().is_relative_to(out_dir.resolve()):
        raise LeaderboardError(
            f"expected the scores file outside {out_dir}, got {scores_path}; move it, the folder is replaced"
        )
    with _without_collector():
        return _build(scores_path, out_dir)


def _build(scores_path: Path, out_dir: Path) -> Built:
    scores, raw = load(scores_path)
    parts = _parts(scores, hashlib.sha256(raw).hexdigest())
    entries = sum(len(exercise.entries) for exercise in scores.exercises)
    folder, files = replace_folder(partial(write_parts, parts, beside=entries >= LARGE), out_dir)
    return Built(folder, tuple(files), len(scores.exercises), entries)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """A large class is hundreds of thousands of small objects without cycles, all of which stay: looking for garbage
    among them again and again takes longer than building the site. They are gone again before the collector is back.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
