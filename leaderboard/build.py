"""scores.json -> site. Reading, ranking, rendering and swapping are elsewhere; this puts them in order."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from leaderboard.pages import exercise_page, index_page
from leaderboard.ranking import board
from leaderboard.schema import LeaderboardError, Scores, load
from leaderboard.swap import MARKER, replace_folder
from leaderboard.tables import board_csv, leaderboard_json

ASSETS = Path(__file__).parent / "assets"


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
    boards = [board(exercise) for exercise in scores.exercises]
    files = {
        "index.html": index_page(scores, boards, digest),
        MARKER: leaderboard_json(scores, boards, digest),
    }
    for one in boards:
        files[f"{one.exercise.id}.html"] = exercise_page(scores, one, digest)
        files[f"{one.exercise.id}.csv"] = board_csv(one)
    for asset in sorted(ASSETS.iterdir()):
        files[f"assets/{asset.name}"] = asset.read_bytes()
    return files


def build(scores_path: Path, out_dir: Path) -> Built:
    """Builds the site of `scores_path` and swaps it in for `out_dir`, which the site owns entirely.

    On any failure the old site stays as it was.
    Raises: LeaderboardError (one line) for bad input or an unusable folder.
    """
    if scores_path.resolve().is_relative_to(out_dir.resolve()):
        raise LeaderboardError(
            f"expected the scores file outside {out_dir}, got {scores_path}; move it, the folder is replaced"
        )
    scores, raw = load(scores_path)
    files = site_files(scores, hashlib.sha256(raw).hexdigest())
    folder = replace_folder(files, out_dir)
    entries = sum(len(exercise.entries) for exercise in scores.exercises)
    return Built(folder, tuple(sorted(files)), len(scores.exercises), entries)
