"""What makes a second look worth while, and the decoys of it; whole notebooks are in tests/attacks."""

import pytest

from autograder.grading import recheck

CHECK = 'check("tanh", Tanh)\nassert np.allclose(mean([1.0]), 1.0)'


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("def check(*a): pass", "defines check"),
        ("check = print", "defines check"),
        ("import numpy as np\nnp.allclose = lambda *a: True", "assigns to .allclose"),
        ("import numpy.testing as t\nt.assert_allclose = print", "assigns to .assert_allclose"),
        ("m = __import__('numpy')", "uses __import__"),
        ("import builtins", "imports builtins"),
        ("from unittest import mock", "imports unittest"),
        ("get_ipython().run_cell('x')", "uses get_ipython"),
        ("setattr(thing, 'allclose', 1)", "uses setattr"),
        ("class A:\n    def __eq__(self, other): return True", "defines __eq__"),
        ("A = type('A', (), {'__eq__': f})", "names __eq__"),
        ("x.__class__ = Y", "uses __class__"),
        ("import sys\nsys.modules['a'] = b", "uses modules"),
        ("def f(m): m.isclose = 1", "assigns to .isclose"),
        ("import numpy as np\npatch(np)", "passes np"),
        ("!ls", "a magic command or a shell command"),
        ("%run other.py", "a magic command or a shell command"),
        ("def (", "no plain Python"),
        ("x = '" + "a" * 300_000 + "'", "no plain Python"),
        ("(" * 100_000, "no plain Python"),
        ("def assert_allclose(*a): pass\nimport assert_allclose", "imports"),
    ],
)
def test_what_could_reach_a_check_is_named(cell, says):
    found = recheck.reasons([cell], [CHECK])
    if says == "imports":
        assert found == ()  # nothing that the checks use
    else:
        assert any(reason.startswith(says) or says in reason for reason in found), found


@pytest.mark.parametrize(
    "cell",
    [
        "import numpy as np\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "%matplotlib inline\n%timeit 1 + 1",
        "class Net:\n    def __init__(self):\n        self.cache = {}\n    def __call__(self, x):\n        return x",
        "for epoch in range(3):\n    net.weights -= 0.1 * net.grad",
        "hint('tanh')",
        "",
    ],
)
def test_ordinary_cells_are_left_in_peace(cell):
    assert recheck.reasons([cell], [CHECK]) == ()


def run(text):
    scope: dict = {}
    exec(compile(text, "cell", "exec"), scope)  # our own text
    return scope


def test_answers_are_spoilt_and_nothing_else_is():
    text = (
        "def helper(x):\n    return x + 1\n"
        "def mean(x):\n    def inner(y):\n        return y\n    return helper(x)\n"
        "scale = lambda x: 2 * x\n"
        "class Tanh:\n    kind = 'layer'\n    def forward(self, x):\n        self.x = x\n        return [x, {'a': True}, 's']\n"
        "    def update(self):\n        self.x = 7\n"
    )
    changed = recheck.spoilt(text, frozenset({"mean", "Tanh", "scale"}))
    assert changed is not None
    scope = run(changed)
    assert scope["helper"](1) == 2
    assert scope["mean"](1) != 2 and scope["scale"](2) != 4
    layer = scope["Tanh"]()
    number, table, text_out = layer.forward(3.0)
    assert number != 3.0 and table == {"a": False} and text_out == "s?"
    assert layer.update() is None and layer.x == 7


@pytest.mark.parametrize("text", ["x = 1", "def other(x):\n    return x", "def mean(x):\n    x.append(1)", "def ("])
def test_a_cell_without_an_answer_that_returns_is_not_changed(text):
    assert recheck.spoilt(text, frozenset({"mean"})) is None


def test_stubs_stand_before_each_check_once_more():
    def cell(name, source):
        return {"cell_type": "code", "id": name, "metadata": {"nbgrader": {"grade_id": name}}, "source": source}

    cells = [cell("task_a", "good"), cell("check_a", "test"), cell("own", "x"), cell("check_b", "test b")]
    decoys = recheck.with_stubs(cells, {"check_a": "stub a", "check_b": "stub b"})
    assert [one["source"] for one in decoys] == ["good", "stub a", "test", "x", "stub b", "test b"]
    assert len({one["id"] for one in decoys}) == 6 and cells[0]["source"] == "good"
