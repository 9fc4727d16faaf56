"""Checks for the task cells of the notebooks: right, wrong (expected, got, where to look) or not attempted.

>>> from exercise_code.checks import check, hint
>>> hint("tanh", 1)
tanh, hint 1 of 3: The derivative of tanh can be written with tanh itself.  More: hint("tanh", 2)
"""

from exercise_code.checks.core import Check, CheckFailed, NotAttempted, check, expect, expect_close, hint
from exercise_code.checks.verifiers import Case, call_unchanged, element_wise_layer, function, numeric_gradient

__all__ = [
    "Case", "Check", "CheckFailed", "NotAttempted", "call_unchanged", "check", "element_wise_layer", "expect",
    "expect_close", "function", "hint", "numeric_gradient",
]  # fmt: skip
