"""The course's shared package: data, layers, losses, optimizers, networks, the Solver and hyper-parameter search.

Shape legend used throughout: N batch size, D input features, M output features, C classes (or image channels where an
image shape is given), H and W image height and width.  Importing this package loads nothing heavy; torch, matplotlib,
onnx and hyperopt are imported by the functions that need them.
"""

__version__ = "0.1.0"
