"""`python -m leaderboard`: one line and exit code 2 for bad input."""

import subprocess
import sys
from pathlib import Path

import pytest

from leaderboard.__main__ import main

ROOT = Path(__file__).parents[2]


def test_a_good_file_gives_one_line_and_exit_code_zero(class_of_twelve, save, tmp_path, capsys):
    assert main([str(save(class_of_twelve)), "--out", str(tmp_path / "site")]) == 0
    out, err = capsys.readouterr()
    assert out == f"1 exercises, 12 entries -> {tmp_path / 'site' / 'index.html'}\n" and err == ""


@pytest.mark.parametrize(
    "arguments",
    [[], ["missing.json"], ["scores.json", "--what"], ["scores.json", "extra"], ["scores.json", "--out"]],
)
def test_bad_arguments_give_one_line_and_exit_code_two(arguments, tmp_path):
    command = [sys.executable, "-m", "leaderboard", *arguments]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_scores_give_one_line_and_keep_the_old_site(class_of_twelve, save, tmp_path, capsys):
    site = tmp_path / "site"
    assert main([str(save(class_of_twelve)), "--out", str(site)]) == 0
    old = (site / "index.html").read_bytes()
    class_of_twelve["exercises"][0]["entries"][0]["correct"] = 10_001
    capsys.readouterr()
    assert main([str(save(class_of_twelve)), "--out", str(site)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "correct <= total" in err
    assert (site / "index.html").read_bytes() == old
