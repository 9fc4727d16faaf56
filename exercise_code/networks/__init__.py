"""Networks of the course: layers, losses, optimizers and the fully connected classifier, all in NumPy."""

from exercise_code.networks.classification_net import ClassificationNet, Network

__all__ = ["ClassificationNet", "Network"]
