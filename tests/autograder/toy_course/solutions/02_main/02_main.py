# %% [markdown]
# # The main thing

# %% locked="setup"
import math  # noqa: I001

from exercise_code.checks import check
from exercise_code.layer import Double

# %%
# your own experiments
math.tanh(0.5)

# %% [markdown]
# ## Tanh

# %% task="tanh" source="exercise_code.layer:Tanh"

# %% check="tanh"
check("tanh", Tanh)  # noqa: F821
### BEGIN HIDDEN TESTS
assert abs(Tanh().backward(3.0) - 3.0) < 1e-12, "backward before forward is the slope at zero"  # noqa: F821
### END HIDDEN TESTS


# %% task="mean"
def mean(numbers):
    """Return the arithmetic mean of a non-empty list."""
    ### BEGIN SOLUTION 02_main
    total_of_all = math.fsum(numbers)
    return total_of_all / len(numbers)
    ### END SOLUTION


# %% check="mean"
assert mean([1.0, 2.0, 6.0]) == 3.0, "the mean of 1, 2 and 6 is 3"
### BEGIN HIDDEN TESTS
assert mean([Double().forward(1.0)]) == 2.0, "exercise 01 is solved in this bundle"
assert mean([1e16, 1.0, -1e16]) == 1.0 / 3.0, "add exactly, large numbers cancel"
### END HIDDEN TESTS

# %% [markdown]
# Why does tanh saturate?

# %% [markdown] question="why"
# Because its slope is one minus its square.
