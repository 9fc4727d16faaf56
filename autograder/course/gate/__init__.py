"""`check`, the gate: what must hold of every exercise before it is released or merged.

`structure` and `released` read files, `catalogue` runs the typical mistakes and honest variants against the checks,
`execution` runs the notebooks; `run` puts them together. Everything that runs here is the course's own code.
"""

from autograder.course.gate.run import check_course

__all__ = ["check_course"]
