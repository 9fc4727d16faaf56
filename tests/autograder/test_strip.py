"""Stripping solutions: what is taken out, what stays, and which markers are refused."""

import pytest

from autograder.course.strip import find_regions, secret_lines, strip_regions
from autograder.errors import MarkerError

KNOWN = ("03_optimizers", "04_grid_search", "05_model_search")
LAYER = '''\
import numpy as np


class Tanh:
    """Hyperbolic tangent."""

    def forward(self, x):
        """Return tanh(x)."""
        ### BEGIN SOLUTION 04_grid_search
        self.out = np.tanh(x)
        if True:
            pass
        ### END SOLUTION
        return self.out

    def step(self, lr):
        ### BEGIN SOLUTION 03_optimizers
        self.w -= lr
        ### END SOLUTION


def later():
    ### BEGIN SOLUTION 05_model_search
    return 5
    ### END SOLUTION
'''


def test_regions_of_this_and_later_exercises_become_one_raising_line_and_earlier_ones_stay():
    stripped = strip_regions(LAYER, from_exercise="04_grid_search", name="layer.py", known=KNOWN)

    expected = '''\
import numpy as np


class Tanh:
    """Hyperbolic tangent."""

    def forward(self, x):
        """Return tanh(x)."""
        raise NotImplementedError("04_grid_search, task Tanh.forward: HINT04_grid_search.ipynb")
        return self.out

    def step(self, lr):
        self.w -= lr


def later():
    raise NotImplementedError("05_model_search, task later: HINT05_model_search.ipynb")
'''.replace("HINT", "write this part in ")
    assert stripped == expected


def test_a_later_release_solves_more_and_keeps_no_marker():
    stripped = strip_regions(LAYER, from_exercise="05_model_search", name="layer.py", known=KNOWN)

    assert "np.tanh(x)" in stripped
    assert "return 5" not in stripped
    assert "SOLUTION" not in stripped


def test_the_stub_raises_and_names_exercise_and_task():
    code = strip_regions(LAYER, from_exercise="03_optimizers", name="layer.py").replace("import numpy as np", "")
    scope: dict = {}
    exec(code, scope)  # our own text

    with pytest.raises(NotImplementedError, match="03_optimizers, task Tanh.step: "):
        scope["Tanh"]().step(0.1)


def test_a_notebook_cell_names_its_task_and_may_have_regions_outside_functions():
    region = "### BEGIN SOLUTION 04_grid_search\nresult = 41 + 1\n### END SOLUTION\n"
    cell = f"%matplotlib inline\n{region}result\n!ls"

    stripped = strip_regions(cell, from_exercise="04_grid_search", name="cell", task="overfit")

    stub = 'raise NotImplementedError("04_grid_search, task overfit: write your code here")'
    assert stripped == f"%matplotlib inline\n{stub}\nresult\n!ls"


def test_text_without_markers_is_returned_unchanged():
    text = "# the best solution we know\nx = 10\\\n    % 3  # begin here\n"

    assert strip_regions(text, from_exercise="01_sigmoid", name="a.py") == text


@pytest.mark.parametrize(
    "line",
    [
        "### BEGIN SOLUTON 04_grid_search",
        "### BEGIN SOLUTION",
        "### BEGIN SOLUTION 4_grid_search",
        "### BEGIN SOLUTION 04_grid_search, part 2",
        "### Begin Solution 04_grid_search",
        "### begin solution 04_grid_search",
        "# BEGIN SOLUTION 04_grid_search",
        "###BEGIN SOLUTION 04_grid_search",
        "### BEGINSOLUTION 04_grid_search",
        "### BEGIN_SOLUTION 04_grid_search",
        "x = 1  ### BEGIN SOLUTION 04_grid_search",
        "### END SOLUTIONS",
        "### END SOLUTION 04_grid_search",
        "### End solution",
        "### BEGIN HIDDEN TEST",
        "### BEGIN  HIDDEN TESTS",
        "## BEGIN HIDDEN TESTS",
        "### begin hidden tests",
        "### END HIDEN TESTS",
    ],
)
def test_a_line_that_nearly_is_a_marker_is_refused_with_its_place(line):
    with pytest.raises(MarkerError, match=r"layer\.py:3: .*looks like a marker"):
        find_regions(f"x = 1\n\n    {line}\n", name="layer.py", known=KNOWN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    ### BEGIN SOLUTION 04_grid_search\n    pass\n", r"a\.py:2: .*never closed"),
        ("pass\n### END SOLUTION\n", r"a\.py:2: .*without its BEGIN"),
        (
            "### BEGIN SOLUTION 04_grid_search\n### BEGIN SOLUTION 05_model_search\n### END SOLUTION\n",
            r"a\.py:2: .*do not nest",
        ),
        ("### BEGIN SOLUTION 04_grid_search\n### END HIDDEN TESTS\n", r"a\.py:2: .*without its BEGIN"),
        ("### BEGIN HIDDEN TESTS\nassert f()\n", r"a\.py:1: .*never closed"),
        (
            "### BEGIN SOLUTION 04_gird_search\n### END SOLUTION\n",
            r"a\.py:1: unknown exercise '04_gird_search', did you mean '04_grid_search'",
        ),
    ],
    ids=["unclosed", "end-only", "nested", "crossed", "hidden-unclosed", "unknown-exercise"],
)
def test_broken_structure_is_refused_with_its_place(text, message):
    with pytest.raises(MarkerError, match=message):
        find_regions(text, name="a.py", known=KNOWN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("### BEGIN SOLUTION 04_grid_search\nx = 1\n### END SOLUTION\n", "not inside a function"),
        (
            "class A:\n    ### BEGIN SOLUTION 04_grid_search\n    x = 1\n    ### END SOLUTION\n",
            "not inside a function",
        ),
        (
            "def f():\n    if x:\n    ### BEGIN SOLUTION 04_grid_search\n        1\n    ### END SOLUTION\n",
            "enclose whole statements",
        ),
        ("def f(:\n    ### BEGIN SOLUTION 04_grid_search\n    ### END SOLUTION\n", r"a\.py:1: not Python"),
        (
            "def f():\n    ### BEGIN HIDDEN TESTS\n    pass\n    ### END HIDDEN TESTS\n",
            "belong in a check cell",
        ),
    ],
    ids=["module-level", "class-level", "half-a-statement", "no-python", "hidden-tests"],
)
def test_package_text_that_would_not_import_after_stripping_is_refused(text, message):
    with pytest.raises(MarkerError, match=message):
        strip_regions(text, from_exercise="04_grid_search", name="a.py", known=KNOWN)


def test_a_conditional_body_that_is_wholly_marked_still_compiles():
    region = "        ### BEGIN SOLUTION 04_grid_search\n        return 1\n        ### END SOLUTION\n"
    text = "def f(x):\n    if x:\n" + region

    stripped = strip_regions(text, from_exercise="04_grid_search", name="a.py")

    assert stripped.splitlines()[2].startswith("        raise NotImplementedError(")


def test_secret_lines_are_the_open_regions_and_hidden_tests():
    secret, rest = secret_lines(LAYER, from_exercise="04_grid_search", name="layer.py")

    assert [line.strip() for line in secret] == ["self.out = np.tanh(x)", "if True:", "pass", "return 5"]
    assert "        self.w -= lr" in rest
    assert not any("SOLUTION" in line for line in rest)
