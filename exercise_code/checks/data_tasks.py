"""How exercise 02's data tasks are checked: the data set, its parts, two transforms and the loader."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import CheckFailed, expect, expect_close
from exercise_code.checks.verifiers import call_unchanged, expect_dtype

READ_ONLY = "Look the place up in self._indices first: a part of a data set holds a few of the images only."


def dataset(answer: Any, rng: np.random.Generator) -> None:
    images = rng.integers(256, size=(6, 4, 5, 3), dtype=np.uint8)
    labels = rng.permutation(6) + 3
    _one_dataset(answer(images, labels), images, labels, "6 images")
    part = answer(images, labels)
    chosen = np.array([4, 1, 3])
    part._indices = chosen
    _one_dataset(part, images[chosen], labels[chosen], "a part with images 4, 1 and 3", READ_ONLY)
    seen: list[tuple[int, ...]] = []

    def doubled(image: NDArray) -> NDArray:
        seen.append(image.shape)
        return 2.0 * image

    item = answer(images, labels, doubled)[2]
    expect_close(
        "the image with a transform", item["image"], 2.0 * images[2], "Apply self.transform to the image you return."
    )
    look = "Transform the one image that was asked for, once, and leave the others alone."
    expect(seen == [(4, 5, 3)], "what the transform was given", "one image of shape (4, 5, 3)", f"{seen}", look)
    zero = answer(images, labels, lambda image: np.zeros(2))[0]["image"]
    expect_close("an image whose transform gives zeros", zero, np.zeros(2), "Return what the transform returned.")


def _one_dataset(made: Any, images: NDArray, labels: NDArray, what: str, look: str = "") -> None:
    count = len(made)
    expect(count == len(images), f"len of {what}", len(images), count, look or "How many samples can be asked for?")
    for i in (1, 0, len(images) - 1):
        item = made[i]
        is_dict = isinstance(item, Mapping) and set(item) == {"image", "label"}
        shown = f"a dict with {sorted(map(str, item))}" if isinstance(item, Mapping) else type(item).__name__
        expect(is_dict, f"sample {i} of {what}", 'a dict with "image" and "label"', shown, "Keep the two names.")
        expect_close(f"label of sample {i} of {what}", item["label"], int(labels[i]), look or "Image i, label i.")
        whole = isinstance(item["label"], int | np.integer) and not isinstance(item["label"], bool)
        expect(
            whole, f"label of sample {i} of {what}", "an int", type(item["label"]).__name__, "Class numbers are whole."
        )
        same = isinstance(item["image"], np.ndarray) and item["image"].dtype == images.dtype
        got = getattr(item["image"], "dtype", type(item["image"]).__name__)
        expect(
            same,
            f"image of sample {i} of {what}",
            f"an array of {images.dtype}",
            f"{got}",
            "Without a transform, as it is.",
        )
        expect_close(f"image of sample {i} of {what}", item["image"], images[i], look or "Image i, label i.")
    try:
        made[len(images)]
    except IndexError:
        return
    raise CheckFailed(
        f"sample {len(images)} of {what}: expected an IndexError, got a sample. {look or 'NumPy raises it by itself.'} "
        "A for loop over the data set would never end."
    )


def select_split(answer: Any, rng: np.random.Generator) -> None:
    cases: list[tuple[int, dict[str, float]]] = [
        (10, {"train": 0.6, "val": 0.2, "test": 0.2}),
        (1000, {"train": 0.9, "val": 0.05, "test": 0.05}),
        (103, {"train": 0.7, "val": 0.2, "test": 0.1}),
        (7, {"train": 0.5, "val": 0.5}),
        (11, {"test": 0.15, "val": 0.35, "train": 0.5}),
        (int(rng.integers(200, 400)), {"one": 0.25, "two": 0.25, "three": 0.25, "four": 0.25}),
        (20, {"train": 1.0, "val": 0.0}),
    ]
    for n, split in cases:
        parts = {mode: answer.select_split(n, mode, dict(split)) for mode in split}
        what = f"{n} images split {'/'.join(f'{share:g}' for share in split.values())}"
        for mode, part in parts.items():
            is_list = isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "iu"
            shape = f"{type(part).__name__} of shape {np.shape(part)}"
            expect(
                is_list,
                f"{what}, part {mode!r}",
                "a one-dimensional array of integers",
                shape,
                "Cut a piece out of order.",
            )
            wanted = split[mode] * n
            fits = abs(len(part) - wanted) < 1 + 1e-9
            look = (
                "How many images make up this fraction? The order of the names in the dict is the order of the pieces."
            )
            expect(fits, f"{what}, part {mode!r}", f"about {wanted:g} images", len(part), look)
        together = np.sort(np.concatenate(list(parts.values())))
        twice = int(np.sum(together[1:] == together[:-1]))
        look = "A part begins where the one before it ends."
        expect(twice == 0, what, "no image in two parts", f"{twice} that are in two", look)
        missing = n - len(together)
        look = "Every image belongs to a part: round the ends of the pieces, not their lengths."
        expect(missing == 0, what, "every image in a part", f"{missing} that are in none", look)
        again = {mode: answer.select_split(n, mode, dict(split)) for mode in reversed(split)}
        same = all(np.array_equal(parts[mode], again[mode]) for mode in split)
        expect(same, what, "the same parts every time", "other ones", "Use `order` as it was drawn above.")
    train = answer.select_split(1000, "train", {"train": 0.6, "val": 0.4})
    mixed = len(np.intersect1d(train, np.arange(600))) < 500
    look = "Cut pieces out of order, not out of 0..n-1: files are often sorted by class."
    expect(mixed, "1000 images, part 'train'", "a random choice", "the first 600 of them", look)


Formula = Callable[[float, int], float]


def _affine(made: Any, formula: Formula, images: NDArray, what: str, look: str) -> None:
    """Compare a transform with a formula (value, channel) on images (N, H, W, C), one by one, as a batch, by affine()."""
    expected = np.zeros(images.shape)
    for index in np.ndindex(*images.shape):
        expected[index] = formula(float(images[index]), index[-1])
    out = call_unchanged(what, made, images[0])
    # float32 has 7 digits; shift and scale may each lose one
    expect_close(what, out, expected[0], look, rtol=1e-4, atol=1e-4)
    expect_dtype(what, out, np.float32)
    expect_close(f"{what}, a batch", made.batch(images), expected, look, rtol=1e-4, atol=1e-4)
    scale, shift = made.affine()
    look = "Hand scale and shift to super().__init__: the export of a model asks for them."
    expect_close(
        f"{what}, affine()", np.asarray(scale) * images + np.asarray(shift), expected, look, rtol=1e-4, atol=1e-4
    )


def _line(old: tuple[float, float], new: tuple[float, float]) -> Formula:
    coefficients = np.polyfit(old, new, 1)
    return lambda value, _: float(np.polyval(coefficients, value))


def rescale(answer: Any, rng: np.random.Generator) -> None:
    images = rng.integers(256, size=(2, 3, 2, 3), dtype=np.uint8)
    images[0, 0, 0] = 0, 255, 51
    look = "Both ends have to fit: old low goes to new low, old high to new high."
    _affine(answer(), lambda v, _: v / 255, images, "the default, 0..255 to 0..1", look)
    for new, old in (((-1, 1), (0, 255)), ((0, 1), (10, 20)), ((5, 2), (-50, 300)), ((0.5, 2.5), (-4, -2))):
        what = f"range_={new}, old_range={old}"
        _affine(answer(range_=new, old_range=old), _line(old, new), images, what, look)
    floats = rng.uniform(-1, 1, (2, 3, 2, 1)).astype(np.float32)
    _affine(answer((0, 10), (-1, 1)), _line((-1, 1), (0, 10)), floats, "(0, 10), (-1, 1) by position", look)
    try:
        answer((0, 1), (3, 3))
    except ValueError:
        return
    raise CheckFailed("old_range=(3, 3): expected a ValueError, got a transform. Leave the given lines as they are.")


def _standardised(mean: list[float], std: list[float]) -> Formula:
    return lambda value, channel: (value - mean[channel]) / std[channel]


def normalize(answer: Any, rng: np.random.Generator) -> None:
    images = rng.integers(256, size=(2, 3, 2, 3), dtype=np.uint8)
    look = "First take the mean away, then divide by the standard deviation; each channel has its own."
    _affine(answer(100, 50), lambda v, _: (v - 100) / 50, images, "mean 100, std 50", look)
    _affine(answer(0, 0.25), lambda v, _: v * 4, images, "mean 0, std 0.25", look)
    cases: list[tuple[list[float], list[float]]] = [([1, 2, 3], [2, 4, 8]), ([100.0, 50.0, 0.0], [0.5, 10.0, 3.0])]
    for mean, std in cases:
        for kind in (list, np.array):
            made = answer(kind(mean), kind(std))
            _affine(made, _standardised(mean, std), images, f"mean {mean}, std {std}", look)
    given = np.array([3.0, 4.0, 5.0]), np.array([2.0, 2.0, 2.0])
    answer(*given)
    unchanged = given[0].tolist() == [3, 4, 5] and given[1].tolist() == [2, 2, 2]
    expect(unchanged, "mean and std", "as they were", "changed ones", "Make new arrays.")


def _samples(count: int) -> list[dict[str, Any]]:
    return [{"image": np.array([i, -i], dtype=np.float32), "label": i} for i in range(count)]


def _labels(batches: Any, what: str) -> list[list[int]]:
    """Read the labels of an epoch, and look whether images still stand beside their labels."""
    found = []
    for batch in itertools.islice(batches, 200):
        is_batch = isinstance(batch, dict) and set(batch) == {"image", "label"}
        expect(is_batch, what, "batches with the keys of a sample", type(batch).__name__, "self._gather makes a batch.")
        labels = np.asarray(batch["label"])
        expected = np.stack([labels, -labels], axis=-1)
        expect_close(f"{what}, images of a batch", batch["image"], expected, "Every image keeps its own label.")
        found.append(labels.tolist())
    return found


def dataloader(answer: Any, rng: np.random.Generator) -> None:
    for count, size in ((7, 3), (6, 3), (2, 5), (5, 1), (4, 4)):
        for drop_last in (False, True):
            what = f"{count} samples, batch_size={size}, drop_last={drop_last}"
            loader = answer(_samples(count), batch_size=size, drop_last=drop_last)
            chunks = [list(range(i, min(i + size, count))) for i in range(0, count, size)]
            if drop_last:
                chunks = [chunk for chunk in chunks if len(chunk) == size]
            epoch = _labels(loader, what)
            look = "Every sample once, in order; the last batch may be smaller" + (
                ", and is left out." if drop_last else "."
            )
            expect(epoch == chunks, what, chunks, epoch, look)
            again = _labels(loader, what)
            expect(again == chunks, f"{what}, second epoch", chunks, again, "Each epoch starts from the beginning.")
            look = "The number of batches, not of samples; an incomplete last batch counts unless drop_last."
            expect(len(loader) == len(chunks), f"{what}, len", len(chunks), len(loader), look)
    seed = int(rng.integers(2**31))
    _shuffled(lambda data, **settings: answer(data, 8, True, rng=np.random.default_rng(seed), **settings))
    other = answer(_samples(50), 8, True, rng=np.random.default_rng(seed + 1))
    first = answer(_samples(50), 8, True, rng=np.random.default_rng(seed))
    differ = _labels(other, "shuffled") != _labels(first, "shuffled")
    expect(
        differ, "loaders with two different generators", "different orders", "the same", "Draw the order from self.rng."
    )


def _shuffled(make: Callable[..., Any]) -> None:
    before: Any = np.random.get_state()
    loader = make(_samples(50))
    first, second = _labels(loader, "shuffle=True"), _labels(loader, "shuffle=True")
    flat = [label for chunk in first for label in chunk]
    look = "A permutation visits every sample once; a choice with replacement does not."
    expect(
        sorted(flat) == list(range(50)), "50 samples, shuffle=True", "each of them once", f"{sorted(flat)[:9]}...", look
    )
    sizes = [len(chunk) for chunk in first]
    expect(sizes == [8] * 6 + [2], "sizes of the batches, shuffle=True", [8] * 6 + [2], sizes, "As without shuffling.")
    look = "Shuffle the samples, not the batches."
    whole = [sorted(chunk) for chunk in first]
    blocks = sum(chunk == list(range(chunk[0], chunk[0] + len(chunk))) for chunk in whole[:-1])
    expect(flat != list(range(50)), "50 samples, shuffle=True", "a random order", "0, 1, 2, ...", "Use self.shuffle.")
    expect(
        blocks < 3, "50 samples, shuffle=True", "batches of samples from everywhere", f"{whole[0]} in one batch", look
    )
    look = "Draw a new order at the start of every epoch."
    expect(first != second, "second epoch, shuffle=True", "another order", "the same as in the first", look)
    repeated = _labels(make(_samples(50)), "shuffle=True")
    look = "All randomness comes from self.rng, so that a run can be repeated."
    expect(repeated == first, "two loaders with equal generators", "the same order", "different ones", look)
    after: Any = np.random.get_state()
    untouched = before[0] == after[0] and np.array_equal(before[1], after[1]) and before[2] == after[2]
    look = "np.random.seed and np.random.shuffle work on one generator of the whole program; use self.rng."
    expect(untouched, "NumPy's global generator", "as it was", "moved or seeded", look)
    dropped = make(_samples(50), drop_last=True)
    left = [
        set(range(50)) - {label for chunk in _labels(dropped, "drop_last=True") for label in chunk} for _ in range(4)
    ]
    look = "Shuffle first, then cut: otherwise the same samples are left out in every epoch."
    expect(
        len(set(map(frozenset, left))) > 1,
        "what shuffle and drop_last leave out",
        "other samples each epoch",
        left[0],
        look,
    )
