"""What the PyTorch labs (exercises 06 to 08) share: MNIST as tensors, batches, training, evaluation, small networks.

Importing this package loads nothing; its modules import torch.  The NumPy part of `exercise_code` never imports it.
"""
