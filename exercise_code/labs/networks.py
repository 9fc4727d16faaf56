"""Fully connected networks for small images."""

from collections.abc import Sequence

from torch import Tensor, nn

from exercise_code.labs.seeding import seeded

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(nn.Module):
    """784-hidden-10: flatten, then for each hidden layer linear, batch norm (if asked for), activation, dropout.

    Args:
        hidden: width of each hidden layer; one number means one layer, () none.
        inputs: values per image.
        classes: number of logits.
        activation: a name in ACTIVATIONS.
        dropout: probability that a hidden unit is left out in training, in [0, 1).
        batch_norm: normalise before the activation; the linear layer before it then has no bias.
        seed: of the first weights; None takes torch's shared generator as it is.

    Raises:
        ValueError: an unknown activation, a width below 1, or a dropout outside [0, 1).

    >>> import torch
    >>> MLP(50)(torch.zeros(2, 1, 28, 28)).shape, parameter_count(MLP(50))
    (torch.Size([2, 10]), 39760)
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = 50,
        *,
        inputs: int = 784,
        classes: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        seed: int | None = None,
    ):
        super().__init__()
        widths = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        if activation not in ACTIVATIONS:
            raise ValueError(f"expected an activation out of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if min((*widths, inputs, classes)) < 1:
            raise ValueError(f"expected widths of at least 1, got {inputs}, {widths}, {classes}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")
        if seed is None:
            self.layers = self._build(widths, inputs, classes, activation, dropout, batch_norm)
        else:
            with seeded(seed):
                self.layers = self._build(widths, inputs, classes, activation, dropout, batch_norm)

    @staticmethod
    def _build(
        widths: tuple[int, ...], inputs: int, classes: int, activation: str, dropout: float, batch_norm: bool
    ) -> nn.Sequential:
        layers: list[nn.Module] = [nn.Flatten()]
        for width in widths:
            layers.append(nn.Linear(inputs, width, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(width))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for images (N, ...)."""
        return self.layers(images)


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable numbers; `exercise_code.onnx_export.count_parameters` counts those of a file.

    >>> parameter_count(nn.Linear(3, 2))
    8
    """
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
