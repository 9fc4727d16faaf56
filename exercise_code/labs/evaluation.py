"""What a trained torch network says about images: logits, predictions, loss and accuracy."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

PIECE = 2_000  # images per forward pass


def chosen_device(device: torch.device | str | None = None) -> torch.device:
    """Return the device that is asked for; None means CUDA where there is one, else the CPU.

    >>> chosen_device("cpu")
    device(type='cpu')
    """
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def device_of(model: nn.Module) -> torch.device:
    """Return where the weights are; the CPU for a module without any.

    >>> device_of(nn.Flatten())
    device(type='cpu')
    """
    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation mode, without gradients, for the block; afterwards every layer is as it was.

    >>> layer = nn.Dropout()
    >>> with evaluating(layer):
    ...     layer.training, torch.is_grad_enabled()
    (False, False)
    >>> layer.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module, training in modes.items():
            module.training = training


def predict_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return logits (N, C) on the CPU for images (N, ...), in evaluation mode and in pieces of 2,000.

    >>> predict_logits(nn.Flatten(), torch.ones(3, 1, 2, 2)).shape
    torch.Size([3, 4])
    """
    device = device_of(model)
    with evaluating(model):
        return torch.cat(
            [model(images[start : start + PIECE].to(device)).cpu() for start in range(0, len(images), PIECE)]
        )


def predictions(model: nn.Module, images: Tensor) -> Tensor:
    """Return the most likely class (N,) int64 of each image.

    >>> predictions(nn.Identity(), torch.tensor([[0.1, 0.9], [2.0, 1.0]])).tolist()
    [1, 0]
    """
    return predict_logits(model, images).argmax(dim=1)


def evaluate(model: nn.Module, batches: Iterable[Any]) -> tuple[float, float]:
    """Return (mean cross entropy, accuracy as a fraction) over batches of (images, labels, ...).

    Raises:
        ValueError: there is no batch.

    >>> evaluate(nn.Identity(), [(torch.tensor([[50.0, 0.0], [50.0, 0.0]]), torch.tensor([0, 0]))])
    (0.0, 1.0)
    """
    device = device_of(model)
    loss, correct, count = 0.0, 0, 0
    with evaluating(model):
        for images, labels, *_ in batches:
            logits, labels = model(images.to(device)), labels.to(device)
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += int((logits.argmax(dim=1) == labels).sum())
            count += len(labels)
    if not count:
        raise ValueError("expected at least one batch, got none: is the loader empty or used up?")
    return loss / count, correct / count


def accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """Return the fraction of correct predictions over batches of (images, labels, ...).

    >>> accuracy(nn.Identity(), [(torch.eye(4), torch.tensor([0, 1, 2, 0]))])
    0.75
    """
    return evaluate(model, batches)[1]
