"""A small convolutional network with batch norm for bean leaves (exercise 08)."""

from torch import Tensor, nn
from torch.nn import functional

from exercise_code.labs.beans import CLASSES
from exercise_code.labs.seeding import seeded


class BeanNet(nn.Module):
    """Small convolutional network for square images of 32 pixels or more: convolution, batch norm, ReLU, maximum, and again.

    The first convolution takes every second pixel; each later block has twice the channels and half the side.  After the
    last block comes the mean over all pixels, so the side of the images does not matter.

    Args:
        width: channels of the first block.
        blocks: 1 or more; the channels are width, 2 width, 4 width, 6 width, 8 width, ...
        dropout: before the last layer, in [0, 1).
        batch_norm: False leaves the norms out and gives the convolutions a bias.
        seed: of the first weights; None takes torch's shared generator as it is.

    >>> import torch
    >>> BeanNet(8)(torch.zeros(2, 3, 128, 128)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        width: int = 16,
        *,
        blocks: int = 4,
        dropout: float = 0.2,
        batch_norm: bool = True,
        seed: int | None = None,
    ):
        super().__init__()
        if width < 1 or blocks < 1 or not 0 <= dropout < 1:
            raise ValueError(
                f"expected width and blocks of at least 1, dropout in [0, 1), got {width}, {blocks}, {dropout}"
            )
        if seed is None:
            self.layers = self._build(width, blocks, dropout, batch_norm)
        else:
            with seeded(seed):
                self.layers = self._build(width, blocks, dropout, batch_norm)

    @staticmethod
    def _build(width: int, blocks: int, dropout: float, batch_norm: bool) -> nn.Sequential:
        layers: list[nn.Module] = []
        channels = 3
        for block in range(blocks):
            wider = width * max(1, 2 * block)
            side, stride = (5, 2) if block == 0 else (3, 1)
            # a bias right before batch norm has no effect
            layers.append(nn.Conv2d(channels, wider, side, stride=stride, padding=side // 2, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(wider))
            layers.append(nn.ReLU())
            if block < blocks - 1:
                layers.append(nn.MaxPool2d(2))
            channels = wider
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, len(CLASSES))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 3) for images (N, 3, S, S)."""
        return self.layers(images)


class BothSides(nn.Module):
    """Ask a network about each image and its mirror image, and average the log-probabilities it answers.

    What was mirrored at random in training may be mirrored on purpose at test time; it costs twice as much.

    >>> import torch
    >>> BothSides(BeanNet(4).eval())(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 3])
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return mean log-probabilities (N, 3), which serve as logits."""
        answers = [functional.log_softmax(self.model(view), dim=1) for view in (images, images.flip(3))]
        return (answers[0] + answers[1]) / 2
