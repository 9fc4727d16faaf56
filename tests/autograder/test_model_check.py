import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from autograder.grading.model_check import ModelRefused, check_model

FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class Contract:
    file: str = "model.onnx"
    input: tuple[int, int, int] = (3, 4, 4)
    classes: int = 10
    max_parameters: int = 2000
    max_bytes: int = 200_000


def tensor(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def model(
    nodes=None, initializers=None, *, inputs=None, outputs=None, opset=18, domains=(), functions=()
) -> onnx.ModelProto:
    """Flatten and one linear layer, 48 -> 10, unless told otherwise: 490 parameters."""
    if nodes is None:
        nodes = [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["y"]),
        ]
    if initializers is None:
        initializers = [tensor("w", 48, 10), tensor("b", 10)]
    graph = helper.make_graph(
        nodes,
        "net",
        inputs or [helper.make_tensor_value_info("x", FLOAT, ["N", 3, 4, 4])],
        outputs or [helper.make_tensor_value_info("y", FLOAT, ["N", 10])],
        initializers,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)


def refusal(data: bytes | onnx.ModelProto, contract: Contract | None = None) -> tuple[str, str]:
    if isinstance(data, onnx.ModelProto):
        data = data.SerializeToString()
    with pytest.raises(ModelRefused) as caught:
        check_model(data, contract or Contract())
    assert "\n" not in caught.value.detail and len(caught.value.detail) < 300
    return caught.value.code, caught.value.detail


def accepted(given: onnx.ModelProto, contract: Contract | None = None):
    return check_model(given.SerializeToString(), contract or Contract())


def test_a_good_model_gives_its_facts() -> None:
    data = model().SerializeToString()
    facts = check_model(data, Contract())
    assert (facts.parameters, facts.opset, facts.bytes) == (490, 18, len(data))
    assert facts.operators == ("Flatten", "Gemm")


def test_weights_count_wherever_they_are_stored_and_shapes_do_not() -> None:
    constant = helper.make_node("Constant", [], ["w"], value=tensor("w", 48, 10))
    flat = helper.make_node("Reshape", ["x", "shape"], ["flat"])
    gemm = helper.make_node("Gemm", ["flat", "w", "b"], ["y"])
    bias = helper.make_node("Constant", [], ["b"], value_floats=[0.0] * 10)
    shape = numpy_helper.from_array(np.array([-1, 48]), "shape")
    assert accepted(model([constant, bias, flat, gemm], [shape])).parameters == 490
    bytes_as_weights = numpy_helper.from_array(np.zeros((48, 10), np.int8), "w8")
    cast = helper.make_node("Cast", ["w8"], ["w"], to=FLOAT)
    assert accepted(model([cast, bias, flat, gemm], [shape, bytes_as_weights])).parameters == 490


def test_old_files_that_list_weights_among_the_inputs_are_accepted() -> None:
    inputs = [
        helper.make_tensor_value_info("x", FLOAT, ["N", 3, 4, 4]),
        helper.make_tensor_value_info("w", FLOAT, [48, 10]),
    ]
    assert accepted(model(inputs=inputs)).parameters == 490


def test_the_models_of_torch_are_accepted(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(8),
        nn.Dropout(0.3),
        nn.GELU(),
        nn.Linear(8, 10),
    ).eval()
    path = tmp_path / "m.onnx"
    torch.onnx.export(
        net,
        (torch.rand(2, 3, 4, 4),),
        path,
        dynamo=False,
        opset_version=18,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
    )
    facts = check_model(path.read_bytes(), Contract())
    assert "Conv" in facts.operators and 0 < facts.parameters < 1000


def pickled() -> bytes:
    return pickle.dumps({"w": [1.0]})


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"data")
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (pickled(), "pickle"),
        (pickle.dumps([1], protocol=0), "pickle"),
        (zipped("archive/data.pkl", "archive/data/0"), "torch checkpoint"),
        (zipped("archive/code/a.py", "archive/constants.pkl", "archive/data.pkl"), "TorchScript"),
        (zipped("config.json", "model.weights.h5"), "Keras"),
        (zipped("readme"), "zip archive"),
        (npz(), "npz"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        ((20).to_bytes(8, "little") + b'{"w":{"dtype":"F32"}', "safetensors"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(20), "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"<!DOCTYPE html>", "HTML"),
        (b'{"a": 1}', "JSON"),
        (b"#!/bin/sh\nrm -rf /\n", "script"),
    ],
)
def test_another_format_is_refused_by_name_and_never_loaded(data: bytes, word: str) -> None:
    code, detail = refusal(data)
    assert code == "not_onnx" and word in detail


