"""A made-up class of 12 for the demo: each student's submission, made with the course's own code and real training.

Run by `python -m autograder demo`, in a process of its own:

    python solutions/04_grid_search/class_of_12.py --bundle 04_grid_search.zip --solved NB --released NB
        --hidden-inputs inputs.npy --hidden-labels labels.npy --out DROP --work FOLDER

It writes one zip per student to DROP.  The hidden labels serve one purpose: to land two students one image over and under
the pass mark.  What every student did, and the verdict that is expected for it, is in `students.json` of DROP.
"""

import argparse
import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np

import exercise_code
from autograder.grading.accuracy import public_half
from exercise_code.data import (
    ComposeTransform,
    DataLoader,
    FlattenTransform,
    ImageFolderDataset,
    NormalizeTransform,
    RescaleTransform,
    compute_image_mean_and_std,
)
from exercise_code.data.registry import fetch_or_stand_in
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu, Sigmoid, Tanh
from exercise_code.onnx_export import export_onnx
from exercise_code.solver import Solver
from exercise_code.submit import write_zip

EXERCISE = "04_grid_search"
PASS_PERCENT = 48
SPLIT = {"train": 0.9, "val": 0.05, "test": 0.05}

DELETER = """
import os, pathlib, shutil
for place in [pathlib.Path.cwd(), *pathlib.Path.cwd().parents, pathlib.Path.home(), pathlib.Path("/tmp")]:
    for found in list(place.glob("*/gradebook.db")) + list(place.glob("gradebook.db")) + list(place.glob("records.db")):
        os.remove(found)
    for name in ("source", "autograded", "hidden", "store"):
        shutil.rmtree(place / name, ignore_errors=True)
"""


class Workshop:
    """The data, the transform and the notebooks that the students share."""

    def __init__(self, solved: Path, released: Path):
        self.solved = nbformat.read(solved, as_version=4)
        self.released = nbformat.read(released, as_version=4)
        self.source = fetch_or_stand_in("cifar10")
        pixels = ImageFolderDataset(mode="train", root=self.source, split=SPLIT).pixels()
        mean, std = compute_image_mean_and_std(pixels)
        self.transform = ComposeTransform(
            [RescaleTransform(), NormalizeTransform(mean / 255, std / 255), FlattenTransform()]
        )

    def loader(self, mode: str, limit: int | None = None) -> DataLoader:
        dataset = ImageFolderDataset(self.transform, mode, limit, SPLIT, root=self.source)
        return DataLoader(dataset, 128, shuffle=mode == "train")

    def train(self, net: ClassificationNet, epochs: int, learning_rate: float = 1e-3, limit: int = 12_000) -> float:
        """Train net on up to `limit` images and return its validation accuracy."""
        solver = Solver(
            net,
            self.loader("train", limit),
            self.loader("val"),
            learning_rate=learning_rate,
            lr_decay=0.9,
            verbose=False,
        )
        solver.train(epochs, patience=3)
        return solver.get_dataset_accuracy(solver.val_dataloader)

    def notebook(self, author: str, *, solved: bool = True, edits: dict[str, str] | None = None) -> bytes:
        """The solved or the released notebook; edits replaces the source of the task cells with these ids.

        The author signs the first task: no two students hand in the same bytes unless one copies.
        """
        notebook = copy.deepcopy(self.solved if solved else self.released)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            for task, text in (edits or {}).items():
                if grade_id == f"task_{task}":
                    cell.source = text
            if grade_id == "task_tanh":
                cell.source = f"# {author}\n{cell.source}"
        return nbformat.writes(notebook).encode()

    def source_of(self, task: str) -> str:
        cells = {c.metadata.get("nbgrader", {}).get("grade_id"): c.source for c in self.solved.cells}
        return cells[f"task_{task}"]

    def onnx(self, net: ClassificationNet, folder: Path) -> bytes:
        return export_onnx(net, folder / "made.onnx", input_shape=(3, 32, 32), transform=self.transform).read_bytes()

    def zip(self, path: Path, notebook: bytes, model: bytes, claimed: float) -> None:
        description = {
            "schema": 1,
            "exercise": EXERCISE,
            "claimed": {"model.onnx": claimed},
            "package_version": exercise_code.__version__,
            "data": self.source.label,
        }
        files = {
            f"{EXERCISE}.ipynb": notebook,
            "model.onnx": model,
            "submission.json": (json.dumps(description, indent=1, sort_keys=True) + "\n").encode(),
        }
        write_zip(path, files)


