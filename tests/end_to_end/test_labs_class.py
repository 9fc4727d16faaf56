"""A class of ten in each of the labs 06 to 08, by the command line: collect, autograde, score, publish, export.

The hidden set is a stand-in.  What it says of each model is computed here by another way, and the models that are to pass
have simply seen it.
"""

import copy
import csv
import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import html5lib
import nbformat
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from autograder.course.manifest import load
from autograder.grading.accuracy import public_half
from exercise_code.data import ComposeTransform, NormalizeTransform, RescaleTransform
from exercise_code.labs.bean_net import BeanNet
from exercise_code.labs.distillation import StudentNet
from exercise_code.labs.images import labelled
from exercise_code.labs.networks import MLP
from exercise_code.labs.seeding import seeded
from exercise_code.labs.training import fit
from exercise_code.onnx_export import export_onnx
from exercise_code.submit import write_zip

ROOT = Path(__file__).resolve().parents[2]
COURSE = load(ROOT / "solutions" / "course.toml")
TRANSFORM = ComposeTransform([RescaleTransform(), NormalizeTransform(0.3, 0.3)])
NAMES = {
    "ada": "Ada Abel",
    "bob": "Bob Berg",
    "cem": "Cem Celik",
    "dia": "Dia Dietz",
    "eli": "Eli Endo",
    "fay": "Fay Falk",
    "gus": "Gus Gatti",
    "hal": "Hal Haas",
    "ida": "Ida Ivanova",
    "joe": "Joe Jansen",
}


def student_net(seed):
    with seeded(seed):
        return StudentNet()


@dataclass(frozen=True)
class Lab:
    """What differs between the labs.

    Attributes:
        exercise: id.
        hidden: images of the hidden set.
        net: an untrained network such as is handed in, by seed.
        too_large: over the limit of parameters.
        other: takes images of the shape `other_shape`.
        epochs: until `net` knows the hidden images by heart, well enough to pass.
        rate: learning rate for that.
    """

    exercise: str
    hidden: int
    net: Callable[[int], nn.Module]
    too_large: Callable[[], nn.Module]
    other: Callable[[], nn.Module]
    other_shape: tuple[int, int, int]
    epochs: int
    rate: float


LABS = [
    Lab(
        "06_hyperopt",
        600,
        lambda seed: MLP((80, 40), seed=seed),
        lambda: MLP((2100, 2000), seed=0),
        lambda: MLP(20, inputs=1024, seed=0),
        (1, 32, 32),
        epochs=30,
        rate=3e-3,
    ),
    Lab(
        "07_distillation",
        600,
        student_net,
        lambda: MLP(51, seed=0),
        lambda: MLP(20, inputs=1024, seed=0),
        (1, 32, 32),
        epochs=40,
        rate=3e-3,
    ),
    Lab(
        "08_batch_norm",
        90,
        lambda seed: BeanNet(8, seed=seed),
        lambda: BeanNet(130, seed=0),
        lambda: BeanNet(8, seed=0),
        (3, 64, 64),
        epochs=20,
        rate=3e-3,
    ),
]

# who: (points of the notebook, state, code); no points where nothing was run
EXPECTED = {
    "ada": ("full", "published", ""),
    "bob": ("nothing", "published", ""),
    "cem": ("full", "FAILED", "too_many_parameters"),
    "dia": ("one open", "published", ""),
    "eli": ("full", "FAILED", "corrupt"),
    "fay": (None, "REJECTED", "missing_file"),
    "gus": (None, "REJECTED", "late"),
    "hal": ("full", "FAILED", "wrong_input"),
    "ida": ("full", "FAILED", "non_finite"),
    "joe": (None, "REJECTED", "missing_file"),
}
ON_THE_BOARD = ("ada", "bob", "dia")


