"""Reading ONNX without protobuf: the same as protobuf where both read, and stricter where two readers could differ."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from autograder.errors import SandboxError
from autograder.grading import model_inspect
from autograder.grading.model_check import ModelFacts, check_model
from autograder.grading.model_refusal import ModelRefused
from autograder.grading.model_wire import Message, Numbers, WireError, read_model
from autograder.grading.sandbox import Completed, Sandbox


class Contract:
    file, input, classes, max_parameters, max_bytes = "model.onnx", (3, 8, 8), 5, 100_000, 1_000_000
    max_flops: int | None = None


def weights(name, *shape):
    return numpy_helper.from_array(np.random.default_rng(1).normal(size=shape).astype(np.float32), name)


def convolutional():
    """Conv 3->4 (3x3, stride 2, padding 1), ReLU, pooling, linear: every size is computed by hand below."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["p"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["p", "target"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1),
    ]
    small = [
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [0]),
        helper.make_tensor("rest", TensorProto.INT64, [1], [-1]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [weights("k", 4, 3, 3, 3), weights("w", 5, 16), weights("b", 5), *small],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def same(ours: Message, theirs) -> None:
    """Every field that protobuf sees set has the same value here."""
    for field, value in theirs.ListFields():
        mine = getattr(ours, field.name)
        if isinstance(mine, Numbers):
            assert mine.values() == pytest.approx(list(value))
        elif field.message_type is not None and isinstance(mine, list):
            assert len(mine) == len(value)
            for one, other in zip(mine, value, strict=True):
                same(one, other)
        elif isinstance(mine, Message):
            same(mine, value)
        elif isinstance(mine, list):
            assert [bytes(v) if isinstance(v, memoryview) else v for v in mine] == list(value)
        else:
            plain = bytes(mine) if isinstance(mine, memoryview) else mine
            assert plain == (value.encode() if isinstance(plain, bytes) and isinstance(value, str) else value), (
                field.name
            )


def test_what_protobuf_reads_is_read_the_same():
    model = convolutional()
    model.producer_name, model.doc_string = "t\u00e9st", "about"
    model.metadata_props.add(key="k", value="v")
    model.graph.initializer.append(helper.make_tensor("d", TensorProto.DOUBLE, [2], [0.5, -2.0]))
    model.graph.initializer.append(helper.make_tensor("neg", TensorProto.INT64, [2], [-1, -(1 << 62)]))
    model.graph.initializer.append(helper.make_tensor("half", TensorProto.FLOAT16, [2], [1.0, 2.0]))
    same(read_model(model.SerializeToString()), model)


def test_torchs_own_export_is_read_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    )
    path = tmp_path / "m.onnx"
    torch.onnx.export(net.eval(), (torch.zeros(2, 3, 8, 8),), str(path), dynamo=True, external_data=False, verbose=False,
                      dynamic_shapes=({0: torch.export.Dim("N")},), opset_version=18)  # fmt: skip
    same(read_model(path.read_bytes()), onnx.load(path))


def test_flops_are_those_counted_by_hand():
    """Conv: 16 positions x 4 channels x 27 products x 2; ReLU 64; pooling 16 x 4; linear 5 x 16 x 2."""
    expected = 2 * 4 * 4 * 4 * 27 + 64 + 16 * 4 + 2 * 5 * 16
    facts = check_model(convolutional().SerializeToString(), Contract())
    assert facts.flops == expected
    assert facts.parameters == 4 * 27 + 5 * 16 + 5


@pytest.mark.parametrize("most", [1, 3000, 10**9])
def test_the_limit_of_operations_holds(most):
    contract = Contract()
    contract.max_flops = most
    data = convolutional().SerializeToString()
    if most > 10**6 or most >= check_model(data, Contract()).flops:
        assert check_model(data, contract).flops
        return
    with pytest.raises(ModelRefused, match="too_many_flops") as caught:
        check_model(data, contract)
    assert f"{most:,}" in caught.value.detail


def test_operations_that_cannot_be_counted_are_refused_only_where_there_is_a_limit():
    model = convolutional()
    node = helper.make_node("Einsum", ["f", "w"], ["y"], equation="nf,cf->nc")
    del model.graph.node[-1]
    model.graph.node.append(node)
    del model.graph.initializer[2]  # the bias
    assert check_model(model.SerializeToString(), Contract()).flops is None
    contract = Contract()
    contract.max_flops = 10**12
    with pytest.raises(ModelRefused, match="cannot be counted"):
        check_model(model.SerializeToString(), contract)


