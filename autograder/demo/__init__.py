"""`demo`: the whole course once, on a made-up class of twelve, with every verdict compared to the one it should get."""

from autograder.demo.loop import run

__all__ = ["run"]
