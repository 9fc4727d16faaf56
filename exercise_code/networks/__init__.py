"""Networks of the course: layers, losses, optimizers and the fully connected classifier, all in NumPy."""

from exercise_code.networks.classification_net import ClassificationNet, Network
from exercise_code.networks.my_own_network import MyOwnNetwork

__all__ = ["ClassificationNet", "MyOwnNetwork", "Network"]
