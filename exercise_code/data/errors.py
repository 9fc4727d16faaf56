"""Errors of the data modules, and a command line that shows each of them as one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class DatasetError(ValueError):
    """A data set cannot be used; the text says what was expected, what was found and what to do."""


class MissingDataset(DatasetError):
    """The files of a data set are nowhere on this machine."""


class IncompleteDataset(DatasetError):
    """A folder holds some files of a part of a data set but not all of them."""

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


class DownloadError(DatasetError):
    """No mirror could be reached (as opposed to: a mirror sent a wrong file)."""


class CommandLine(argparse.ArgumentParser):
    """An argument parser that answers a bad argument with one line instead of its usage block."""

    def error(self, message: str) -> NoReturn:
        one_line = " ".join(message.split())
        self.exit(2, f"error: {one_line} (see --help)\n")


def exit_code(command: Callable[[], None]) -> int:
    """Run `command`; return 0, or 2 after printing a DatasetError as one line on stderr."""
    try:
        command()
    except DatasetError as problem:
        print("error: " + " ".join(str(problem).split()), file=sys.stderr)
        return 2
    return 0
