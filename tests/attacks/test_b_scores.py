"""4b: getting at the labels, at the score, or at a better score than the model has."""

import json
import os
import re
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper

from autograder.course.manifest import HiddenSetSpec, Quota
from autograder.grading import hidden_set
from autograder.grading import predict as predict_module
from autograder.grading.accuracy import NO_CLASS, count_correct, passes
from autograder.grading.runtime import runtime_roots
from autograder.records.export import scores_bytes
from autograder.records.gradebook import Gradebook

# What a model could at worst do: take over the program that runs it. 400 inputs, 4 classes.
TAKEN_OVER = {
    "leaves at once": (15, "import os; os._exit(0)", "FAILED(no_predictions)"),
    "leaves politely": (15, "import sys; sys.exit(0)", "FAILED(no_predictions)"),
    "leaves half way": (15, "import os; os.write(1, bytes(200)); os._exit(0)", "FAILED(no_predictions)"),
    "prints a score": (16, "print('{\"score\": 1.0}')", "FAILED(no_predictions)"),
    "prints an accuracy": (16, "print('Accuracy: 99 %')", "FAILED(no_predictions)"),
    "one more": (25, "import os; os.write(1, bytes(401))", "FAILED(output)"),
    "one less": (25, "import os; os.write(1, bytes(399))", "FAILED(no_predictions)"),
    "a class that is none": (25, "import os; os.write(1, bytes(399) + bytes([4]))", "FAILED(bad_output)"),
    "minus one": (25, "import os; os.write(1, bytes([254]) * 400)", "FAILED(bad_output)"),
    "as floats": (25, "import os, array; os.write(1, array.array('f', [1.0] * 400).tobytes())", "FAILED(output)"),
    "without end": (39, "import os\nwhile True: os.write(1, bytes(4096))", "FAILED(output)"),
    "blames us": (15, "import os; os.write(2, b'x'); os._exit(6)", "FAILED(no_predictions)"),
}


@pytest.mark.attack(15, 16, 25, 39, verdict="FAILED(no_predictions | bad_output | output)")
@pytest.mark.parametrize("what", TAKEN_OVER)
def test_a_program_that_was_taken_over_gives_a_reason_and_never_a_score(house, tools, monkeypatch, tmp_path, what):
    house.hand_in("honest")
    house.grade()  # older results stay whatever comes
    script = tools.taken_over(tmp_path / "hostile.py", TAKEN_OVER[what][1])
    monkeypatch.setattr(predict_module, "SCRIPT", script)
    house.hand_in("mallory")
    house.grade()
    assert house.verdict("mallory") == TAKEN_OVER[what][2]


@pytest.mark.attack(17, 18, verdict="SCORED by another process, nothing written")
def test_writing_results_and_patching_libraries_changes_no_score(house, tools, monkeypatch, tmp_path):
    targets = [house.course_dir / "records.db", house.course_dir / "scores.json", house.hidden / "labels.npy"]
    targets += [house.course_dir / "predictions", house.outside / "precious", house.root / "grades.csv"]
    program = f"""
import builtins, os, sys
import numpy as np
for place in {[str(path) for path in targets]!r} + ["/inputs.npy", "/model.onnx", "/predict.py", "/results.json"]:
    for action in (lambda: open(place, "wb").write(b"hacked"), lambda: os.remove(place), lambda: os.mkdir(place)):
        try:
            action()
            os._exit(99)
        except OSError:
            pass
np.count_nonzero = np.sum = lambda *a, **k: 400
np.ndarray = builtins.sum = builtins.len = None
os.write(1, bytes(400))
os._exit(0)
"""
    monkeypatch.setattr(predict_module, "SCRIPT", tools.taken_over(tmp_path / "hostile.py", program))
    house.hand_in("honest")
    house.hand_in("mallory")
    house.collect()
    from autograder.grading.score import score

    score(house.course, house.exercise.id, house.course_dir, progress=False)
    zeros = int(np.count_nonzero(house.labels == 0))
    assert house.verdict("mallory") == house.verdict("honest") == f"SCORED({zeros})"  # what 400 zeros deserve
    assert (house.outside / "precious").read_text() == "untouched"
    assert np.array_equal(np.load(house.hidden / "labels.npy"), house.labels)


