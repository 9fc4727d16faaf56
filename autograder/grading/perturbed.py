"""Models on slightly changed hidden images: whoever has learnt the images, not the classes, loses there what others keep.

The hidden set may be a public test set, and a model trained on it has every label right. Flipped, shifted by a pixel or
noised, the same images keep their class but are none that anybody could have trained on. How much an honest model loses
depends on the data (a flipped digit is no digit), so what counts is the loss beyond the class's typical one.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autograder.grading import hidden_set
from autograder.grading.judge import Inputs, Judged

if TYPE_CHECKING:
    from autograder.course.manifest import Exercise

VERSION = "1"  # raise it when the changed images would be others
MOST_IMAGES = 2_000
SHIFT, NOISE = 1, 8  # pixels; levels of 255
VARIANTS = ("plain", "flip", "shift", "noise")


@dataclass(frozen=True)
class Changed:
    """The images that models run on, and what they would have to say."""

    inputs: Inputs  # all variants of the same images, one after the other
    labels: np.ndarray  # uint8 (M,)

    def count(self, judged: Judged) -> dict[str, list[int]]:
        """Variant -> [right, right only unchanged, right only changed]; the first has the number of images at [1]."""
        right = judged.classes.reshape(len(VARIANTS), -1) == self.labels  # (V, M)
        plain = right[0]
        found = {"plain": [int(plain.sum()), len(self.labels), 0]}
        for name, row in zip(VARIANTS[1:], right[1:], strict=True):
            found[name] = [int(row.sum()), int((plain & ~row).sum()), int((row & ~plain).sum())]
        return found


def variants(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The images unchanged, flipped left to right, shifted by up to a pixel each way (not by none), and noised.

    Args:
        images: uint8 (M, C, H, W).
    Returns:
        uint8 (4 M, C, H, W), in the order of `VARIANTS`.
    """
    padded = np.pad(images, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    steps = [(y, x) for y in range(2 * SHIFT + 1) for x in range(2 * SHIFT + 1) if (y, x) != (SHIFT, SHIFT)]
    shifted = np.empty_like(images)
    height, width = images.shape[2:]
    which = rng.integers(len(steps), size=len(images))
    for number, (y, x) in enumerate(steps):
        chosen = which == number
        shifted[chosen] = padded[chosen, :, y : y + height, x : x + width]
    noised = images + rng.integers(-NOISE, NOISE + 1, images.shape, dtype=np.int16)
    return np.concatenate([images, images[..., ::-1], shifted, np.clip(noised, 0, 255).astype(np.uint8)])


@contextlib.contextmanager
def changed_images(exercise: Exercise, course_dir: Path) -> Iterator[Changed]:
    """Up to `MOST_IMAGES` of the hidden images, changed; always the same, yet known to nobody who lacks the labels.

    Raises:
        HiddenSetError: the hidden set is missing or damaged.
    """
    labels = hidden_set.load_labels(course_dir, exercise.id)
    meta = hidden_set.load_meta(course_dir, exercise.id)
    inputs = np.load(hidden_set.inputs_path(course_dir, exercise.id), mmap_mode="r", allow_pickle=False)
    rng = np.random.default_rng(list(hashlib.blake2b(labels.tobytes(), digest_size=32, person=b"perturbed").digest()))
    chosen = np.sort(rng.permutation(len(labels))[:MOST_IMAGES])
    work = course_dir / "work"
    work.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="perturbed-") as folder:
        path = Path(folder).absolute() / "inputs.npy"
        images = variants(inputs[chosen], rng)
        np.save(path, images, allow_pickle=False)
        path.chmod(0o644)
        yield Changed(Inputs(path, len(images), f"{meta['version']}-perturbed"), labels[chosen])
