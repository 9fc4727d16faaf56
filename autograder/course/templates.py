"""Texts of a new exercise; `new` fills in <id>, <number>, <task> and <title>."""

MANIFEST = """\
[[exercise]]
id = "<id>"
title = <title>
due = "<due>"
cell_timeout_s = 30
notebook_timeout_s = 300
data = []

[[exercise.task]]
id = "<task>"
points = 1

[[exercise.question]]
id = "why"
points = 1
"""

NOTEBOOK = '''\
# %% [markdown]
# # Exercise <number>: <title>
#
# Why this matters, what you will build, how long it takes (minutes of yours, minutes of CPU), what to expect at the end.
#
# **How a task works.** Replace the line that raises `NotImplementedError`. The cell below checks your code: *right*, *wrong*
# (with what was expected, what came, and where to look) or *not attempted*. Stuck? Run `hint("<task>")` in any cell.

# %% [markdown]
# ## 0 Set-up
#
# On Colab, upload the unzipped course folder, change into `exercises/<id>` and run `%pip install -r
# ../../requirements.txt` once. In JupyterLab and VS Code there is nothing to do.

# %%
import os
import sys

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks import check, hint
from exercise_code.submit import submit

# The grader and our tests run this notebook in seconds; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 A first task
#
# Limit every entry of an array to the range from 0 to 1.


# %% task="<task>"
def <task>(x: NDArray) -> NDArray:
    """Return a new array: x with every entry below 0 set to 0 and every entry above 1 set to 1."""
    ### BEGIN SOLUTION <id>
    return np.clip(x, 0, 1)
    ### END SOLUTION


# %% check="<task>"
check("<task>", <task>)
### BEGIN HIDDEN TESTS
check("<task>", <task>, seed=1)
### END HIDDEN TESTS

# %% [markdown]
# **Question.** Which entries of `x` get no gradient through this function, and why?

# %% [markdown] question="why"
# All entries outside of the range: there the result is constant, so its derivative is zero.

# %% [markdown]
# ## 2 Hand it in
#
# **Save the notebook first.** The next cell writes `submission.zip`. Hand in that one file.

# %%
if not FAST:
    submit("<id>")

# %% [markdown]
# ## Key points
#
# - What to remember in a year.
#
# ## What comes next
#
# ## Further reading
'''

CHECKS = '''\
"""Checks of exercise <number>."""

from typing import Any

import numpy as np

from exercise_code.checks.core import Check
from exercise_code.checks.verifiers import Case, function

EXERCISE = "<id>"


def _cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case("12 numbers from -2 to 3", (rng.uniform(-2, 3, size=(3, 4)),)),
        Case("both ends", (np.array([0.0, 1.0, -0.0]),)),
        Case("no numbers", (np.zeros(0),)),
    ]


def _oracle(x: Any) -> Any:
    return np.array([0.0 if v < 0 else 1.0 if v > 1 else v for v in x.ravel()]).reshape(x.shape)


CHECKS = {
    "<task>": Check(
        EXERCISE,
        function(_cases, _oracle, "Below 0 becomes 0, above 1 becomes 1, the rest stays."),
        (
            "Three cases: too small, too large, and in between.",
            "np.minimum and np.maximum compare entry by entry.",
            "np.clip does both at once.",
        ),
    ),
}
'''

WRONG = '''\
"""Typical mistakes in exercise <number>."""

import numpy as np

from tests.catalogue import wrong


def _in_place(x):
    x[x < 0] = 0
    x[x > 1] = 1
    return x


for mistake, answer in {
    "no upper end": lambda x: np.maximum(x, 0),
    "no lower end": lambda x: np.minimum(x, 1),
    "cuts at -1": lambda x: np.clip(x, -1, 1),
    "absolute value": lambda x: np.clip(np.abs(x), 0, 1),
    "rounds": lambda x: np.round(np.clip(x, 0, 1)),
    "scales to the range": lambda x: (x - x.min(initial=0)) / (np.ptp(x) if x.size else 1),
    "ends swapped": lambda x: np.where(x < 0, 1.0, np.where(x > 1, 0.0, x)),
    "drops what is outside": lambda x: x[(x >= 0) & (x <= 1)],
    "flattens": lambda x: np.clip(x, 0, 1).ravel(),
    "a list": lambda x: np.clip(x, 0, 1).tolist(),
    "returns nothing": lambda x: None,
    "a mask": lambda x: (x > 0) & (x < 1),
    "writes into x": _in_place,
}.items():
    wrong("<task>", mistake, says="expected .*(Below 0 becomes 0|new array)")(answer)
'''

RIGHT = '''\
"""Honest variants of exercise <number>'s tasks."""

import numpy as np

from tests.catalogue import right


def _loop(x):
    out = np.empty_like(x)
    for index, value in np.ndenumerate(x):
        out[index] = min(max(value, 0), 1)
    return out


for variant, answer in {
    "np.clip": lambda x: np.clip(x, 0, 1),
    "minimum of maximum": lambda x: np.minimum(np.maximum(x, 0), 1),
    "where twice": lambda x: np.where(x < 0, 0, np.where(x > 1, 1, x)),
    "a loop": _loop,
    "masks": lambda x: x * ((x >= 0) & (x <= 1)) + (x > 1),
    "the median of three": lambda x: np.median(np.stack([np.zeros_like(x), x, np.ones_like(x)]), axis=0),
}.items():
    right("<task>", variant)(answer)
'''
