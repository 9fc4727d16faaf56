"""Checks that notebooks call; they raise AssertionError on wrong and print one line on right."""

import math


def check(name: str, solution: type) -> None:
    layer = solution()
    if name == "double":
        assert layer.forward(4.0) == 8.0, "double: forward(4.0) should be 8.0"
    else:
        assert abs(layer.forward(1.0) - math.tanh(1.0)) < 1e-12, "tanh: forward(1.0) is wrong"
    print(f"{name}: right")
