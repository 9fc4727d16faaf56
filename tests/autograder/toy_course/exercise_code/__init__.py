"""A tiny package for the tests of release and autograding."""
