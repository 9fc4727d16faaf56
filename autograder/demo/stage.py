"""What the demo's class works with: its data, the hidden set, and the process in which the students do their work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from autograder.course.manifest import Exercise
from autograder.errors import CourseError
from autograder.grading import hidden_set

DATA = ("stand-in", "cifar10")
STAND_IN_SIZE = 10_000
HELD_OUT = "data_batch_5.bin"


@dataclass(frozen=True)
class Stage:
    """The hidden set's meta, where it lies, and the environment in which the students find their data."""

    hidden: Mapping[str, Any]
    folder: Path
    environment: Mapping[str, str]

    @property
    def label(self) -> str:
        return f"{self.hidden['size']:,} images, {self.hidden['source']}" + (
            " (a stand-in, not the real images)" if self.hidden["standin"] else ""
        )

    @classmethod
    def build(cls, data: str, work: Path, course_dir: Path, exercise: Exercise, root: Path) -> Stage:
        """Make the hidden set, and for real data a students' copy of the data set without the held-out images."""
        folder = course_dir / "hidden" / exercise.id
        environment = {"DATASETS_OFFLINE": "1", "DATASETS_DIR": str(work / "student-data")}
        (work / "student-data").mkdir()
        if data == "stand-in":
            meta = hidden_set.build(course_dir, exercise.id, stand_in="cifar10", n=STAND_IN_SIZE)
            return cls(meta, folder, environment)
        real = _locate_cifar10(root)
        held_out = work / "held-out" / "cifar10-held-out"
        students = work / "student-data" / "cifar-10-batches-bin"
        for target in (held_out, students):
            target.mkdir(parents=True)
        for file in sorted(real.glob("data_batch_*.bin")):
            target = held_out / "data_batch_1.bin" if file.name == HELD_OUT else students / file.name
            target.symlink_to(file)
        for target in (held_out, students):
            (target / "batches.meta.txt").symlink_to(real / "batches.meta.txt")
        meta = hidden_set.build(course_dir, exercise.id, folder=held_out, part="train")
        registry = work / "registry.toml"
        registry.write_text(without_held_out((root / "datasets" / "registry.toml").read_text(encoding="utf-8")))
        return cls(meta, folder, {**environment, "DATASETS_REGISTRY": str(registry)})


def without_held_out(registry: str) -> str:
    """The registry's text as if CIFAR-10 had never had the held-out file: what the demo's students know.

    Raises:
        CourseError: the registry no longer lists that file where it is expected.
    """
    block = rf'\[\[cifar10\.file\]\]\npath = "{re.escape(HELD_OUT)}"\n(?:[^\[\n].*\n)*\n?'
    text, files = re.subn(block, "", registry)
    text, counts = re.subn(r"(\[cifar10\]\n(?:[^\[\n].*\n)*?counts = \{ train = )50000", r"\g<1>40000", text)
    if (files, counts) != (1, 1):
        raise CourseError(f"demo: datasets/registry.toml no longer lists cifar10's {HELD_OUT} and 50000 images")
    return text


def _locate_cifar10(root: Path) -> Path:
    command = [sys.executable, "-m", "exercise_code.data.registry", "locate", "cifar10"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if found.returncode:
        raise CourseError(f"demo: the real images are needed. {found.stderr.strip().removeprefix('error: ')}")
    return Path(found.stdout.strip().splitlines()[-1])


def students_at_work(console: Console, stage: Stage, bundle: Path, work: Path, drop: Path, root: Path) -> None:
    """Run the exercise's class of twelve in a process of its own; its lines are shown as they come.

    This is our own script with our own solutions; nothing that a stranger wrote runs here.

    Raises:
        CourseError: the script failed; with its last line.
    """
    course_dir = work / "course"
    name = bundle.stem
    command = [
        *(sys.executable, str(root / "solutions" / name / "class_of_12.py")),
        *("--bundle", str(bundle), "--solved", str(course_dir / "source" / name / f"{name}.ipynb")),
        *("--released", str(work / "exercises" / name / f"{name}.ipynb")),
        *("--hidden-inputs", str(stage.folder / "inputs.npy"), "--hidden-labels", str(stage.folder / "labels.npy")),
        *("--out", str(drop), "--work", str(work / "students")),
    ]
    environment = {**os.environ, **stage.environment, "PYTHONPATH": str(root), "MPLBACKEND": "agg"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    started, tail = time.monotonic(), ""
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail = line.strip() or tail
            if re.match(r"[a-z]\d\d: ", line):
                console.print(f"  {time.monotonic() - started:4.0f} s  {line.rstrip()}", highlight=False)
        code = process.wait()
    if code:
        raise CourseError(f"demo: the class of twelve stopped: {tail}")
