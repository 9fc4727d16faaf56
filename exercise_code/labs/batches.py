"""Mini-batches of tensors that lie in memory."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from exercise_code.labs.seeding import generator, mix

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batches:
    """Cut tensors of N rows each into batches; every batch is a tuple with a piece of each of them.

    Takes a third of a millisecond per batch of 128 MNIST images, where `torch.utils.data.DataLoader`, which fetches
    image by image, takes several.  `fit` accepts either.

    Args:
        tensors: (N, ...) each; usually images and labels.
        batch_size: rows per batch; the last batch may be smaller.
        shuffle: a new order in every epoch, drawn from (seed, number of the epoch) and nothing else.
        seed: of order and augmentation.
        augment: `augment(images, generator) -> images` changes the first tensor of each batch.
        drop_last: leave out a smaller last batch (batch norm cannot train on a single image).

    Raises:
        ValueError: no tensor, different numbers of rows, no rows, or a batch size below 1.

    >>> batches = Batches(torch.arange(5.0), torch.arange(5), batch_size=2)
    >>> len(batches), [labels.tolist() for _, labels in batches]
    (3, [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int = 128,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augment | None = None,
        drop_last: bool = False,
    ):
        rows = [len(tensor) for tensor in tensors]
        if not rows or len(set(rows)) != 1 or rows[0] < 1:
            raise ValueError(f"expected tensors with the same number of rows, at least 1, got {rows}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size!r}")
        self.tensors = tensors
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.augment = augment
        self.drop_last = drop_last
        self.epoch = 0  # of the next pass

    @property
    def rows(self) -> int:
        return len(self.tensors[0])

    def __len__(self) -> int:
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is, so that a resumed training sees the order it would have seen."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        random = generator(mix(self.seed, self.epoch))
        self.epoch += 1
        order = torch.randperm(self.rows, generator=random) if self.shuffle else None
        for number in range(len(self)):
            rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
            batch = [tensor[rows if order is None else order[rows]] for tensor in self.tensors]
            if self.augment is not None:
                batch[0] = self.augment(batch[0], random)
            yield tuple(batch)


def shifted(images: Tensor, random: torch.Generator, *, most: int = 2) -> Tensor:
    """Shift every image by up to `most` pixels in each direction; what comes in from outside repeats the edge.

    An `augment` for `Batches`: a digit two pixels further left is the same digit.

    Args:
        images: (B, C, H, W), not changed.
        random: draws one shift per image.

    >>> one = torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> shifted(one, torch.Generator().manual_seed(1), most=1).shape
    torch.Size([1, 1, 3, 3])
    """
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (most, most, most, most), mode="replicate")
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1), generator=random)
    rows = (down + torch.arange(height))[:, None, :, None]  # (B, 1, H, 1)
    columns = (right + torch.arange(width))[:, None, None, :]  # (B, 1, 1, W)
    return padded[torch.arange(count)[:, None, None, None], torch.arange(images.shape[1])[:, None, None], rows, columns]


def jittered(
    images: Tensor, random: torch.Generator, *, shift: float = 2.0, degrees: float = 10.0, stretch: float = 0.1
) -> Tensor:
    """Shift, turn, slant and stretch every image a little, as handwriting does; an `augment` for `Batches`.

    Every image gets a map of its own, uniform within the limits, with bilinear interpolation; what comes in from outside
    repeats the edge.

    Args:
        images: (B, C, H, W), not changed.
        random: draws the six numbers per image.
        shift: largest shift in pixels, in each direction.
        degrees: largest turn; the slant is at most its tangent.
        stretch: largest change of height and of width, as a fraction.

    >>> one = torch.arange(18.0).reshape(2, 1, 3, 3)
    >>> still = jittered(one, torch.Generator().manual_seed(1), shift=0, degrees=0, stretch=0)
    >>> torch.allclose(still, one, atol=1e-5)
    True
    """
    count, _, height, width = images.shape
    draw = 2 * torch.rand(6, count, generator=random) - 1
    angle = draw[0] * math.radians(degrees)
    slant = draw[1] * math.tan(math.radians(degrees))
    tall, wide = 1 + draw[2] * stretch, 1 + draw[3] * stretch
    maps = torch.empty(count, 2, 3)  # from the place in the result to the place in the image, both from -1 to 1
    maps[:, 0, 0], maps[:, 0, 1] = wide * angle.cos(), slant - angle.sin()
    maps[:, 1, 0], maps[:, 1, 1] = angle.sin(), tall * angle.cos()
    maps[:, 0, 2], maps[:, 1, 2] = 2 * shift * draw[4] / width, 2 * shift * draw[5] / height
    grid = torch.nn.functional.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
