"""Checks for the task cells of the notebooks: right, wrong (expected, got, where to look) or not attempted.

>>> from exercise_code.checks import check, hint
>>> hint("tanh", 1)
tanh, hint 1 of 3: The derivative of tanh can be written with tanh itself.  More: hint("tanh", 2)
"""

from exercise_code.checks.core import Check, CheckFailed, NotAttempted, check, expect, expect_close, hint

__all__ = ["Check", "CheckFailed", "NotAttempted", "check", "expect", "expect_close", "hint"]
