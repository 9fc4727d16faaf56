"""Where hidden labels may lie: not where git would take them along, not in what every sandbox can read."""

import os
import subprocess
from pathlib import Path

from autograder.errors import HiddenSetError
from autograder.grading.runtime import runtime_roots


def refuse_unsafe_place(target: Path) -> None:
    """Labels may lie neither where git would take them along nor in what every sandbox sees."""
    resolved = target.resolve()
    for root in (Path("/usr"), *runtime_roots()):
        if resolved.is_relative_to(root):
            raise HiddenSetError(f"{target} lies in {root}, which every sandbox can read; use another --course-dir")
    existing = next(path for path in resolved.parents if path.is_dir())
    if not any((path / ".git").exists() for path in (existing, *existing.parents)):
        return
    labels = resolved / "labels.npy"
    ignored = _git(existing, "check-ignore", "--quiet", str(labels))
    if ignored.returncode == 1:
        raise HiddenSetError(
            f"{target} is not ignored by git, so labels could be published; ignore it or move the course"
        )
    tracked = _git(existing, "ls-files", "--", str(resolved))
    if ignored.returncode != 0 or tracked.returncode != 0:
        why = (ignored.stderr + tracked.stderr).strip().splitlines()
        raise HiddenSetError(f"git cannot say whether {target} is ignored: {why[-1] if why else 'unknown error'}")
    if tracked.stdout.strip():
        raise HiddenSetError(f"{target} holds files that git tracks; `git rm --cached` them first")


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # hooks set GIT_DIR
    try:
        return subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    except OSError as error:
        raise HiddenSetError(f"git is needed to tell whether {folder} is ignored: {error.strerror}") from error