def field(number, wire, content=b""):
    return varint(number << 3 | wire) + (varint(len(content)) + content if wire == 2 else content)


def varint(number):
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


GRAPH = field(7, 2, field(2, 2, b"g"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (GRAPH + GRAPH, "twice"),
        (field(30, 2, b"x"), "not defined by ONNX"),
        (field(1, 0, b"\xff" * 10 + b"\x01"), "more than ten bytes"),
        (field(1, 0, b"\xff"), "cut off"),
        (b"\x3a\x7f", "cut off"),
        (field(1, 3), "wire type 3"),
        (field(1, 4), "wire type 4"),
        (field(1, 6), "wire type 6"),
        (field(1, 2, b"x"), "wire type 2"),
        (field(7, 0, b"\x01"), "wire type 0"),
        (field(7, 2, field(5, 2, field(4, 2, b"abc"))), "is cut"),
        (field(7, 2, field(11, 2, field(2, 2, field(1, 2, b"") + field(4, 2, b"")))), "two different things"),
        (b"\x00\x01", "field 0"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(data, says):
    with pytest.raises(WireError, match=says):
        read_model(data)


def test_nesting_and_the_number_of_fields_are_bounded(monkeypatch):
    monkeypatch.setattr("autograder.grading.model_wire.MAX_FIELDS", 1000)
    many = b"".join(field(8, 2, b"") for _ in range(2000))
    with pytest.raises(WireError, match="more than 1,000 fields"):
        read_model(many)
    with pytest.raises(WireError, match="more than 1,000 fields"):
        read_model(field(7, 2, field(5, 2, field(7, 2, bytes(2045)))))  # one tensor, 2045 packed int64


def done(stdout=b"", reason="ok", returncode=0, stderr=""):
    return Completed(reason, returncode, stdout, stderr, 0.1)


class Lying:
    """A sandbox whose program says what it is told to."""

    python = "python"

    def __init__(self, completed):
        self.completed = completed

    def run(self, *arguments, **options):
        return self.completed


FACTS = {"parameters": 10, "opset": 18, "bytes": 4, "operators": ["Gemm"], "flops": 3}


def answer(**changes):
    return done(json.dumps({"facts": FACTS | changes}).encode())


@pytest.mark.parametrize(
    ("completed", "raises", "says"),
    [
        (done(reason="timeout", returncode=None), ModelRefused, "check_limits"),
        (done(reason="memory", returncode=None), ModelRefused, "check_limits"),
        (done(b'{"refused": ["opset", "old\\n one"]}'), ModelRefused, "opset: old one"),
        (answer(parameters=10**9), ModelRefused, "contradicts itself"),
        (answer(bytes=5), ModelRefused, "contradicts itself"),
        (answer(operators=["Loop"]), ModelRefused, "contradicts itself"),
        (answer(parameters=-1), SandboxError, "does not work"),
        (answer(parameters=True), SandboxError, "does not work"),
        (answer(score=1.0), SandboxError, "does not work"),
        (done(b'{"refused": ["<script>", "x"]}'), SandboxError, "does not work"),
        (done(b'{"facts": null, "refused": null}'), SandboxError, "does not work"),
        (done(b""), SandboxError, "does not work"),
        (done(b"[" * 50_000), SandboxError, "does not work"),
        (done(json.dumps({"facts": FACTS}).encode(), reason="exit", returncode=1), SandboxError, "does not work"),
    ],
)
def test_the_check_in_the_sandbox_is_believed_no_further_than_its_form(completed, raises, says):
    with pytest.raises(raises, match=says):
        model_inspect.inspect_model(Lying(completed), b"1234", Contract())
    assert model_inspect.inspect_model(Lying(answer()), b"1234", Contract()) == ModelFacts(10, 18, 4, ("Gemm",), 3)


def test_the_check_in_the_sandbox_says_the_same_as_here():
    try:
        box = Sandbox.detect()
    except SandboxError as error:
        pytest.skip(f"no sandbox here: {error}")
    data = convolutional().SerializeToString()
    assert model_inspect.inspect_model(box, data, Contract()) == check_model(data, Contract())
    with pytest.raises(ModelRefused, match="not_onnx"):
        model_inspect.inspect_model(box, b"\x80\x04K\x01.", Contract())
