"""The README and CONTRIBUTING say what is so."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _requirements():
    lines = [
        line.split("#")[0].strip()
        for file in ("requirements.txt", "autograder/requirements.txt")
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
    ]
    return [re.split(r"[<>=;!~ ]", line)[0] for line in lines if line and not line.startswith("-r")]


def _verbs():
    help_text = subprocess.run(
        [sys.executable, "-m", "autograder", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    commands = help_text.partition("Commands:")[2]
    return re.findall(r"^  ([a-z-]+)", commands, flags=re.MULTILINE)


def test_every_dependency_has_a_reason_in_the_readme():
    table = README.partition("## Dependencies, and why")[2]
    named = set(
        re.findall(r"[a-z0-9-]+", " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|")))
    )

    assert len(_requirements()) > 20
    assert [name for name in _requirements() if name not in named] == []


def test_every_verb_is_in_the_readme():
    verbs = _verbs()

    assert {"release", "collect", "hidden-set", "autograde", "score", "publish", "export", "status", "demo"} <= set(
        verbs
    )
    assert [verb for verb in verbs if f"autograder {verb}" not in README and verb != "demo"] == []


def test_every_exercise_of_the_course_is_in_the_readme():
    exercises = tomllib.loads((ROOT / "solutions/course.toml").read_text(encoding="utf-8"))["exercise"]

    assert [e["id"] for e in exercises] == re.findall(r"^\| `(\d\d_\w+)` \|", README, flags=re.MULTILINE)


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"`(?:DATASETS_DIR=\S+ )?make ([a-z]+)", README + CONTRIBUTING)) | {"demo", "test"}

    assert {"setup", "demo", "test", "check", "bench"} <= targets
    assert named <= targets


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_file_and_folder_that_is_named_is_there(text):
    made_at_run_time = (".course/", ".demo/", ".venv", "leaderboard/site")
    paths = [p for p in re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:md|toml|txt))`", text) if "NN" not in p]
    paths = [p for p in paths if not p.startswith(made_at_run_time) and not p.startswith(("/", "cifar-10"))]

    assert len(paths) > 5
    missing = [
        p
        for p in paths
        if not any((ROOT / base / p).exists() for base in ("", "autograder", "exercise_code", "solutions", "datasets"))
    ]
    assert missing == []


def test_the_eight_names_of_the_top_level_are_there():
    for name in [
        "README.md",
        "requirements.txt",
        "exercises",
        "exercise_code",
        "solutions",
        "autograder",
        "leaderboard",
        "datasets",
    ]:
        assert (ROOT / name).exists(), name
