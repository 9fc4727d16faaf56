"""Random numbers of torch that depend on a seed and on nothing else."""

import contextlib
from collections.abc import Iterator

import torch

_MIX = 0x9E3779B97F4A7C15  # odd, so that different (seed, part) pairs land far apart


def mix(seed: int, part: int) -> int:
    """Return a seed in 0..2**63 - 1 for the part (an epoch, a run) of what is seeded with `seed`.

    >>> mix(0, 1) != mix(1, 0), mix(3, 4) == mix(3, 4)
    (True, True)
    """
    return ((int(seed) + 1) * _MIX + int(part) * 0x632BE59BD9B4E019) % 2**63


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside the block; outside nothing changes.

    Layers draw their first weights, and dropout its masks, from one generator that all of a program shares.  This puts
    it aside for a while and then back.

    >>> with seeded(1):
    ...     first = torch.nn.Linear(3, 2).weight
    >>> with seeded(1):
    ...     again = torch.nn.Linear(3, 2).weight
    >>> torch.equal(first, again)
    True
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own on the CPU.

    >>> torch.rand(2, generator=generator(5)).tolist() == torch.rand(2, generator=generator(5)).tolist()
    True
    """
    return torch.Generator().manual_seed(seed)