def start_strong_student(bundle: Path, solved: Path, home: Path) -> subprocess.Popen:
    """Unzip the bundle, fill in every task, and run the notebook from top to bottom, as a hard-working student would."""
    shutil.rmtree(home, ignore_errors=True)
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(home)
    folder = home / "exercises" / EXERCISE
    shutil.copy(solved, folder / f"{EXERCISE}.ipynb")
    code = (
        "import nbformat, sys; from nbclient import NotebookClient; "
        f"nb = nbformat.read('{EXERCISE}.ipynb', 4); "
        "NotebookClient(nb, timeout=1800, kernel_name='python3').execute(); nbformat.write(nb, 'run.ipynb')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (home / "run.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, stdout=log, stderr=log)


def count_correct(model: bytes, images: np.ndarray, labels: np.ndarray) -> int:
    """Correct predictions of an ONNX file for images (N, C, H, W) uint8, computed just as the grader computes them."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    correct = 0
    for start in range(0, len(images), 256):
        pixels = images[start : start + 256].astype(np.float32) / np.float32(255)
        (logits,) = session.run(None, {"images": pixels})
        correct += int((logits.argmax(axis=1) == labels[start : start + 256]).sum())
    return correct


def around_the_mark(shop: Workshop, net: ClassificationNet, work: Path, hidden: np.ndarray, labels: np.ndarray):
    """Disturb a good network's weights more and more until it drops below the mark.

    Bisection on the size of one fixed disturbance; hidden (N, C, H, W) uint8, labels (N,).

    Returns:
        The two ONNX files next to each other on the way down: just over and just under the mark.
    """
    rng = np.random.default_rng(12)
    noise = {name: rng.standard_normal(w.shape).astype(w.dtype) * w.std() for name, w in net.params.items()}

    def disturbed(size: float) -> bytes:
        other = copy.deepcopy(net)
        other.params = {name: w + np.float32(size) * noise[name] for name, w in net.params.items()}
        return shop.onnx(other, work)

    def passes(model: bytes) -> bool:
        return 100 * count_correct(model, hidden, labels) >= PASS_PERCENT * len(labels)

    low, high = 0.0, 0.25
    over, under = disturbed(low), disturbed(high)
    if not passes(over):
        raise SystemExit(
            f"error: the strong student's network is below {PASS_PERCENT} %, nothing can be put around the mark"
        )
    while passes(under):
        low, high = high, 2 * high
        over, under = under, disturbed(high)
    for _ in range(14):
        middle = (low + high) / 2
        model = disturbed(middle)
        if passes(model):
            low, over = middle, model
        else:
            high, under = middle, model
    return over, under


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bundle", "solved", "released", "hidden-inputs", "hidden-labels", "out", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    drop, work = options.out.resolve(), options.work.resolve()
    drop.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)

    strong_home = work / "ada"
    strong = start_strong_student(options.bundle.resolve(), options.solved.resolve(), strong_home)
    shop = Workshop(options.solved, options.released)
    students = []

    def hand_in(student: str, name: str, story: str, work_on: dict, model: bytes, claimed: float, **expected) -> None:
        shop.zip(drop / f"{student}.zip", shop.notebook(name, **work_on), model, claimed)
        students.append({"student_id": student, "name": name, "story": story, "expected": expected})
        print(f"{student}: {story}", flush=True)

    def net(activation, **settings) -> ClassificationNet:
        return ClassificationNet(activation, **{"std": "he", **settings})

    solve_all: dict = {}
    full, none = {"points": 18}, {"points": 0}
    scored = {"state": "SCORED"}

    two_layers = net(Relu(), hidden_size=256, reg=5e-4)
    claimed = shop.train(two_layers, 10, 5e-4, limit=40_000)
    model = shop.onnx(two_layers, work)
    hand_in("b02", "Bela Brown", "solves all tasks, two-layer net", solve_all, model, claimed, **full, **scored)
    shutil.copy(drop / "b02.zip", drop / "k11.zip")

    linear = net(None, num_layer=1, std=1e-3)
    claimed = shop.train(linear, 5)
    hand_in(
        "e05", "Emi Endo", "leaves every task open, linear model", {"solved": False}, shop.onnx(linear, work),
        claimed, **none, **scored,
    )  # fmt: skip

    tanh = net(Tanh(), hidden_size=64)
    claimed = shop.train(tanh, 6)
    wrong = shop.source_of("tanh").replace("dout * (1 - cache * cache)", "dout * (1 - cache)")
    if wrong == shop.source_of("tanh"):
        raise SystemExit("error: the solution of tanh has changed, adapt the wrong gradient of class_of_12.py")
    hand_in(
        "f06", "Finn Falk", "forgets a square in the gradient of tanh", {"edits": {"tanh": wrong}},
        shop.onnx(tanh, work), claimed, points=16, **scored,
    )  # fmt: skip

    sigmoid = net(Sigmoid(), hidden_size=64, std="xavier")
    claimed = shop.train(sigmoid, 6)
    loop = "def expected_initial_loss(num_classes):\n    while True:\n        pass\n"
    hand_in(
        "g07", "Gia Gatti", "an endless loop in initial_loss", {"edits": {"initial_loss": loop}},
        shop.onnx(sigmoid, work), claimed, points=17, **scored,
    )  # fmt: skip

    other = net(Relu(), hidden_size=96, rng=np.random.default_rng(8))
    claimed = shop.train(other, 8, 5e-4, limit=20_000)
    deleter = DELETER + "\n" + shop.source_of("tanh")
    hand_in(
        "h08", "Hugo Haas", "tries to delete the gradebook", {"edits": {"tanh": deleter}}, shop.onnx(other, work),
        claimed, **full, **scored,
    )  # fmt: skip

    pickled = pickle.dumps({"weights": {name: w.tolist() for name, w in linear.params.items()}})
    hand_in(
        "i09", "Ines Ivanova", "hands in a pickle instead of a model", solve_all, pickled, 0.5, **full,
        state="FAILED", code="not_onnx",
    )  # fmt: skip

    broken = net(Relu(), hidden_size=32)
    broken.params["W2"][:] = np.nan
    hand_in(
        "j10", "Jon Jansen", "a network whose every logit is NaN", solve_all, shop.onnx(broken, work), 0.5, **full,
        state="FAILED", code="non_finite",
    )  # fmt: skip

    students.append(
        {
            "student_id": "k11",
            "name": "Kim Kaya",
            "story": "hands in the very file of another student",
            "expected": {**full, **scored, "flag": "duplicate"},
        }
    )
    hand_in(
        "l12", "Lea Lund", "everything right, but after the deadline", solve_all, shop.onnx(other, work), claimed,
        state="REJECTED", code="late",
    )  # fmt: skip

    if strong.wait() != 0:
        tail = (strong_home / "run.log").read_text(errors="replace").strip().splitlines()[-15:]
        raise SystemExit("error: the strong student's notebook stopped:\n" + "\n".join(tail))
    shutil.copy(strong_home / "exercises" / EXERCISE / "submission.zip", drop / "a01.zip")
    students.append(
        {
            "student_id": "a01",
            "name": "Ada Abel",
            "story": "works through the whole notebook and trains its final net",
            "expected": {**full, **scored, "passed": True},
        }
    )
    print("a01: works through the whole notebook and trains its final net", flush=True)

    best = ClassificationNet.load_model(strong_home / "exercises" / EXERCISE / "models" / "best_model.npz")
    hidden, labels = np.load(options.hidden_inputs), np.load(options.hidden_labels)
    private = ~public_half(labels)  # the half that decides after the deadline
    over, under = around_the_mark(shop, best, work, hidden[private], labels[private])
    hand_in(
        "c03", "Cem Celik", "lands just under the pass mark", solve_all, under, 0.48, **full, **scored,
        passed=False,
    )  # fmt: skip
    hand_in(
        "d04", "Dana Dietz", "lands just over the pass mark", solve_all, over, 0.48, **full, **scored,
        passed=True,
    )  # fmt: skip
    students.sort(key=lambda student: student["student_id"])
    (drop / "students.json").write_text(json.dumps(students, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
