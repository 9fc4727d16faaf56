"""Flags for staff: what copies, memorised test sets and false claims leave behind, and that honest classes are left alone."""

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.errors import RecordsError
from autograder.grading import hidden_set, model_fingerprint
from autograder.grading.integrity import integrity
from autograder.grading.perturbed import variants
from autograder.grading.score import score
from autograder.intake.collect import collect
from autograder.records.export import export_grades
from autograder.records.gradebook import Gradebook
from autograder.records.outliers import closer_than_the_crowd, kappa, tail
from autograder.records.withdraw import settle_flag

SIDE, CLASSES, N = 10, 4, 800
EXERCISE = Exercise(
    id="04_grid_search",
    title="Search",
    due=datetime(2126, 12, 16, 15, tzinfo=UTC),
    cell_timeout_s=10,
    notebook_timeout_s=20,
    data=("toy",),
    tasks=(Task("tanh", 2),),
    models=(ModelContract("model.onnx", (1, SIDE, SIDE), CLASSES, 300_000, 2_000_000),),
    hidden_set=HiddenSetSpec("toy", 48),
)
COURSE = Course("Course", "2126w", (EXERCISE,), Path("solutions/course.toml"))
HONEST = [f"h{number:02d}" for number in range(14)]


def images(rng, count):
    """Blurred spots in a place per class, under noise: float (count, 100) in [0, 1] and labels."""
    y, x = np.mgrid[:SIDE, :SIDE]
    centres = [(2, 4.5), (7, 4.5), (4.5, 2.5), (4.5, 6.5)]
    spots = np.array([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 6) for a, b in centres]).reshape(CLASSES, -1)
    labels = rng.integers(0, CLASSES, count)
    pixels = 0.5 + 0.12 * spots[labels] + rng.normal(0, 0.17, (count, SIDE * SIDE))
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8), labels.astype(np.uint8)


TRAIN = images(np.random.default_rng(1), 3000)
HIDDEN = images(np.random.default_rng(2), N)


