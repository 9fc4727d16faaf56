"""`python -m leaderboard scores.json --out DIR`: build the site, or one line on stderr and exit code 2."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from leaderboard.build import build
from leaderboard.schema import LeaderboardError

DEFAULT_OUT = Path(__file__).parent / "site"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see python -m leaderboard --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 with one summary line, or 2 with one error line."""
    parser = _Parser(prog="python -m leaderboard", description="Build the leaderboard of one scores.json.")
    parser.add_argument("scores", type=Path, help="the exported scores.json (fields: leaderboard/README.md)")
    parser.add_argument(
        "--out",
        type=Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help="folder for the site, replaced as a whole (default: leaderboard/site)",
    )
    options = parser.parse_args(argv)
    try:
        built = build(options.scores, options.out)
    except LeaderboardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{built.exercises} exercises, {built.entries} entries -> {built.folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