def test_a_pickle_is_not_executed() -> None:
    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('the pickle ran')",)

    assert refusal(pickle.dumps(Bomb()))[0] == "not_onnx"
    assert refusal(pickle.dumps(Bomb(), protocol=0))[0] in ("not_onnx", "corrupt")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x08",
        bytes(1000),
        np.random.default_rng(0).bytes(5000),
        model().SerializeToString()[:-100],
        model().SerializeToString()[:700],
    ],
    ids=["empty", "no graph", "zeros", "random", "truncated", "cut short"],
)
def test_bytes_that_are_no_model_are_corrupt(data: bytes) -> None:
    assert refusal(data)[0] == "corrupt"


def test_damaged_models_are_refused_or_checked_but_never_raise_anything_else() -> None:
    good = model().SerializeToString()
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 6))):
            # the structure is at the beginning and the end; the middle is weights
            at = int(rng.choice([rng.integers(0, 160), rng.integers(len(good) - 160, len(good))]))
            data[at] = int(rng.integers(0, 256))
        try:
            check_model(bytes(data), Contract())
            outcomes.add("accepted")
        except ModelRefused as refused:
            outcomes.add(refused.code)
    assert {"accepted", "corrupt", "operator_not_allowed"} <= outcomes


def test_bytes_after_the_model_or_of_another_format_inside_it_are_refused() -> None:
    data = model().SerializeToString()
    unknown_field = b"\xfa\x3f\x04evil"  # field 1023, four bytes
    assert refusal(data + unknown_field)[0] == "corrupt"
    assert refusal(data + zipped("a"))[0] == "corrupt"


def test_a_file_over_the_size_limit_is_refused_before_it_is_parsed() -> None:
    data = model().SerializeToString()
    assert check_model(data, Contract(max_bytes=len(data)))
    code, detail = refusal(data, Contract(max_bytes=len(data) - 1))
    assert code == "too_large" and f"{len(data):,}" in detail
    assert refusal(b"\x08" * 1001, Contract(max_bytes=1000))[0] == "too_large"


def test_external_data_is_refused() -> None:
    for place in ("labels.npy", "../../hidden/labels.npy"):
        outside = onnx.TensorProto(name="w", data_type=FLOAT, dims=[48, 10])
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value=place)
        assert refusal(model(initializers=[outside, tensor("b", 10)]))[0] == "external_data"
        node = helper.make_node("Constant", [], ["w"], value=outside)
        rest = list(model().graph.node)
        assert refusal(model([node, *rest], [tensor("b", 10)]))[0] == "external_data"
    sneaky = tensor("w", 48, 10)
    sneaky.external_data.add(key="location", value="x")  # without the EXTERNAL mark
    assert refusal(model(initializers=[sneaky, tensor("b", 10)]))[0] == "external_data"


def test_other_domains_are_refused_in_imports_and_nodes() -> None:
    assert refusal(model(domains=["com.microsoft"]))[0] == "domain_not_allowed"
    node = helper.make_node("Gemm", ["flat", "w", "b"], ["y"], domain="com.microsoft")
    code, detail = refusal(model([model().graph.node[0], node]))
    assert code == "domain_not_allowed" and "com.microsoft" in detail


@pytest.mark.parametrize("opset", [1, 16, 24, 99])
def test_an_opset_outside_the_range_is_refused(opset: int) -> None:
    code, detail = refusal(model(opset=opset))
    assert code == "opset" and "17..23" in detail and str(opset) in detail


@pytest.mark.parametrize("opset", [17, 23])
def test_the_ends_of_the_opset_range_are_accepted(opset: int) -> None:
    assert accepted(model(opset=opset)).opset == opset