LOOK_EVERYWHERE = r"""
import os, stat, sys
skip = set(sys.argv[4].split(":"))
out = []
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in skip]
    for name in files:
        path = os.path.join(folder, name)
        out.append(path.encode(errors="replace"))
        try:
            if stat.S_ISREG(os.stat(path).st_mode): out.append(open(path, "rb").read(2_000_000))
        except OSError: pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "maps", "mem", "auxv"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file: out.append(file.read(1_000_000))
        except OSError: pass
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"): out.append(os.readlink(f"/proc/{pid}/fd/{fd}").encode())
    except OSError: pass
out.append(repr(dict(os.environ)).encode() + repr(sys.argv).encode())
import gc; out.append(repr(gc.get_objects())[:5_000_000].encode(errors="replace"))
sys.stdout.buffer.write(b"\n".join(out))
"""


@pytest.mark.attack(19, 20, verdict="nothing to be found")
def test_no_label_is_in_any_file_process_descriptor_or_variable_that_the_sandbox_has(
    house, box, tools, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABELS", ",".join(map(str, house.labels)))  # in our own environment, on purpose
    read, write = os.pipe()
    os.write(write, house.labels.tobytes())
    os.set_inheritable(read, True)
    asked = {}

    class Spy:
        python, is_safe = box.python, True

        def run(self, argv, *, mounts, limits):
            asked.update(argv=argv, mounts=mounts, limits=limits)
            return predict_module.Completed("ok", 0, bytes(limits.output_bytes), "", 0.1)

    model = tmp_path / "model.onnx"
    model.write_bytes(b"x")
    predict_module.predict(Spy(), model, house.hidden / "inputs.npy", tools.N, tools.CLASSES)
    script = tmp_path / "look.py"
    script.write_text(LOOK_EVERYWHERE)
    for path in (script, model):
        path.chmod(0o644)
    skip = ":".join(map(str, (*runtime_roots(), "/usr", "/proc", "/sys")))
    mounts = [
        predict_module.Mount(script if m.target == "/predict.py" else m.source, m.target) for m in asked["mounts"]
    ]
    argv = [*asked["argv"][:5], "10", skip]
    done = box.run(argv, mounts=mounts, limits=tools.limits(output_bytes=50_000_000, memory_bytes=1 << 30))
    os.close(read), os.close(write)
    assert done.reason == "ok", done.stderr_tail
    assert (house.hidden / "inputs.npy").read_bytes()[:2000] in done.stdout  # it did look
    assert not any(needle in done.stdout for needle in tools.encodings(house.labels))
    assert b"labels.npy" not in done.stdout


@pytest.mark.attack(20, verdict="refused by the build")
def test_labels_are_never_built_where_every_sandbox_can_read():
    from autograder.errors import HiddenSetError

    for root in (*runtime_roots()[:1], "/usr/share"):
        with pytest.raises(HiddenSetError, match="every sandbox can read"):
            hidden_set.build(root / "course" if not isinstance(root, str) else __import__("pathlib").Path(root),
                             "04_grid_search", stand_in="cifar10", n=10)  # fmt: skip


@pytest.mark.attack(21, verdict="SCORED by looking at the images only")
def test_the_order_of_the_inputs_says_nothing_about_the_labels(tmp_path, monkeypatch):
    images = np.zeros((600, 2, 2, 1), np.uint8)
    sorted_labels = np.repeat(np.arange(6), 100).astype(np.uint8)
    images[..., 0] = sorted_labels[:, None, None]
    description = {"source": "sorted", "stand_in": False, "classes": list("abcdef")}
    monkeypatch.setattr(hidden_set, "_pack", lambda request, out: (images, sorted_labels, description))
    labels = []
    for name in ("one", "two"):
        hidden_set.build(tmp_path / name, "04_grid_search", dataset="sorted")
        labels.append(hidden_set.load_labels(tmp_path / name, "04_grid_search").astype(float))
    assert not np.array_equal(*labels), "the order is not drawn anew"
    index = np.arange(600)
    for found in labels:  # a step function of the row number scored 1.0 elsewhere; here it is chance (4 sigma)
        assert abs(np.corrcoef(index, found)[0, 1]) < 4 / np.sqrt(600)
        step = np.searchsorted(np.cumsum(np.bincount(found.astype(int))), index, side="right")
        assert np.mean(step == found) < 1 / 6 + 4 * np.sqrt(5 / 36 / 600)
    shown = [path.name for path in (tmp_path / "one/hidden/04_grid_search").iterdir()]
    assert sorted(shown) == ["inputs.npy", "labels.npy", "meta.json"]  # no file name per image


@pytest.mark.attack(22, 23, verdict="FAILED(too_many_parameters); a new set has a new version")
def test_a_table_of_the_test_images_is_too_large_and_a_leaked_set_is_replaced(house, models):
    table = (house.inputs.reshape(len(house.inputs), -1) / 255).astype(np.float32)  # every image a row of weights
    one_hot = np.eye(4, dtype=np.float32)[house.labels]
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "images"], ["near"], transB=1, alpha=1000.0),
        helper.make_node("Softmax", ["near"], ["which"]),
        helper.make_node("MatMul", ["which", "answers"], ["y"]),
    ]
    house.hand_in(
        "parrot", model__onnx=models.bytes(nodes, [models.tensor("images", table), models.tensor("answers", one_hot)])
    )
    house.grade()
    assert house.verdict("parrot") == "FAILED(too_many_parameters)"
    # a smaller table fits and is worth what it knows; the set is then built anew and everybody judged again
    few = slice(0, 60)
    small = models.bytes(nodes, [models.tensor("images", table[few]), models.tensor("answers", one_hot[few])])
    house.hand_in("small parrot", model__onnx=small)
    house.grade()
    before = house.version
    known = int(re.fullmatch(r"SCORED\((\d+)\)", house.verdict("small parrot"))[1])
    house.hide(seed=2)
    house.grade()
    assert house.version != before
    after = int(re.fullmatch(r"SCORED\((\d+)\)", house.verdict("small parrot"))[1])
    assert after < 300 and known < 400
    with Gradebook(house.course_dir) as book:  # the old results are history and stay
        versions = {row.dataset_version for row in book.results(house.exercise.id)}
    assert versions == {before, house.version}


