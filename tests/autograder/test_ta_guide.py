"""The guide for teaching assistants says what is so: every command in it runs, in its order, on a toy course."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from autograder import __main__ as cli
from autograder.errors import SandboxError
from autograder.grading.sandbox import Sandbox
from autograder.records.gradebook import Gradebook

HERE = Path(__file__).parent
GUIDE = (HERE.parents[1] / "autograder" / "TA_GUIDE.md").read_text(encoding="utf-8")
EXERCISE = "04_grid_search"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
HARMLESS = ("df ", "du ", "echo ")  # everything else in the guide is a verb of ours


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The toy course with its main exercise under the guide's name, images, three students' hand-ins."""
    try:
        Sandbox.detect()
    except SandboxError as error:
        pytest.skip(f"no sandbox here: {error}")
    shutil.copytree(HERE / "toy_course", tmp_path, dirs_exist_ok=True)
    solutions = tmp_path / "solutions"
    (solutions / "02_main").rename(solutions / EXERCISE)
    (solutions / EXERCISE / "02_main.py").rename(solutions / EXERCISE / f"{EXERCISE}.py")
    for path in (*solutions.rglob("*.*"), *(tmp_path / "exercise_code").glob("*.py")):
        text = path.read_text(encoding="utf-8").replace("02_main", EXERCISE).replace("2026-12-01", "2126-12-01")
        path.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(0)
    for folder in ("hidden_images", "other_images"):
        for label in ("dark", "light"):
            place = tmp_path / folder / "test" / label
            place.mkdir(parents=True)
            for number in range(20):
                pixels = rng.integers(0, 140, (4, 4, 3)) + 110 * (label == "light")
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    (tmp_path / "roster.csv").write_text(
        "student_id,name,moodle_id,canvas_id\nanna,Anna Bauer,1,71\nben,Ben Costa,2,72\ncleo,Cleo Dean,3,73\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_DIR", raising=False)
    return tmp_path


def hand_ins(place):
    """anna and ben share a model; made when there is a released notebook."""
    drop = place / "drop"
    drop.mkdir()
    notebook = (place / "exercises" / EXERCISE / f"{EXERCISE}.ipynb").read_bytes()
    for number, student in enumerate(("anna", "ben", "cleo")):
        weights = np.random.default_rng(number // 2).normal(size=(48, 2)).astype(np.float32)
        graph = helper.make_graph(
            [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])],
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        with zipfile.ZipFile(drop / f"{student}.zip", "w") as target:
            target.writestr(f"{EXERCISE}.ipynb", notebook)
            target.writestr("model.onnx", model.SerializeToString())
            claim = {"schema": 1, "exercise": EXERCISE, "claimed": {"model.onnx": 0.5}}
            target.writestr("submission.json", json.dumps(claim))


def test_the_guide_has_a_page_per_situation_and_names_every_verb_that_grades():
    titles = re.findall(r"^## (.+)$", GUIDE, flags=re.MULTILINE)
    assert titles == [
        *("A new term", "A release", "Deadline night", "Grades for the platform", "A student complains", "A regrade"),
        *("A leak", "A disk that filled up", "A suspicious pair"),
    ]
    verbs = {line.split()[3] for line in COMMANDS if line.startswith("python -m autograder")}
    named = {
        "collect",
        "autograde",
        "score",
        "integrity",
        "regrade",
        "withdraw",
        "explain",
        "export",
        "publish",
        "status",
    }
    assert named <= verbs
    assert all(line.startswith(("python -m autograder ", *HARMLESS)) for line in COMMANDS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_guide_does_what_it_says(place, capsys):
    for line in COMMANDS:
        words = shlex.split(line)
        if words[0] != "python":
            subprocess.run(["sh", "-c", line], check=True, capture_output=True, cwd=place)
            continue
        if words[3] == "check":  # the gate is a test of its own, and the toy course has no catalogues
            assert cli.main([*words[3:], "--help"]) == 0
            continue
        if words[3] == "collect" and not (place / "drop").exists():
            hand_ins(place)
        code = cli.main(words[3:])
        out, err = capsys.readouterr()
        assert code == 0, f"{line}\n{out}{err}"
    with Gradebook(place / ".course") as book:
        assert {row.state for row in book.submissions(EXERCISE)} == {"published"}
        assert {row.what for row in book.decisions(EXERCISE)} == {"withdrawn", "restored", "settled"}
        versions = [row.dataset_version for row in book.results(EXERCISE)]
    assert len(set(versions)) == 2 and len(versions) == 6
    with (place / "moodle.csv").open(newline="") as file:
        assert [row["Identifier"] for row in csv.DictReader(file)] == [f"Participant {n}" for n in (1, 2, 3)]
    assert "Grid search (4711)" in (place / "canvas.csv").read_text()
