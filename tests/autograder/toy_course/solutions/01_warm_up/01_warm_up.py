# %% [markdown]
# # Warm-up
# Double every number.

# %% task="double" source="exercise_code.layer:Double"

# %% check="double"
from exercise_code.checks import check

check("double", Double)  # noqa: F821