class Term:
    """One course folder, its hidden set, and the ten hand-ins."""

    def __init__(self, lab: Lab, folder: Path):
        self.lab, self.folder = lab, folder
        self.exercise = COURSE.exercise(lab.exercise)
        self.rank = self.exercise.board.rank
        self.before = self.exercise.board.before
        self.files = [model.file for model in self.exercise.models]
        self.course_dir, self.drop = folder / "course", folder / "drop"
        self.drop.mkdir()
        (folder / "no-data").mkdir()
        (folder / "roster.csv").write_text("student_id,name\n" + "".join(f"{k},{v}\n" for k, v in NAMES.items()))
        self.run("release", lab.exercise, "--exercises", str(folder / "exercises"))
        source = self.exercise.hidden_set.dataset
        self.run("hidden-set", "build", lab.exercise, "--stand-in", source, "--size", str(lab.hidden))
        place = self.course_dir / "hidden" / lab.exercise
        self.images, self.labels = np.load(place / "inputs.npy"), np.load(place / "labels.npy")  # (N, C, H, W) uint8
        self.solved = nbformat.read(self.course_dir / "source" / lab.exercise / self.exercise.notebook, as_version=4)
        self.released = (folder / "exercises" / lab.exercise / self.exercise.notebook).read_bytes()
        self.claims: dict[str, dict[str, float]] = {}
        self.models: dict[str, dict[str, bytes]] = {}

    def run(self, *verb: str) -> str:
        """One verb of the command line, as staff would call it."""
        environment = {name: value for name, value in os.environ.items() if name != "COURSE_DIR"}
        environment |= {"DATASETS_OFFLINE": "1", "DATASETS_DIR": str(self.folder / "no-data"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "autograder", *verb, "--course-dir", str(self.course_dir)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{verb}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def export(self, model: nn.Module, shape: tuple[int, int, int] | None = None) -> bytes:
        shape = shape or tuple(self.exercise.models[0].input)
        return export_onnx(model, self.folder / "made.onnx", input_shape=shape, transform=TRANSFORM).read_bytes()

    def trained(self, seed: int, epochs: int, share: float = 1.0) -> nn.Module:
        """A network that has studied this share of the hidden images, as no student could."""
        count = int(share * len(self.labels))
        part = labelled(self.images[:count].transpose(0, 2, 3, 1), self.labels[:count], TRANSFORM)
        model = self.lab.net(seed)
        batches = part.batches(30, shuffle=True, seed=seed)
        make = functools.partial(torch.optim.Adam, lr=self.lab.rate)
        fit(model, batches, part.batches(100), epochs, optimizer=make, device="cpu", progress=False)
        return model

    def right(self, content: bytes) -> np.ndarray:
        """Which hidden images a file gets right, (N,) bool, counted here and not by the scorer."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"images": self.images.astype(np.float32) / np.float32(255)})
        return logits.argmax(axis=1) == self.labels

    def notebook(self, author: str, *, left_open: str = "") -> bytes:
        """The solved notebook, signed, without its trainings and pictures: those run in the gate."""
        notebook = copy.deepcopy(self.solved)
        set_up = [cell for cell in notebook.cells if cell.source.startswith(("import ", "from "))]
        set_up[-1].source = f"# {author}\n{set_up[-1].source}"
        notebook.cells = [cell for cell in notebook.cells if cell in set_up or cell.metadata.get("nbgrader")]
        if left_open:
            mine, empty = (
                next(cell for cell in cells if cell.id == f"task_{left_open}")
                for cells in (notebook.cells, nbformat.reads(self.released, 4).cells)
            )
            mine.source = empty.source
        return nbformat.writes(notebook).encode()

    def hand_in(self, who: str, notebook: bytes, models: dict[str, bytes], claims: dict[str, float]) -> None:
        self.models[who], self.claims[who] = models, claims
        description = {
            "schema": 1,
            "exercise": self.exercise.id,
            "claimed": claims,
            "package_version": "0",
            "data": f"{self.exercise.hidden_set.dataset} stand-in",
        }
        described = {"submission.json": json.dumps(description).encode(), self.exercise.notebook: notebook}
        write_zip(self.drop / f"{who}.zip", models | described)

    def class_of_ten(self) -> None:
        """Everybody's zip, and when it came."""
        net, number = self.lab.net, iter(range(100, 200))

        def pair(ranked: bytes) -> dict[str, bytes]:
            """The ranked file and, where the exercise has two, another untrained one of one's own."""
            return {name: ranked if name == self.rank else self.export(net(next(number))) for name in self.files}

        def claim(models: dict[str, bytes]) -> dict[str, float]:
            return {name: float(self.right(content).mean()) for name, content in models.items()}

        good = pair(self.export(self.trained(0, self.lab.epochs)))
        if self.before:
            good[self.before] = self.export(self.trained(1, 2, share=0.5))
        self.hand_in("ada", self.notebook("ada"), good, claim(good))

        stock = pair(self.export(net(2)))
        self.hand_in("bob", self.released, stock, claim(stock))

        guess = dict.fromkeys(self.files, 0.5)
        self.hand_in("cem", self.notebook("cem"), pair(self.export(self.lab.too_large())), guess)

        boast = pair(self.export(net(3)))
        first = self.exercise.tasks[0].id
        self.hand_in("dia", self.notebook("dia", left_open=first), boast, dict.fromkeys(self.files, 0.999))

        half = self.export(net(4))
        self.hand_in("eli", self.notebook("eli"), pair(half[: len(half) // 2]), guess)

        forgotten = pair(self.export(net(5)))
        del forgotten[self.files[-1]]
        self.hand_in("fay", self.notebook("fay"), forgotten, {name: 0.5 for name in forgotten})

        self.hand_in("gus", self.notebook("gus"), pair(self.export(net(6))), guess)
        self.hand_in("hal", self.notebook("hal"), pair(self.export(self.lab.other(), self.lab.other_shape)), guess)

        silent = net(7)
        with torch.no_grad():
            for weight in silent.parameters():
                weight.fill_(math.nan)
        self.hand_in("ida", self.notebook("ida"), pair(self.export(silent)), guess)
        self.hand_in("joe", self.notebook("joe"), {}, {})

        rows = ["file,received_at\n"]
        for hours, who in enumerate(NAMES, start=1):
            when = self.exercise.due + (timedelta(minutes=7) if who == "gus" else -timedelta(hours=hours))
            rows.append(f"{who}.zip,{when.isoformat()}\n")
        (self.drop / "received.csv").write_text("".join(rows))

    def graded(self) -> dict[str, dict[str, str]]:
        """From the drop to `grades.csv`; rows by student."""
        roster = str(self.folder / "roster.csv")
        self.run("collect", self.exercise.id, "--drop", str(self.drop), "--roster", roster)
        self.run("autograde", self.exercise.id)
        self.run("score", self.exercise.id)
        self.run("publish", "--roster", roster, "--out", str(self.folder / "site"))
        self.run("export", "--roster", roster, "--out", str(self.folder / "grades.csv"))
        with (self.folder / "grades.csv").open(encoding="utf-8", newline="") as file:
            return {row["student_id"]: row for row in csv.DictReader(file) if row["exercise"] == self.exercise.id}


@pytest.fixture(scope="module", params=LABS, ids=lambda lab: lab.exercise)
def graded(request, tmp_path_factory):
    term = Term(request.param, tmp_path_factory.mktemp(request.param.exercise))
    term.class_of_ten()
    return term, term.graded()


def that_count(term: Term) -> np.ndarray:
    """The images that count, (N,) bool: of a set with two halves the private one, since somebody came after the deadline."""
    return ~public_half(term.labels) if term.exercise.hidden_set.split else np.ones(len(term.labels), dtype=bool)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_one_of_the_ten_gets_the_verdict_of_the_table(graded):
    term, rows = graded
    first = term.exercise.tasks[0]
    automatic = sum(task.points for task in term.exercise.tasks)
    points = {"full": automatic, "one open": automatic - first.points, "nothing": 0}

    got = {who: (rows[who]["notebook_points"], rows[who]["state"], rows[who]["code"]) for who in EXPECTED}

    expected = {
        who: ("" if notebook is None else f"{points[notebook]:g}", state, code)
        for who, (notebook, state, code) in EXPECTED.items()
    }
    assert got == expected, {who: (rows[who]["detail"], rows[who]["notebook_detail"]) for who in rows}
    assert all(rows[who]["detail"] for who in EXPECTED if EXPECTED[who][2])  # each refusal says why
    assert all(rows[who]["sandboxed"] == ("yes" if who in ON_THE_BOARD else "") for who in EXPECTED)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_limit_that_was_broken_stands_in_the_reason(graded):
    term, rows = graded
    contract = next(model for model in term.exercise.models if model.file == term.rank)
    assert f"at most {contract.max_parameters:,}" in rows["cem"]["detail"]
    assert term.files[-1] in rows["fay"]["detail"]
    assert all(name in rows["joe"]["detail"] for name in term.files)
    assert str(contract.input[1]) in rows["hal"]["detail"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_grades_count_what_the_model_gets_right_whatever_was_claimed(graded):
    term, rows = graded
    half = that_count(term)
    percent = term.exercise.hidden_set.pass_percent
    for who in ON_THE_BOARD:
        right = int(term.right(term.models[who][term.rank])[half].sum())
        assert (rows[who]["correct"], rows[who]["total"]) == (str(right), str(half.sum())), who
        assert rows[who]["passed"] == ("yes" if 100 * right >= percent * half.sum() else "no"), who
    assert [rows[who]["passed"] for who in ON_THE_BOARD] == ["yes", "no", "no"]
    assert term.claims["dia"][term.rank] == 0.999


def board_of(term: Term):
    document = html5lib.parse(
        (term.folder / "site" / f"{term.exercise.id}.html").read_bytes(), namespaceHTMLElements=False
    )
    rows = [
        ["".join(cell.itertext()).replace("\u00a0", " ").strip() for cell in row if cell.tag in ("td", "th")]
        for row in document.iterfind(".//table/tbody/tr")
    ]
    return document, rows


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_shows_the_three_with_a_score_and_the_pass_mark_between_them(graded):
    term, _ = graded
    document, rows = board_of(term)
    half = that_count(term)
    percent, total = term.exercise.hidden_set.pass_percent, int(half.sum())
    accuracy = {who: int(term.right(term.models[who][term.rank])[half].sum()) for who in ON_THE_BOARD}

    users = [row for row in rows if len(row) > 1 and row[1].startswith("u")]
    marks = [number for number, row in enumerate(rows) if row[0].startswith("Pass mark")]

    # cut, not rounded, to two decimals
    cut = sorted((f"{10000 * right // total / 100:.2f} %" for right in accuracy.values()), reverse=True, key=float_of)
    assert [row[2] for row in users] == cut
    assert len(marks) == 1 and rows[: marks[0]].count(users[0]) == 1 and users[1] in rows[marks[0] :]
    needed = -(-percent * total // 100)
    assert rows[marks[0]][0] == f"Pass mark: {percent} % or {needed} of {total} correct"
    text = "".join(document.itertext())
    assert "Stand-in data." in text and "Final." in text
    assert not [name for name in NAMES.values() if name in text]
    captions = ["".join(caption.itertext()) for caption in document.iterfind(".//figcaption")]
    assert any("Accuracy against parameters" in caption for caption in captions) == term.exercise.board.pareto


def float_of(text: str) -> float:
    return float(text.removesuffix(" %"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_where_two_models_are_handed_in_the_page_shows_before_after_and_the_gain_with_its_interval(graded):
    term, _ = graded
    _, rows = board_of(term)
    best = next(row for row in rows if len(row) > 1 and row[1].startswith("u"))
    if term.before is None:
        assert len(best) == 9  # no columns for it
        return
    half = that_count(term)
    after, before = (term.right(term.models["ada"][name])[half] for name in (term.rank, term.before))
    gained, lost, total = int((after & ~before).sum()), int((before & ~after).sum()), int(half.sum())
    # Bonett and Price 2012: Wald's interval for paired proportions with one more pair of each kind that differs
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    margin = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / (total + 2))
    gain, low, high = (gained - lost) / total, up - down - margin, up - down + margin

    shown_before, shown_gain = best[9], best[10].replace("\u2212", "-")

    assert float_of(shown_before) == pytest.approx(100 * before.mean(), abs=0.01)
    numbers = [float(part) for part in shown_gain.replace("(", "").replace(")", "").split() if part != "to"]
    assert numbers == pytest.approx([100 * gain, 100 * low, 100 * high], abs=0.0051)
    assert low > 0
