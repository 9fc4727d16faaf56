"""The command line: `python -m autograder VERB`; the verbs are in `autograder/cli/`."""

from __future__ import annotations

import errno
import sys

import typer

from autograder.cli import course, grade, record  # noqa: F401  (each adds its verbs to the app)
from autograder.cli.options import app
from autograder.errors import CourseError
from autograder.records.rows import clean

INTERRUPTED = 130  # 128 + SIGINT
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; what staff can put right is one line on stderr and exit code 2."""
    try:
        code = app(argv, prog_name="python -m autograder", standalone_mode=False)
        if code == INTERRUPTED:  # how typer passes on Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except CourseError as error:
        return _error(str(error))
    except (KeyboardInterrupt, typer.Abort):
        _error("interrupted; run the same verb again, it does only what is missing")
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        return _error(
            f"{error.filename or 'a file'}: {error.strerror}; free some space and run the same verb again, it does only "
            "what is missing"
        )
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a usage error: a bug, which keeps its traceback
            raise
        return _error(f"{error.format_message()} See --help.")


def _error(message: str) -> int:
    print(f"error: {clean(message, 1000)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
