"""4a: files that do harm, or nothing, when they are loaded. Only ONNX is accepted; every other format is refused by name."""

import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[2]


class Harmful:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in members.items():
            target.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def external(models, location):
    model = models.make()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return model.SerializeToString()


def cases(models, outside):
    """(case, name, model file, verdict)."""
    bomb, huge_header = Harmful(str(outside / "pwned")), json.dumps({f"t{i}": 0 for i in range(100_000)}).encode()
    good = models.bytes()
    nan = np.eye(8, 4)
    nan[0, 0] = np.nan
    constant = helper.make_node("ConstantOfShape", ["shape"], ["big"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [100_000, 100_000, 1000])
    claims = models.make()
    claims.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    many = models.make()
    many.graph.initializer.extend(models.tensor(f"t{i}", [0.0]) for i in range(3000))
    other_in = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 2, 4])]
    fixed_in = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 4])]
    other_out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])]
    return [
        *((1, f"pickle {n}", pickle.dumps(bomb, protocol=n), "FAILED(not_onnx)") for n in (0, 2, 4)),
        (1, "checkpoint with reduce", archive(archive__data_dot_pkl=pickle.dumps(bomb)), "FAILED(not_onnx)"),
        (2, "weights-only bypass", archive(model__data_dot_pkl=b"\x80\x02csys\nmodules\n."), "FAILED(not_onnx)"),
        (3, "whole module", b"\x80\x02c__main__\nNet\n)\x81.", "FAILED(not_onnx)"),
        (4, "TorchScript", archive(net__constants_dot_pkl=b"", net__code__main_dot_py=b"import os"), "FAILED(not_onnx)"),
        (5, "Keras h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "FAILED(not_onnx)"),
        (5, "Keras lambda", archive(config_dot_json=b'{"class_name":"Lambda"}'), "FAILED(not_onnx)"),
        (6, "external data up", external(models, "../../hidden/labels.npy"), "FAILED(external_data)"),
        (6, "external data absolute", external(models, "/etc/passwd"), "FAILED(external_data)"),
        (7, "npy of objects", npy(np.array([bomb], dtype=object)), "FAILED(not_onnx)"),
        (7, "npz", archive(a_dot_npy=npy(np.ones(3))), "FAILED(not_onnx)"),
        (8, "ONNX and zip", good + archive(a=b"x"), "FAILED(corrupt)"),
        (8, "GIF and ONNX", b"GIF89a" + good, "FAILED(corrupt)"),
        (8, "ONNX and a pickle behind it", good + pickle.dumps(bomb, 4), "FAILED(corrupt)"),
        (8, "graph given twice", good + good, "FAILED(corrupt)"),
        (9, "empty", b"", "FAILED(corrupt)"),
        (9, "truncated", good[: len(good) // 2], "FAILED(corrupt)"),
        (9, "random", np.random.default_rng(0).bytes(5000), "FAILED(corrupt)"),
        (9, "gzip", gzip.compress(good), "FAILED(not_onnx)"),
        (10, "safetensors header", struct.pack("<Q", 100) + b"{" + bytes(99), "FAILED(not_onnx)"),
        (10, "safetensors 2^63", struct.pack("<Q", 1 << 63) + b"{}", "FAILED(corrupt)"),
        (10, "safetensors many", struct.pack("<Q", len(huge_header[:90000])) + huge_header[:90000], "FAILED(not_onnx)"),
        (10, "too many tensors", many.SerializeToString(), "FAILED(too_many_parameters)"),
        (11, "claims 2^60 numbers", claims.SerializeToString(), "FAILED(corrupt)"),
        (11, "fills a constant", models.then(constant, helper.make_node("Add", ["z", "big"], ["y"]), more=[shape]),
         "FAILED(too_many_parameters)"),
        (11, "too many parameters", models.bytes(initializers=[models.tensor("w", np.zeros((8, 400)))]),
         "FAILED(too_many_parameters)"),
        (13, "other input", models.bytes(inputs=other_in), "FAILED(wrong_input)"),
        (13, "fixed batch", models.bytes(inputs=fixed_in), "FAILED(wrong_input)"),
        (13, "other output", models.bytes(outputs=other_out), "FAILED(wrong_output)"),
        (13, "weights that do not fit", models.bytes(initializers=[models.tensor("w", np.ones((7, 4)))]),
         "FAILED(corrupt)"),
        (14, "all NaN", models.bytes(initializers=[models.tensor("w", np.full((8, 4), np.nan))]), "FAILED(non_finite)"),
        (14, "one infinite weight", models.bytes(initializers=[models.tensor("w", np.where(nan == nan, nan, np.inf))]),
         "FAILED(non_finite)"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def graded(shared_house, models):
    for _, name, data, _ in (listed := cases(models, shared_house.outside)):
        shared_house.hand_in(name, model__onnx=data)
    shared_house.grade()
    return shared_house, {name: verdict for _, name, _, verdict in listed}


@pytest.mark.attack(
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, verdict="FAILED(not_onnx | external_data | corrupt | ...)"
)
def test_a_model_file_that_is_none_has_its_reason_and_is_never_loaded(graded):
    house, expected = graded
    assert {name: house.verdict(name) for name in expected} == expected
    assert "exercise_code.submit" in house.detail("whole module")  # how to do it right
    assert "TorchScript" in house.detail("TorchScript")
    house.unharmed()


@pytest.mark.attack(1, 5, 7, verdict="REJECTED(unexpected_file)")
@pytest.mark.parametrize(
    "name", ["model.pkl", "model.pt", "model.h5", "weights.npz", "model.keras", "model.safetensors"]
)
def test_other_formats_under_their_own_names_are_refused_at_intake(house, name):
    files = house.files("x")
    files[name] = files.pop("model.onnx")
    house.hand_in("other", pack_zip(files))
    house.grade()
    assert house.verdict("other") == "REJECTED(unexpected_file)"


def pack_zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.attack(2, verdict="no unpickler and no model library in the trusted process")
def test_the_process_that_holds_the_labels_never_loads_a_model_library():
    code = (
        "import sys\n"
        "import autograder.grading.score, autograder.grading.model_inspect, autograder.grading.predict\n"
        "import autograder.grading.model_check, autograder.intake.collect\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'keras', 'google.protobuf', 'pickle5'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.attack(12, verdict="REJECTED(too_large)")
def test_a_model_over_its_size_is_refused_at_intake_with_both_numbers(house, tools):
    house.hand_in("big", model__onnx=np.random.default_rng(0).bytes(100_001))
    house.hand_in("huge", np.random.default_rng(0).bytes(27_000_000))
    house.grade()
    assert house.verdict("big") == house.verdict("huge") == "REJECTED(too_large)"
    assert "100,000" in house.detail("big") and "missing" not in house.detail("big")
    assert "27,000,000" in house.detail("huge")


@pytest.mark.attack(9, verdict="REJECTED(archive)")
@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"\x00" * 100, b"not a zip at all"], ids=["empty", "cut", "0", "text"]
)
def test_a_zip_that_is_none_is_refused(house, data):
    house.hand_in("broken", data)
    house.grade()
    assert house.verdict("broken") == "REJECTED(archive)"


@pytest.mark.attack(9, 10, 11, verdict="FAILED, whatever the bytes")
def test_damaged_models_never_make_the_check_itself_fail(models):
    """Every one-byte change in the structure of a model: a refusal or facts, never another exception."""
    from autograder.grading.model_check import check_model
    from autograder.grading.model_refusal import ModelRefused

    class Contract:
        file, input, classes, max_parameters, max_bytes = "model.onnx", (1, 2, 4), 4, 2000, 100_000

    good = models.then(
        helper.make_node("Constant", [], ["s"], value_ints=[0, 4]),
        helper.make_node("Reshape", ["z", "s"], ["r"]),
        helper.make_node("Unsqueeze", ["r", "a"], ["u"]),
        helper.make_node("Squeeze", ["u", "a"], ["y"]),
        more=[helper.make_tensor("a", TensorProto.INT64, [1], [2])],
    )
    assert check_model(good, Contract()).flops == 2 * 8 * 4
    rng = np.random.default_rng(3)
    refused = 0
    for at in range(len(good)):
        for value in (0, 0xFF, 0x80, int(rng.integers(256))):
            try:
                check_model(good[:at] + bytes([value]) + good[at + 1 :], Contract())
            except ModelRefused:
                refused += 1
    assert refused > len(good)
