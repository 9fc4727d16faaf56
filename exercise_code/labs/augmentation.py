"""Images changed at random as they are read, an `augment` for `Batches`: digits and leaves that were seen otherwise.

Each takes images (B, C, H, W) and the generator that draws, gives every image a change of its own, and changes nothing
that it was given.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from exercise_code.labs.batches import Augment


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
    padded = functional.pad(images, (most, most, most, most), mode="replicate")
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
    grid = functional.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def turned(images: Tensor, random: torch.Generator) -> Tensor:
    """Turn and mirror every image at random: one of the eight symmetries of a square, each as likely as the others.

    A leaf that was photographed from another side is the same leaf.

    Args:
        images: (B, C, S, S) square images, not changed.
        random: the only source of the draws, which are independent for every image.

    Returns:
        A tensor of the same shape and dtype.

    >>> one = turned(torch.arange(4.0).reshape(1, 1, 2, 2), torch.Generator().manual_seed(0))
    >>> one.shape, one.flatten().sort().values
    (torch.Size([1, 1, 2, 2]), tensor([0., 1., 2., 3.]))
    """
    ### BEGIN SOLUTION 08_batch_norm
    coins = torch.rand(3, len(images), 1, 1, 1, generator=random) < 0.5
    images = torch.where(coins[0], images.flip(3), images)
    images = torch.where(coins[1], images.flip(2), images)
    return torch.where(coins[2], images.transpose(2, 3), images)
    ### END SOLUTION


def mirrored(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror every image (B, C, H, W) left to right with probability 1/2.

    >>> mirrored(torch.zeros(2, 3, 4, 4), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 4, 4])
    """
    chosen = torch.rand(len(images), generator=random) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(dims=(3,)), images)


def zoomed(
    images: Tensor, random: torch.Generator, *, turn: float = 8.0, zoom: float = 0.1, move: float = 0.1
) -> Tensor:
    """Turn every image by up to `turn` degrees, scale it by 1 -+ zoom, and move it by up to `move` of half its side.

    What comes in from outside is the image's own mirror.

    Args:
        images: (B, C, H, W), not changed.
        random: source of the draws.

    >>> zoomed(torch.zeros(2, 3, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """
    count = len(images)
    angle, scale, right, down = 2 * torch.rand(4, count, generator=random) - 1
    angle, scale = math.radians(turn) * angle, 1 + zoom * scale
    row_1 = torch.stack([scale * angle.cos(), -scale * angle.sin(), move * right], dim=1)
    row_2 = torch.stack([scale * angle.sin(), scale * angle.cos(), move * down], dim=1)
    grid = functional.affine_grid(torch.stack([row_1, row_2], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def relit(images: Tensor, random: torch.Generator, *, contrast: float = 0.2, tint: float = 0.1) -> Tensor:
    """Scale every normalised image by 1 -+ contrast and shift each of its channels by a normal number of width `tint`.

    >>> relit(torch.ones(2, 3, 4, 4), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 4, 4])
    """
    scale = 1 + contrast * (2 * torch.rand(len(images), 1, 1, 1, generator=random) - 1)
    shift = tint * torch.randn(len(images), images.shape[1], 1, 1, generator=random)
    return images * scale.to(images.dtype) + shift.to(images.dtype)


AUGMENTATIONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "mirrored": ("mirrored",),
    "mirrored, zoomed": ("mirrored", "zoomed"),
    "turned": ("turned",),
    "all": ("turned", "zoomed", "relit"),
}


def augmentation(name: str) -> Augment | None:
    """Return the chain of changes with this name in AUGMENTATIONS, or None for "none".

    Raises:
        ValueError: an unknown name.

    >>> augmentation("all")(torch.zeros(2, 3, 8, 8), torch.Generator()).shape
    torch.Size([2, 3, 8, 8])
    """
    if name not in AUGMENTATIONS:
        raise ValueError(f"expected an augmentation out of {', '.join(AUGMENTATIONS)}, got {name!r}")
    parts = AUGMENTATIONS[name]
    if not parts:
        return None

    def change(images: Tensor, random: torch.Generator) -> Tensor:
        for part in parts:
            images = globals()[part](images, random)  # looked up now, so that a `turned` plugged in counts
        return images

    return change