def odd_outputs(models):
    """(case, name, model, verdict)."""
    free = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    start = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["z"])]
    weights = [models.tensor("w", np.eye(8, 4))]

    def ending(*nodes, more=(), outputs=None):
        return models.bytes([*start, *nodes], [*weights, *more], outputs=outputs)

    axis0 = helper.make_tensor("axis", TensorProto.INT64, [1], [0])
    axis1 = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    mean = [
        helper.make_node("ReduceMean", ["z", "axis"], ["m"], keepdims=1),
        helper.make_node("Sub", ["z", "m"], ["c"]),
        helper.make_node("ReduceMean", ["c", "one"], ["row"], keepdims=1),
    ]
    odd = helper.make_node("Sub", ["c", "row"], ["y"])
    leaky = models.tensor("limit", [0.85])
    finite = [
        helper.make_node("ReduceMax", ["z", "one"], ["top"], keepdims=1),
        helper.make_node("Greater", ["top", "limit"], ["g"]),
        helper.make_node("Where", ["g", "nan", "z"], ["y"]),
    ]
    bn = ["scale", "bias", "mean", "var"]
    norm = [models.tensor(name, np.ones(4)) for name in bn]
    train = helper.make_node("BatchNormalization", ["z", *bn], ["y", "m1", "v1"], training_mode=1)
    drop = [
        helper.make_tensor("p", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("t", TensorProto.BOOL, [], [True]),
    ]
    return [
        (24, "all infinite", ending(helper.make_node("Div", ["z", "zero"], ["y"]), more=[models.tensor("zero", [0.0])]),
         "FAILED(non_finite)"),
        (24, "NaN where sure", ending(*finite, more=[axis1, leaky, models.tensor("nan", [np.nan])]), "FAILED(non_finite)"),
        (25, "one row", ending(helper.make_node("ReduceMean", ["z", "axis"], ["y"], keepdims=1), more=[axis0],
                               outputs=free), "FAILED(bad_output)"),
        (25, "integers", ending(helper.make_node("Cast", ["z"], ["y"], to=TensorProto.INT64), outputs=free),
         "FAILED(corrupt)"),
        (25, "class ids", ending(helper.make_node("ArgMax", ["z"], ["y"], axis=1), outputs=free), "FAILED(corrupt)"),
        (25, "one class more", ending(helper.make_node("Concat", ["z", "z"], ["y"], axis=1), outputs=free),
         "FAILED(bad_output)"),
        (26, "batch norm in training", ending(train, more=norm), "FAILED(training_mode)"),
        (26, "statistics of the batch", ending(*mean, odd, more=[axis0, axis1]), "SCORED"),
        (27, "random numbers", ending(helper.make_node("RandomNormalLike", ["z"], ["y"])), "FAILED(operator_not_allowed)"),
        (27, "dropout in training", ending(helper.make_node("Dropout", ["z", "p", "t"], ["y"]), more=drop),
         "FAILED(training_mode)"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def odd(shared_house, models):
    for _, name, data, _ in (listed := odd_outputs(models)):
        shared_house.hand_in(name, model__onnx=data)
    start = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["z"])]
    neighbours = [  # the answer of a row is the sum over its whole batch: what a batch of one class would be good for
        helper.make_node("CumSum", ["z", "zero"], ["s"]),
        helper.make_node("Mul", ["s", "s"], ["y"]),
    ]
    zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    data = models.bytes([*start, *neighbours], [models.tensor("w", np.eye(8, 4)), zero])
    shared_house.hand_in("remembers its neighbours", model__onnx=data)
    shared_house.grade()
    return shared_house, {name: verdict for _, name, _, verdict in listed}


@pytest.mark.attack(24, 25, 26, 27, verdict="FAILED(non_finite | bad_output | training_mode | operator_not_allowed)")
def test_outputs_that_are_no_class_per_image_have_their_reason(odd):
    house, expected = odd
    found = {name: re.sub(r"SCORED\(\d+\)", "SCORED", house.verdict(name)) for name in expected}
    assert found == expected


@pytest.mark.attack(26, verdict="FAILED(order_dependent)")
def test_a_model_whose_answer_depends_on_its_neighbours_is_refused(odd):
    house, _ = odd
    assert house.verdict("remembers its neighbours") == "FAILED(order_dependent)"
    assert "another order" in house.detail("remembers its neighbours")


@pytest.mark.attack(24, verdict="SCORED, such rows wrong")
def test_rows_with_a_nan_are_wrong_and_nan_is_never_first():
    labels = np.array([0, 1, 2, 3], np.uint8)
    assert count_correct(np.array([0, NO_CLASS, 2, NO_CLASS], np.uint8), labels) == (2, 4, 2)


@pytest.mark.attack(28, verdict="REJECTED(quota)")
def test_asking_the_scorer_again_and_again_ends_with_the_quota(house, models, tools):
    house.with_exercise(quota=Quota(per_day=3, total=5))
    start = tools.DUE - timedelta(days=5)
    for number in range(8):  # each a constant answer: what would tell the class frequencies, then single labels
        bias = models.tensor("b", np.eye(4)[number % 4] * (number + 1))
        house.hand_in("oracle", model__onnx=models.then(helper.make_node("Add", ["z", "b"], ["y"]), more=[bias]))
        house.collect(now=start + timedelta(minutes=number))
    taken = [row.state for row in house.rows("oracle")]
    assert taken == ["queued"] * 3 + ["REJECTED"] * 5
    assert house.verdict("oracle") == "REJECTED(quota)" and "(UTC)" in house.detail("oracle")
    house.hand_in("oracle", model__onnx=models.then(helper.make_node("Neg", ["z"], ["y"])))
    house.collect(now=start + timedelta(days=1))
    assert [row.state for row in house.rows("oracle")].count("queued") == 4  # a new day


@pytest.mark.attack(29, 30, verdict="before the deadline only a half is shown, after it the other ranks")
def test_what_is_shown_before_the_deadline_is_not_what_decides(house, models):
    house.with_exercise(hidden_set=HiddenSetSpec("toy", 48, split=True))
    house.grade()
    with Gradebook(house.course_dir) as book:
        exported = json.loads(scores_bytes(house.course, house.course_dir, book))["exercises"][0]
        (result,) = book.results(house.exercise.id)
    assert exported["phase"] == "public"
    (entry,) = exported["entries"]
    assert entry["total"] == len(house.labels) // 2 < result.total
    assert result.correct not in (entry["correct"], entry.get("public_correct"))
    shown = sum(byte.bit_count() for byte in result.public_right)
    hidden = sum(byte.bit_count() for byte in result.private_right)
    assert (entry["correct"], shown + hidden) == (shown, result.correct)


@pytest.mark.attack(31, verdict="integers decide")
def test_exactly_48_percent_passes_for_every_size_of_the_set():
    for total in range(1, 3000):
        needed = -(-48 * total // 100)
        for correct in {max(0, needed - 1), min(needed, total)}:
            assert passes(correct, total, 48) is (Fraction(correct, total) >= Fraction(48, 100))
    assert passes(4800, 10_000, 48) and not passes(4799, 10_000, 48)
    assert float(np.float32(0.48)) < 0.48  # why it must not be decided in floats