def test_loops_branches_and_functions_are_refused() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("c_out", TensorProto.BOOL, [])],
    )
    rest = list(model().graph.node)
    loop = helper.make_node("Loop", ["", ""], ["z"], body=body)
    branch = helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
    hidden = helper.make_node("Relu", ["x"], ["z"], body=body)
    for node in (loop, branch, hidden):
        assert refusal(model([node, *rest]))[0] == "subgraph"
    assert refusal(model([helper.make_node("Loop", ["", ""], ["z"]), *rest]))[0] == "operator_not_allowed"
    function = helper.make_function(
        "local", "f", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    assert refusal(model(functions=[function]))[0] == "functions"


@pytest.mark.parametrize(
    "operator",
    [
        "RandomNormal",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "StringConcat",
        "SequenceAt",
        "Evil\x1b[31m",
    ],
)
def test_random_string_sequence_and_unknown_operators_are_refused(operator: str) -> None:
    code, detail = refusal(model([helper.make_node(operator, ["x"], ["z"]), *model().graph.node]))
    assert code == "operator_not_allowed" and "\x1b" not in detail


def test_layers_left_in_training_mode_are_refused() -> None:
    drop = helper.make_node("Dropout", ["x", "", "yes"], ["d"])
    rest = list(model().graph.node)
    for value, code in ((True, "training_mode"), (False, None)):
        flag = numpy_helper.from_array(np.array(value), "yes")
        given = model([drop, *rest], [flag, tensor("w", 48, 10), tensor("b", 10)])
        if code:
            assert refusal(given)[0] == code
        else:
            assert accepted(given)
    norm = helper.make_node("BatchNormalization", ["x", "s", "s", "s", "s"], ["n"], training_mode=1)
    weights = [tensor("s", 3), tensor("w", 48, 10), tensor("b", 10)]
    assert refusal(model([norm, *rest], weights))[0] == "training_mode"


def test_too_many_parameters_are_refused_with_both_numbers() -> None:
    assert accepted(model(), Contract(max_parameters=490)).parameters == 490
    code, detail = refusal(model(), Contract(max_parameters=489))
    assert code == "too_many_parameters" and "489" in detail and "490" in detail


def test_a_huge_tensor_in_a_tiny_file_is_refused_at_once() -> None:
    for shape in ([1 << 40, 1 << 40], [-1], [1 << 62] * 50_000):
        liar = onnx.TensorProto(name="w", data_type=FLOAT, dims=shape)
        assert refusal(model(initializers=[liar, tensor("b", 10)]), Contract(max_bytes=10**7))[0] == "corrupt"
    short = tensor("w", 48, 10)
    short.raw_data = short.raw_data[:-4]
    assert refusal(model(initializers=[short, tensor("b", 10)]))[0] == "corrupt"


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_a_huge_tensor_computed_from_a_small_constant_is_refused(operator: str) -> None:
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "shape")
    inputs = ["shape"] if operator == "ConstantOfShape" else ["b", "shape"]
    rest = list(model().graph.node)
    given = model([helper.make_node(operator, inputs, ["big"]), *rest], [shape, tensor("w", 48, 10), tensor("b", 10)])
    code, detail = refusal(given)
    assert code == "too_many_parameters" and operator in detail
    constant = helper.make_node("Constant", [], ["shape"], value_ints=[1 << 20, 1 << 20])
    given = model([constant, helper.make_node(operator, inputs, ["big"]), *rest])
    assert refusal(given)[0] == "too_many_parameters"


def test_text_complex_and_sparse_tensors_are_refused() -> None:
    text = helper.make_tensor("w", TensorProto.STRING, [1], [b"a"])
    assert refusal(model(initializers=[text, tensor("b", 10)]))[0] == "tensor_type"
    sparse = model()
    sparse.graph.sparse_initializer.add()
    assert refusal(sparse)[0] == "tensor_type"


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ([("x", FLOAT, ["N", 3, 8, 8])], "8"),
        ([("x", FLOAT, ["N", 48])], "48"),
        ([("x", FLOAT, ["N", "C", 4, 4])], "?"),
        ([("x", FLOAT, [1, 3, 4, 4])], "dynamic batch"),
        ([("x", FLOAT, None)], "no shape"),
        ([("x", TensorProto.UINT8, ["N", 3, 4, 4])], "float32"),
        ([("x", FLOAT, ["N", 3, 4, 4]), ("labels", FLOAT, ["N"])], "2 inputs"),
    ],
)
def test_another_input_than_the_exercise_asks_for_is_refused(inputs, word: str) -> None:
    code, detail = refusal(model(inputs=[helper.make_tensor_value_info(*one) for one in inputs]))
    assert code == "wrong_input" and word in detail and "(N, 3, 4, 4)" in detail


@pytest.mark.parametrize(
    ("outputs", "word"),
    [
        ([("y", FLOAT, ["N", 11])], "11"),
        ([("y", FLOAT, ["N"])], "(?)"),
        ([("y", FLOAT, [256, 10])], "256"),
        ([("y", TensorProto.INT64, ["N", 10])], "float32"),
        ([("y", FLOAT, ["N", 10]), ("flat", FLOAT, ["N", 48])], "2 outputs"),
    ],
)
def test_another_output_than_the_exercise_asks_for_is_refused(outputs, word: str) -> None:
    code, detail = refusal(model(outputs=[helper.make_tensor_value_info(*one) for one in outputs]))
    assert code == "wrong_output" and word in detail and "(N, 10)" in detail


def test_an_output_of_undeclared_size_is_left_to_the_run() -> None:
    for shape in (None, ["N", "C"], [None, 10]):
        assert accepted(model(outputs=[helper.make_tensor_value_info("y", FLOAT, shape)]))


def test_values_that_are_unknown_doubled_or_out_of_order_are_corrupt() -> None:
    flatten, gemm = model().graph.node
    assert refusal(model([gemm, flatten]))[0] == "corrupt"
    assert refusal(model([flatten, flatten, gemm]))[0] == "corrupt"
    assert refusal(model([flatten]))[0] == "corrupt"
    assert refusal(model(initializers=[tensor("w", 48, 10), tensor("w", 48, 10), tensor("b", 10)]))[0] == "corrupt"
