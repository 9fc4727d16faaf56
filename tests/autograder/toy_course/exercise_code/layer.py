"""Two layers, one per exercise."""

import math


class Double:
    """Return twice the input."""

    def forward(self, number: float) -> float:
        ### BEGIN SOLUTION 01_warm_up
        twice_the_number = number + number
        return twice_the_number
        ### END SOLUTION


class Tanh:
    """Hyperbolic tangent."""

    def __init__(self) -> None:
        self.output = 0.0

    def forward(self, number: float) -> float:
        ### BEGIN SOLUTION 02_main
        grown, shrunk = math.exp(number), math.exp(-number)
        self.output = (grown - shrunk) / (grown + shrunk)
        ### END SOLUTION
        return self.output

    def backward(self, upstream: float) -> float:
        ### BEGIN SOLUTION 02_main
        slope_here = 1.0 - self.output**2
        return upstream * slope_here
        ### END SOLUTION