class Net:
    """One hidden layer of random units, output weights by ridge regression: weights (100, H), (H,), (H, 4), (4,)."""

    def __init__(self, seed, hidden=60, rows=slice(None), data=TRAIN, ridge=3.0):
        rng = np.random.default_rng(seed)
        x, labels = data[0][rows] / 255 - 0.5, data[1][rows]
        self.w, self.b = rng.normal(0, 1, (SIDE * SIDE, hidden)), rng.normal(0, 0.5, hidden)
        h = np.maximum(x @ self.w + self.b, 0)
        gram = h.T @ h + ridge * np.eye(hidden)
        self.v, self.c = np.linalg.solve(gram, h.T @ (np.eye(CLASSES)[labels] - 0.25)), np.full(CLASSES, 0.25)

    def changed(self, **values):
        other = object.__new__(Net)
        other.__dict__ = {**self.__dict__, **values}
        return other

    def permuted_and_scaled(self, seed):
        rng = np.random.default_rng(seed)
        order, scale = rng.permutation(len(self.b)), rng.uniform(0.2, 5, len(self.b))
        return self.changed(w=(self.w * scale)[:, order], b=(self.b * scale)[order], v=(self.v / scale[:, None])[order])

    def noised(self, seed, much):
        rng = np.random.default_rng(seed)
        noise = {name: value + much * value.std() * rng.normal(size=value.shape) for name, value in vars(self).items()}
        return self.changed(**{name: noise[name] for name in "wv"})

    def onnx(self, prefix="", kind=np.float32):
        stored = [(name, getattr(self, name).astype(kind)) for name in "wbvc"]
        tensors = [numpy_helper.from_array(value, prefix + name) for name, value in stored]
        nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Sub", ["f", "half"], ["g"])]
        names = {name: prefix + name for name in "wbvc"}
        if kind is not np.float32:
            nodes += [helper.make_node("Cast", [names[n]], [f"{n}32"], to=TensorProto.FLOAT) for n in "wbvc"]
            names = {name: f"{name}32" for name in "wbvc"}
        nodes += [
            helper.make_node("Gemm", ["g", names["w"], names["b"]], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", names["v"], names["c"]], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
            [numpy_helper.from_array(np.array([0.5], np.float32), "half"), *tensors[:: -1 if prefix else 1]],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()

    def accuracy(self, data=HIDDEN):
        h = np.maximum((data[0] / 255 - 0.5) @ self.w + self.b, 0)
        return float(((h @ self.v + self.c).argmax(1) == data[1]).mean())


def honest(number):
    """Fourteen students: some with the notebook's defaults and a seed of their own, some with settings of their own."""
    if number < 5:
        return Net(100 + number)
    rng = np.random.default_rng(number)
    return Net(200 + number, int(rng.integers(30, 120)), rng.permutation(3000)[: int(rng.integers(800, 3000))])


@pytest.fixture(scope="module")
def term(tmp_path_factory, box):
    """A scored class: fourteen honest students, and four who took a short cut."""
    root = tmp_path_factory.mktemp("term")
    models = {name: honest(number) for number, name in enumerate(HONEST)}
    files = {name: net.onnx() for name, net in models.items()}
    files["permuted"] = models["h00"].permuted_and_scaled(1).onnx("q", np.float16)
    files["noised"] = models["h06"].noised(1, 0.03).onnx("q")
    models["memoriser"] = Net(3, 700, data=HIDDEN, ridge=1e-3)
    files["memoriser"] = models["memoriser"].onnx()
    files["same_file"] = files["h08"]
    models["dreamer"] = Net(5, 30, slice(0, 300))
    files["dreamer"] = models["dreamer"].onnx()
    drop, course_dir = root / "drop", root / "course"
    drop.mkdir()
    rng = np.random.default_rng(0)
    for name, data in files.items():
        net = models.get(name, models["h00"])
        claim = 0.99 if name == "dreamer" else net.accuracy() + rng.normal(0.01, 0.01)
        with zipfile.ZipFile(drop / f"{name}.zip", "w") as target:
            target.writestr(EXERCISE.notebook, json.dumps({"of": name}))
            target.writestr("model.onnx", data)
            claims = {"schema": 1, "exercise": EXERCISE.id, "claimed": {"model.onnx": min(claim, 1.0)}}
            target.writestr("submission.json", json.dumps(claims))
    roster = root / "roster.csv"
    roster.write_text("student_id,name\n" + "".join(f"{name},{name}\n" for name in files))
    folder = course_dir / "hidden" / EXERCISE.id
    folder.mkdir(parents=True, mode=0o700)
    inputs = HIDDEN[0].reshape(N, 1, SIDE, SIDE)
    meta = {"schema": 1, "exercise": EXERCISE.id, "version": hidden_set._sha256(inputs, HIDDEN[1])[:12], "size": N}
    meta |= {"num_classes": CLASSES, "shape": [1, SIDE, SIDE], "source": "toy", "standin": True}
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "labels.npy", HIDDEN[1])
    (folder / "meta.json").write_text(json.dumps(meta))
    moment = EXERCISE.due - timedelta(days=3)
    collect(COURSE, EXERCISE.id, drop, roster, course_dir, moment, progress=False)
    score(COURSE, EXERCISE.id, course_dir, progress=False)
    return course_dir


@pytest.fixture(scope="module")
def report(term):
    return integrity(COURSE, EXERCISE.id, term, progress=False)


def found(report):
    return {(flag.kind, report.who(flag)) for flag in report.flags}


@pytest.mark.slow
def test_copies_a_memorised_set_and_a_false_claim_are_flagged_and_nobody_else(report):
    assert found(report) == {
        ("duplicate", "h08, same_file"),
        ("same_weights", "h00, permuted"),
        ("same_weights", "h08, same_file"),
        ("close_errors", "h06, noised"),
        ("memorised", "memoriser"),
        ("claim", "dreamer"),
    }


@pytest.mark.slow
def test_a_second_run_measures_nothing_again_and_raises_nothing_again(report, term, monkeypatch):
    monkeypatch.setattr(model_fingerprint, "fingerprint", None)
    monkeypatch.setattr("autograder.grading.integrity.judge_with", None)
    again = integrity(COURSE, EXERCISE.id, term, progress=False)
    assert (again.new, again.flags) == (0, report.flags)


@pytest.mark.slow
def test_flags_reach_the_grades_file_and_change_no_grade(report, term, tmp_path):
    out = tmp_path / "grades.csv"
    export_grades(COURSE, term, {}, out)
    rows = {line.split(",")[0]: line for line in out.read_text().splitlines()}
    assert "memorised" in rows["memoriser"] and "close_errors" in rows["noised"] and "claim" in rows["dreamer"]
    assert rows["memoriser"].split(",")[10] == "yes"  # passed


@pytest.mark.slow
def test_a_settled_flag_is_closed_on_both_sides_and_stays_closed(report, term):
    flag = next(flag for flag in report.flags if flag.kind == "close_errors")
    with pytest.raises(RecordsError, match="--reason is empty"):
        settle_flag(COURSE, EXERCISE.id, term, flag.id, " ")
    settle_flag(COURSE, EXERCISE.id, term, flag.id, "they told us that they worked together", "ada")
    after = integrity(COURSE, EXERCISE.id, term, progress=False)
    assert found(report) - found(after) == {("close_errors", "h06, noised")}
    with Gradebook(term) as book:
        assert {(row.who, row.what) for row in book.decisions(EXERCISE.id)} == {("ada", "settled")}
        kinds = {row.student: row.flags for row in book.submissions(EXERCISE.id)}
    assert kinds["h06"] == kinds["noised"] == ()
    with pytest.raises(RecordsError, match="no open one"):
        settle_flag(COURSE, EXERCISE.id, term, flag.id, "again")


def test_error_consistency_is_cohens_kappa_of_right_and_wrong():
    from sklearn.metrics import cohen_kappa_score

    right = np.random.default_rng(0).random((4, 300)) < np.array([[0.3], [0.5], [0.7], [0.9]])
    expected = [[cohen_kappa_score(a, b) for b in right] for a in right]
    assert np.allclose(kappa(right), expected, atol=1e-12)


def test_models_with_every_image_right_have_no_errors_to_compare():
    right = np.ones((9, 50), dtype=bool)
    assert np.array_equal(kappa(right), np.zeros((9, 9))) and closer_than_the_crowd(right) == []


def simulated(rng, sizes, *, images=3000, copies=0, linear=0, taste=0.35, own=0.45):
    """Right and wrong of a class made of groups with settings in common; images are hard or easy for everybody.

    A model has an image right when the image's ease, the taste of its group and noise of its own together are above a
    bar. The spreads are such that pairs have the kappas that were measured on CIFAR-10, see `closer_than_the_crowd`; the
    `linear` models are a group with little taste and hardly any noise. The first `copies` students are followed by a copy
    that answers one in sixty anew.
    """
    ease = rng.normal(0, 1.2, images)
    rows = []
    for size, mine, noise in [*((size, taste, own) for size in sizes), *[(linear, 0.25, 0.15)] * bool(linear)]:
        common = ease + rng.normal(0, mine, images) - rng.normal(0, 0.25)
        rows += [common + rng.normal(0, noise, images) > 0 for _ in range(size)]
    for number in range(copies):
        anew = rng.random(images) < 1 / 60
        rows.append(np.where(anew, rng.random(images) < 0.5, rows[number]))
    return np.array(rows)


@pytest.mark.parametrize(
    "sizes",
    [[1] * 12, [1] * 60, [20, *[1] * 40], [100, 60, *[1] * 40], [3] * 15, [2, *[1] * 20], [150] * 2],
    ids=str,
)
def test_honest_classes_are_left_alone_whatever_their_groups(sizes):
    """At most one false pair in forty classes (alpha is 1 % a class), though nearly every pair agrees far above chance."""
    pairs = 0
    for seed in range(40):
        right = simulated(np.random.default_rng(seed), sizes, images=1000)
        pairs += len(closer_than_the_crowd(right))
        assert np.median(kappa(right)) > 0.5
    assert pairs <= 1


@pytest.mark.parametrize("linear", [2, 3])
def test_a_few_linear_models_among_deep_ones_are_left_alone(linear):
    pairs, alike = 0, []
    for seed in range(40):
        right = simulated(np.random.default_rng(seed), [10, *[1] * 20], images=1000, linear=linear)
        pairs += len(closer_than_the_crowd(right))
        alike.append(kappa(right)[-2, -1])
    assert pairs <= 1 and np.median(alike) > 0.85


@pytest.mark.parametrize(
    ("sizes", "copies"), [([1] * 12, 1), ([1] * 60, 3), ([20, *[1] * 40], 3), ([100, 60, *[1] * 40], 3)], ids=str
)
def test_copies_stand_out_of_the_same_classes(sizes, copies):
    n = sum(sizes)
    for seed in range(10):
        right = simulated(np.random.default_rng(seed), sizes, copies=copies)
        found = {(pair.one, pair.other) for pair in closer_than_the_crowd(right)}
        assert found == {(number, n + number) for number in range(copies)}


def test_a_tail_probability_is_uniform_or_higher_for_exponential_values():
    rng = np.random.default_rng(0)
    chances = np.concatenate([tail(rng.exponential(1, 200)) for _ in range(200)])
    for level in (0.2, 0.05, 0.01, 0.001):
        standard_error = (level / len(chances)) ** 0.5
        assert np.mean(chances <= level) <= max(1.3 * level, level + 3 * standard_error)


def test_noise_of_a_measurement_makes_a_value_less_remarkable():
    values = np.array([0.0] * 9 + [0.1])
    assert tail(values)[-1] < 1e-9 and tail(values, 0.1)[-1] > 0.1


def test_changed_images_keep_shape_and_are_all_changed():
    pictures = np.random.default_rng(0).integers(0, 256, (50, 3, 6, 5)).astype(np.uint8)
    plain, flip, shift, noise = np.split(variants(pictures, np.random.default_rng(1)), 4)
    assert np.array_equal(plain, pictures) and np.array_equal(flip[..., ::-1], pictures)
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    for before, after in zip(pictures, shift, strict=True):
        inner = [np.array_equal(after[:, 1:-1, 1:-1], np.roll(before, s, (1, 2))[:, 1:-1, 1:-1]) for s in steps]
        assert sum(inner) == 1 and not inner[4]
    assert 1 <= np.abs(noise.astype(int) - pictures).max() <= 8


@pytest.mark.parametrize("answer", [b"", b"{}x", b'{"exact": "zz", "axes": []}', b'{"exact": 1}', b'{"axes": [[1.0]]}'])
def test_nonsense_from_the_sandbox_is_no_fingerprint(answer, monkeypatch):
    from autograder.grading.sandbox import Completed

    class Lying:
        python = "python"

        def run(self, *arguments, **options):
            return Completed(returncode=0, stdout=answer, stderr_tail="", reason="ok", wall_s=0.0)

    assert model_fingerprint.fingerprint(Lying(), b"model") is None


def test_weights_are_compared_up_to_names_order_type_permutation_and_scale(box):
    net = Net(1)
    files = [
        net.onnx(),
        net.onnx("q"),
        net.onnx(kind=np.float64),
        net.permuted_and_scaled(2).onnx(kind=np.float16),
        Net(2).onnx(),
        Net(1, 61).onnx(),
    ]
    prints = [model_fingerprint.fingerprint(box, data) for data in files]
    same = {pair for pair, share in model_fingerprint.shared(prints).items() if share >= 0.5}
    assert same == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}
    assert prints[0].exact == prints[1].exact == prints[2].exact != prints[3].exact
