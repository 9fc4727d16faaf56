"""Typical mistakes in exercise 02; most are the package's own class or function with one thing changed."""

import itertools
import math

import numpy as np

from exercise_code import training_loop
from exercise_code.data.dataloader import DataLoader
from exercise_code.data.dataset import ArrayDataset, ImageFolderDataset
from exercise_code.data.transforms import NormalizeTransform, RescaleTransform
from exercise_code.loss_curves import NAMES
from tests.catalogue import wrong


def class_with(base, **methods):
    """A subclass with some methods replaced."""
    return type(base.__name__, (base,), methods)


# ---- data set ------------------------------------------------------------------------------------------------------


def getting(change):
    """A __getitem__ from a function (self, i) -> sample, where i is the place in images."""
    return class_with(ArrayDataset, __getitem__=lambda self, index: change(self, self._indices[index]))


def transformed(self, image):
    return image if self.transform is None else self.transform(image)


def sample(self, i):
    return {"image": transformed(self, self.images[i]), "label": int(self.labels[i])}


def without_indices(self, index):
    return sample(self, index)


def wrapping(self, index):
    return sample(self, self._indices[index % len(self._indices)])


def clipping(self, index):
    return sample(self, self._indices[min(index, len(self._indices) - 1)])


def label_of_the_place(self, index):
    i = self._indices[index]
    return {"image": transformed(self, self.images[i]), "label": int(self.labels[index])}


def none_beyond(self, index):
    return sample(self, self._indices[index]) if index < len(self._indices) else None


DATASET = {
    "ignores the part": (class_with(ArrayDataset, __getitem__=without_indices), "look.*self._indices|_indices first"),
    "label by the place in the part": (class_with(ArrayDataset, __getitem__=label_of_the_place), "label of sample"),
    "starts again at the end": (class_with(ArrayDataset, __getitem__=wrapping), "IndexError"),
    "stays at the last sample": (class_with(ArrayDataset, __getitem__=clipping), "IndexError"),
    "None beyond the end": (class_with(ArrayDataset, __getitem__=none_beyond), "IndexError"),
    "len of all images": (class_with(ArrayDataset, __len__=lambda self: len(self.images)), "len of a part"),
    "len one too small": (class_with(ArrayDataset, __len__=lambda self: len(self._indices) - 1), "len of 6 images"),
    "len of the last index": (class_with(ArrayDataset, __len__=lambda self: int(self._indices[-1])), "len of 6 images"),
    "len of one image": (class_with(ArrayDataset, __len__=lambda self: len(self.images[0])), "len of 6 images"),
    "len in numbers": (class_with(ArrayDataset, __len__=lambda self: self.images.size), "len of 6 images"),
    "a tuple": (getting(lambda s, i: (transformed(s, s.images[i]), int(s.labels[i]))), 'a dict with "image"'),
    "plural keys": (
        getting(lambda s, i: {"images": transformed(s, s.images[i]), "labels": int(s.labels[i])}),
        "Keep the two names",
    ),
    "only the image": (getting(lambda s, i: transformed(s, s.images[i])), 'a dict with "image"'),
    "never transforms": (getting(lambda s, i: {"image": s.images[i], "label": int(s.labels[i])}), "self.transform"),
    "transforms twice": (
        getting(lambda s, i: {**sample(s, i), "image": transformed(s, transformed(s, s.images[i]))}),
        "self.transform",
    ),
    "transforms and throws the result away": (
        getting(lambda s, i: (transformed(s, s.images[i]), {"image": s.images[i], "label": int(s.labels[i])})[1]),
        "self.transform",
    ),
    "transforms all images": (
        getting(lambda s, i: {"image": transformed(s, s.images)[i], "label": int(s.labels[i])}),
        "the one image|TypeError|stopped",
    ),
    "calls None": (
        getting(lambda s, i: {"image": s.transform(s.images[i]), "label": int(s.labels[i])}),
        "not callable",
    ),
    "float label": (getting(lambda s, i: {**sample(s, i), "label": float(s.labels[i])}), "an int"),
    "label as an array": (getting(lambda s, i: {**sample(s, i), "label": s.labels[[i]]}), "label of sample"),
    "one-hot label": (getting(lambda s, i: {**sample(s, i), "label": np.eye(10)[s.labels[i]]}), "label of sample"),
    "scales the pixels by itself": (
        getting(lambda s, i: {**sample(s, i), "image": s.images[i] / 255}),
        "an array of uint8",
    ),
    "all images": (getting(lambda s, i: {**sample(s, i), "image": s.images}), "image of sample"),
    "no return": (getting(lambda s, i: None), 'a dict with "image"'),
}
for name, (made, says) in DATASET.items():
    wrong("dataset", name, says=says)(made)


# ---- parts ---------------------------------------------------------------------------------------------------------


def parts(pieces, order=None):
    """A select_split from a function (n, shares, position) -> (start, end)."""

    def select_split(n, mode, split):
        start, end = pieces(n, list(split.values()), list(split).index(mode))
        shuffled = np.random.default_rng(0).permutation(n) if order is None else order(n)
        return shuffled[start:end]

    return class_with(ImageFolderDataset, select_split=staticmethod(select_split))


def right_pieces(n, shares, k):
    ends = [0, *np.rint(np.cumsum(shares) * n).astype(int)]
    return ends[k], ends[k + 1]


def lengths_rounded(n, shares, k):
    lengths = [int(share * n) for share in shares]
    return sum(lengths[:k]), sum(lengths[: k + 1])


def shares_as_ends(n, shares, k):
    return (round(shares[k - 1] * n) if k else 0), round(shares[k] * n)


def fixed_names(n, mode, split):
    order = np.random.default_rng(0).permutation(n)
    train, val = int(split["train"] * n), int((split["train"] + split["val"]) * n)
    return {"train": order[:train], "val": order[train:val], "test": order[val:]}[mode]


def own_draw(n, mode, split):
    return np.random.default_rng(len(mode)).permutation(n)[: round(split[mode] * n)]


_moving = itertools.count()


def other_every_time(n):
    return np.random.default_rng(next(_moving)).permutation(n)


SPLIT = {
    "every part from the beginning": (parts(lambda n, s, k: (0, right_pieces(n, s, k)[1])), "begins where|about"),
    "all images in every part": (parts(lambda n, s, k: (0, n)), "about .* got"),
    "the fraction as the end": (parts(shares_as_ends), "about .* got|begins where"),
    "lengths rounded down": (parts(lengths_rounded), "in none"),
    "one image shared between neighbours": (
        parts(lambda n, s, k: (max(right_pieces(n, s, k)[0] - 1, 0), right_pieces(n, s, k)[1])),
        "in two|about",
    ),
    "one image lost between neighbours": (
        parts(lambda n, s, k: (right_pieces(n, s, k)[0] + (k > 0), right_pieces(n, s, k)[1])),
        "in none|about",
    ),
    "the last image left out": (
        parts(lambda n, s, k: (right_pieces(n, s, k)[0], min(right_pieces(n, s, k)[1], n - 1))),
        "in none|about",
    ),
    "not shuffled": (parts(right_pieces, order=np.arange), "random choice"),
    "another order with each call": (parts(right_pieces, order=other_every_time), "in two|in none|same parts"),
    "parts drawn one by one": (
        class_with(ImageFolderDataset, select_split=staticmethod(own_draw)),
        "in two|begins where",
    ),
    "only the names train, val and test": (
        class_with(ImageFolderDataset, select_split=staticmethod(fixed_names)),
        "KeyError|about",
    ),
    "ends as floats": (
        parts(lambda n, s, k: (float(right_pieces(n, s, k)[0]), float(right_pieces(n, s, k)[1]))),
        "TypeError",
    ),
    "percent": (parts(lambda n, s, k: tuple(int(100 * x) for x in right_pieces(n, s, k))), "about .* got"),
    "the parts in reverse": (
        parts(lambda n, s, k: right_pieces(n, s, len(s) - 1 - k)),
        "about .* got",
    ),
    "the number of images instead of which": (
        class_with(ImageFolderDataset, select_split=staticmethod(lambda n, mode, split: round(split[mode] * n))),
        "a one-dimensional array",
    ),
    "a mask": (
        class_with(
            ImageFolderDataset,
            select_split=staticmethod(lambda n, mode, split: np.arange(n) < round(split[mode] * n)),
        ),
        "a one-dimensional array of integers",
    ),
}
for name, (made, says) in SPLIT.items():
    wrong("select_split", name, says=says)(made)


# ---- transforms ----------------------------------------------------------------------------------------------------


def transform(base, make):
    """A transform class whose __init__ hands `make(*arguments)`, scale and shift, to AffineTransform."""

    def init(self, *args, **kwargs):
        super(base, self).__init__(*make(*args, **kwargs))

    return class_with(base, __init__=init)


def rescaling(line):
    def make(range_=(0, 1), old_range=(0, 255)):
        (low, high), (old_low, old_high) = range_, old_range
        if old_low == old_high:
            raise ValueError("two different ends")
        return line(low, high, old_low, old_high)

    return transform(RescaleTransform, make)


RESCALE = {
    "divides by 255 always": (lambda a, b, c, d: (1 / 255, 0), "range_=|affine"),
    "divides by the old end": (lambda a, b, c, d: ((b - a) / d, a - (b - a) / d * c), "Both ends"),
    "divides by the new width": (lambda a, b, c, d: ((d - c) / (b - a), 0), "Both ends"),
    "no shift": (lambda a, b, c, d: ((b - a) / (d - c), 0), "range_=.*Both ends"),
    "shift by the new low only": (lambda a, b, c, d: ((b - a) / (d - c), a), "range_=.*Both ends"),
    "shift by the difference of the lows": (lambda a, b, c, d: ((b - a) / (d - c), a - c), "range_=.*Both ends"),
    "sign of the old low": (lambda a, b, c, d: ((b - a) / (d - c), a + (b - a) / (d - c) * c), "range_=.*Both ends"),
    "new range not shifted": (lambda a, b, c, d: (b / (d - c), -b / (d - c) * c), "range_=.*Both ends"),
    "width as a sum": (lambda a, b, c, d: ((b + a) / (d + c), 0), "range_=|Both ends"),
    "high and low exchanged": (lambda a, b, c, d: ((a - b) / (d - c), b - (a - b) / (d - c) * c), "Both ends"),
    "old and new exchanged": (lambda a, b, c, d: ((d - c) / (b - a), c - (d - c) / (b - a) * a), "Both ends"),
    "whole-number division": (lambda a, b, c, d: ((b - a) // (d - c), a), "Both ends"),
    "scale and shift exchanged": (lambda a, b, c, d: (a - (b - a) / (d - c) * c, (b - a) / (d - c)), "Both ends"),
    "standardises": (lambda a, b, c, d: (2 / (d - c), -1 - 2 * c / (d - c)), "Both ends"),
}
for name, (line, says) in RESCALE.items():
    wrong("rescale", name, says=says)(rescaling(line))


def only_call(base, formula):
    """Computes in __call__ and leaves the base class with scale 1 and shift 0."""

    def init(self, *args, **kwargs):
        super(base, self).__init__(1, 0)
        self.args = args, kwargs

    def call(self, images):
        return formula(np.asarray(images, dtype=np.float32), *self.args[0], **self.args[1])

    return class_with(base, __init__=init, __call__=call, batch=call)


def rescale_values(x, range_=(0, 1), old_range=(0, 255)):
    scale = (range_[1] - range_[0]) / (old_range[1] - old_range[0])
    return (x - old_range[0]) * np.float32(scale) + np.float32(range_[0])


wrong("rescale", "computes in __call__ only", says="affine.*super")(only_call(RescaleTransform, rescale_values))
wrong("rescale", "forgets super", says="attribute")(class_with(RescaleTransform, __init__=lambda self, *a, **k: None))

NORMALIZE = {
    "forgets the mean": (lambda m, s: (1 / s, 0 * m), "mean 100, std 50"),
    "adds the mean": (lambda m, s: (1 / s, m / s), "mean 100, std 50.*take the mean away"),
    "divides before it subtracts": (lambda m, s: (1 / s, -m), "mean 100, std 50.*take the mean away"),
    "multiplies by std": (lambda m, s: (s, -m * s), "mean 100, std 50"),
    "divides by the variance": (lambda m, s: (1 / s**2, -m / s**2), "mean 100, std 50"),
    "divides by the root of std": (lambda m, s: (1 / np.sqrt(s), -m / np.sqrt(s)), "mean 100, std 50"),
    "mean and std exchanged": (lambda m, s: (1 / (m + 1e-8), -s / (m + 1e-8)), "mean 100, std 50"),
    "scale and shift exchanged": (lambda m, s: (-m / s, 1 / s), "mean 100, std 50"),
    "one mean for all channels": (lambda m, s: (1 / s, -np.mean(m) / s), "each channel has its own"),
    "one std for all channels": (lambda m, s: (1 / np.mean(s), -m / np.mean(s)), "each channel has its own"),
    "divides by std + 1": (lambda m, s: (1 / (s + 1), -m / (s + 1)), "mean 100, std 50"),
    "scaled to 0..1 first": (lambda m, s: (1 / 255 / s, -m / s), "mean 100, std 50"),
    "whole-number division": (lambda m, s: (1 // s, -(m // s)), "mean"),
    "channels turned round": (lambda m, s: (1 / s[..., ::-1] if s.ndim else 1 / s, -m / s), "each channel has its own"),
}
for name, (line, says) in NORMALIZE.items():
    wrong("normalize", name, says=says)(
        transform(
            NormalizeTransform, lambda mean, std, line=line: line(np.asarray(mean, float), np.asarray(std, float))
        )
    )
wrong("normalize", "computes in __call__ only", says="affine.*super")(
    only_call(NormalizeTransform, lambda x, mean, std: ((x - np.asarray(mean)) / np.asarray(std)).astype(np.float32))
)
wrong("normalize", "lists without np.asarray", says="TypeError")(
    transform(NormalizeTransform, lambda mean, std: (1 / std, -mean / std))
)


# ---- loader --------------------------------------------------------------------------------------------------------


def loading(order=None, cut=None, length=None):
    """A DataLoader with another order (self, n), another way to cut it (self, order) or another len."""

    def usual_order(self, n):
        return self.rng.permutation(n) if self.shuffle else np.arange(n)

    def usual_cut(self, indices):
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield indices[start : start + self.batch_size]

    def iterate(self):
        for indices in (cut or usual_cut)(self, (order or usual_order)(self, len(self.dataset))):
            yield self._gather(indices)

    return class_with(DataLoader, __iter__=iterate, **({"__len__": length} if length else {}))


def all_starts(self, order):
    return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]


def only_full(self, order):
    return [part for part in all_starts(self, order) if len(part) == self.batch_size]


def once_per_loader(self, n):
    if not hasattr(self, "order"):
        self.order = self.rng.permutation(n) if self.shuffle else np.arange(n)
    return self.order


def seeded(self, n):
    np.random.seed(0)
    return np.random.permutation(n) if self.shuffle else np.arange(n)


def global_draw(self, n):
    return np.random.permutation(n) if self.shuffle else np.arange(n)


def shuffled_batches(self, order):
    parts = all_starts(self, np.arange(len(order)))
    if self.drop_last:
        parts = [part for part in parts if len(part) == self.batch_size]
    return [parts[i] for i in self.rng.permutation(len(parts))] if self.shuffle else parts


def drop_then_shuffle(self, order):
    kept = np.arange(len(self) * self.batch_size if self.drop_last else len(order))
    return all_starts(self, self.rng.permutation(kept) if self.shuffle else kept)


def labels_unshuffled(self):
    n = len(self.dataset)
    order = self.rng.permutation(n) if self.shuffle else np.arange(n)
    for start in range(0, len(self) * self.batch_size, self.batch_size):
        images, labels = (
            self._gather(order[start : start + self.batch_size]),
            self._gather(np.arange(n)[start : start + self.batch_size]),
        )
        yield {"image": images["image"], "label": labels["label"]}


def used_up(self):
    if not hasattr(self, "rest"):
        self.rest = DataLoader.__iter__(self)
    return self.rest


def lists(self):
    for part in all_starts(self, np.arange(len(self.dataset))):
        yield [self.dataset[int(i)] for i in part]


def always_up(self):
    return -(-len(self.dataset) // self.batch_size)


LOADER = {
    "never shuffles": (loading(order=lambda self, n: np.arange(n)), "random order"),
    "always shuffles": (loading(order=lambda self, n: self.rng.permutation(n)), "drop_last=False.*in order|drop_last"),
    "draws with replacement": (
        loading(order=lambda self, n: self.rng.integers(n, size=n) if self.shuffle else np.arange(n)),
        "replacement",
    ),
    "one order for all epochs": (loading(order=once_per_loader), "start of every epoch"),
    "seeds NumPy's global generator": (loading(order=seeded), "start of every epoch|global generator"),
    "draws from NumPy's global generator": (loading(order=global_draw), "global generator|from self.rng"),
    "a new generator each time": (
        loading(order=lambda self, n: np.random.default_rng(0).permutation(n) if self.shuffle else np.arange(n)),
        "start of every epoch",
    ),
    "a generator without a seed": (
        loading(order=lambda self, n: np.random.default_rng().permutation(n) if self.shuffle else np.arange(n)),
        "self.rng",
    ),
    "turned round instead of shuffled": (
        loading(order=lambda self, n: np.arange(n)[::-1] if self.shuffle else np.arange(n)),
        "everywhere",
    ),
    "shuffles the batches": (loading(cut=shuffled_batches), "not the batches|As without"),
    "shuffles after dropping": (loading(cut=drop_then_shuffle), "Shuffle first"),
    "shuffles the images only": (class_with(DataLoader, __iter__=labels_unshuffled), "its own label"),
    "drop_last ignored": (loading(cut=all_starts), "left out"),
    "always drops": (loading(cut=only_full), "drop_last=False"),
    "drop_last drops a full batch too": (
        loading(cut=lambda self, order: all_starts(self, order)[: -1 if self.drop_last else None]),
        "left out",
    ),
    "batches overlap": (
        loading(cut=lambda self, order: [order[i : i + self.batch_size] for i in range(len(order))][: len(self)]),
        "Every sample once",
    ),
    "batches one too small": (
        loading(cut=lambda self, order: [part[:-1] for part in all_starts(self, order)]),
        "Every sample once|ValueError|IndexError",
    ),
    "one sample at a time": (loading(cut=lambda self, order: order[:, None]), "Every sample once"),
    "everything in one batch": (loading(cut=lambda self, order: [order]), "Every sample once"),
    "len counts samples": (loading(length=lambda self: len(self.dataset), cut=all_starts), "len|left out"),
    "len rounded up always": (
        loading(length=always_up, cut=lambda self, o: only_full(self, o) if self.drop_last else all_starts(self, o)),
        "number of batches|len",
    ),
    "len rounded down always": (
        loading(length=lambda s: len(s.dataset) // s.batch_size,
                cut=lambda self, o: only_full(self, o) if self.drop_last else all_starts(self, o)),
        "number of batches|len",
    ),
    "len with one too many": (
        loading(length=lambda s: len(s.dataset) // s.batch_size + (not s.drop_last),
                cut=lambda self, o: only_full(self, o) if self.drop_last else all_starts(self, o)),
        "number of batches|len",
    ),
    "a float as len": (loading(length=lambda s: len(s.dataset) / s.batch_size, cut=all_starts), "TypeError"),
    "used up after one epoch": (class_with(DataLoader, __iter__=used_up), "second epoch"),
    "lists of samples": (class_with(DataLoader, __iter__=lists), "self._gather"),
    "returns the first batch": (
        class_with(DataLoader, __iter__=lambda self: self._gather(np.arange(self.batch_size))),
        "IndexError|TypeError|self._gather",
    ),
}  # fmt: skip
for name, (made, says) in LOADER.items():
    wrong("dataloader", name, says=says)(made)


# ---- losses --------------------------------------------------------------------------------------------------------


def softmax(z, axis=1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def into_logits(z):
    z -= z.max(axis=1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    return z


def shifted(z, axis=1, keepdims=True):
    return z - z.max(axis=axis, keepdims=keepdims)


LOG_SOFTMAX = {
    "the formula as it is printed": (lambda z: z - np.log(np.exp(z).sum(axis=1, keepdims=True)), "no overflow"),
    "log of the softmax as it is printed": (
        lambda z: np.log(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
        "no overflow",
    ),
    "log of a stable softmax": (lambda z: np.log(softmax(z)), "never take the log|log of 0"),
    "a small number inside the log": (lambda z: np.log(softmax(z) + 1e-12), "logits"),
    "clipped logits": (lambda z: np.clip(z, -50, 50) - np.log(np.exp(np.clip(z, -50, 50)).sum(axis=1, keepdims=True)), "1000"),
    "sums over the samples": (lambda z: shifted(z) - np.log(np.exp(shifted(z)).sum(axis=0, keepdims=True)), "axis 1"),
    "sums over everything": (lambda z: z - z.max() - np.log(np.exp(z - z.max()).sum()), "axis 1"),
    "the maximum of everything": (
        lambda z: z - z.max() - np.log(np.exp(z - z.max()).sum(axis=1, keepdims=True)),
        "log of 0|own maximum",
    ),
    "without keepdims": (lambda z: z - z.max(axis=1), "ValueError|axis 1"),
    "log sum without keepdims": (lambda z: shifted(z) - np.log(np.exp(shifted(z)).sum(axis=1)), "ValueError|axis 1"),
    "the softmax": (softmax, "z minus the log"),
    "minus the result": (lambda z: -np.log(softmax(z)), "z minus the log"),
    "mean instead of sum": (lambda z: shifted(z) - np.log(np.exp(shifted(z)).mean(axis=1, keepdims=True)), "z minus the log"),
    "forgets the log": (lambda z: shifted(z) - np.exp(shifted(z)).sum(axis=1, keepdims=True), "z minus the log"),
    "log to base 2": (lambda z: shifted(z) - np.log2(np.exp(shifted(z)).sum(axis=1, keepdims=True)), "z minus the log"),
    "log to base 10": (lambda z: shifted(z) - np.log10(np.exp(shifted(z)).sum(axis=1, keepdims=True)), "z minus the log"),
    "the minimum": (
        lambda z: z - z.min(axis=1, keepdims=True)
        - np.log(np.exp(z - z.min(axis=1, keepdims=True)).sum(axis=1, keepdims=True)),
        "no overflow",
    ),
    "works on the logits themselves": (into_logits, "a changed one"),
    "shifts and stops": (shifted, "z minus the log"),
    "always float64": (lambda z: np.log(softmax(z.astype(np.float64))), "log of 0|float32"),
    "no return": (lambda z: None, "None"),
}  # fmt: skip
for name, (function, says) in LOG_SOFTMAX.items():
    wrong("log_softmax", name, says=says)(function)

N = np.arange
CROSS_ENTROPY = {
    "the sum": (lambda p, y: float(-p[N(len(y)), y].sum()), "own label|not the sum"),
    "forgets the sign": (lambda p, y: float(p[N(len(y)), y].mean()), "minus log_p"),
    "all columns of the labels": (lambda p, y: float(-p[:, y].mean()), "own label"),
    "mean over all entries of the one-hot product": (
        lambda p, y: float(-np.mean(np.eye(p.shape[1])[y] * p)),
        "own label|not over all",
    ),
    "one-hot times log": (lambda p, y: float(-np.sum(np.eye(p.shape[1])[y] * p) / len(y)), "0 \\* -inf"),
    "takes the log again": (lambda p, y: float(-np.log(p[N(len(y)), y]).mean()), "own label"),
    "probabilities": (lambda p, y: float(-np.exp(p[N(len(y)), y]).mean()), "own label"),
    "the best class instead of the true one": (lambda p, y: float(-p.max(axis=1).mean()), "own label"),
    "the mean of all": (lambda p, y: float(-p.mean()), "own label"),
    "by the number of classes": (lambda p, y: float(-p[N(len(y)), y].sum() / p.shape[1]), "own label"),
    "one number per sample": (lambda p, y: -p[N(len(y)), y], "a number|shape"),
    "rows and columns exchanged": (lambda p, y: float(-p[y, N(len(y))].mean()), "IndexError|own label"),
    "labels from 1": (lambda p, y: float(-p[N(len(y)), y - 1].mean()), "own label"),
    "base 2": (lambda p, y: float(-p[N(len(y)), y].mean() / math.log(2)), "own label"),
    "one correct sample only": (lambda p, y: float(-p[0, y[0]]), "own label"),
    "no return": (lambda p, y: None, "None"),
}
for name, (function, says) in CROSS_ENTROPY.items():
    wrong("cross_entropy", name, says=says)(function)


def into_p(p, y):
    p[N(len(y)), y] -= 1
    p /= len(y)
    return p


def alias_of_p(p, y):
    grad = p
    grad[N(len(y)), y] -= 1
    return grad / len(y)


def gradient(change, divide=len):
    def function(p, y):
        grad = p.copy()
        change(grad, N(len(y)), y)
        return grad / divide(y)

    return function


def minus_one(grad, rows, y):
    grad[rows, y] -= 1


def all_columns(grad, rows, y):
    grad[:, y] -= 1


def plus_one(grad, rows, y):
    grad[rows, y] += 1


def set_to_minus_one(grad, rows, y):
    grad[rows, y] = -1


def float64(p, y):
    return (p - np.eye(p.shape[1])[y]) / len(y)


GRADIENT = {
    "not divided by the number of samples": (gradient(minus_one, lambda y: 1), "times as large"),
    "divided by the number of entries": (lambda p, y: gradient(minus_one)(p, y) / p.shape[1], "times as large"),
    "divided twice": (lambda p, y: gradient(minus_one)(p, y) / len(y), "times as large|by the number of samples"),
    "wrong sign": (lambda p, y: -gradient(minus_one)(p, y), "times as large"),
    "works on p itself": (into_p, "a changed one"),
    "a second name is no copy": (alias_of_p, "a changed one"),
    "all columns of the labels": (gradient(all_columns), "formula above"),
    "adds 1": (gradient(plus_one), "formula above"),
    "the entry becomes -1": (gradient(set_to_minus_one), "formula above"),
    "only the probabilities": (gradient(lambda grad, rows, y: None), "formula above"),
    "only the one-hot part": (lambda p, y: -np.eye(p.shape[1])[y] / len(y), "formula above"),
    "with respect to the log-probabilities": (lambda p, y: -np.eye(p.shape[1])[y] / p / len(y), "formula above"),
    "one number per sample": (lambda p, y: (p[N(len(y)), y] - 1) / len(y), "shape"),
    "subtracts the labels themselves": (lambda p, y: (p - y[:, None]) / len(y), "formula above"),
    "the softmax once more": (lambda p, y: gradient(minus_one)(softmax(p), y), "formula above"),
    "through the product rule of the softmax": (lambda p, y: p * (1 - p) / len(y), "formula above"),
    "a float64 one-hot": (float64, "float32"),
    "mean over the samples": (lambda p, y: gradient(minus_one)(p, y).sum(axis=0), "shape"),
    "no return": (lambda p, y: None, "None"),
}
for name, (function, says) in GRADIENT.items():
    wrong("cross_entropy_gradient", name, says=says)(function)


def into_out(out, truth):
    out -= truth
    out *= 2 / out.size
    return out


MSE = {
    "as found": (lambda out, truth: 2 * (out - truth), "times as large"),
    "divided by the number of samples": (lambda out, truth: 2 * (out - truth) / len(out), "times as large"),
    "divided by the number of columns": (lambda out, truth: 2 * (out - truth) / out.shape[-1], "times as large"),
    "forgets the 2": (lambda out, truth: (out - truth) / out.size, "times as large"),
    "wrong sign": (lambda out, truth: 2 * (truth - out) / out.size, "times as large"),
    "divided twice": (lambda out, truth: 2 * (out - truth) / out.size**2, "times as large|which way"),
    "multiplied instead of divided": (lambda out, truth: 2 * (out - truth) * out.size, "times as large"),
    "the absolute difference": (lambda out, truth: 2 * np.abs(out - truth) / out.size, "[Ww]hich way"),
    "the square": (lambda out, truth: (out - truth) ** 2 / out.size, "which way"),
    "the sign only": (lambda out, truth: np.sign(out - truth) / out.size, "which way"),
    "the sum": (lambda out, truth: 2 * (out + truth) / out.size, "which way"),
    "only the outputs": (lambda out, truth: 2 * out / out.size, "which way"),
    "the mean of the gradient": (lambda out, truth: np.mean(2 * (out - truth)), "shape"),
    "works on the outputs themselves": (into_out, "a changed one"),
    "always float64": (lambda out, truth: 2 * (out.astype(np.float64) - truth) / out.size, "float32"),
    "no return": (lambda out, truth: None, "None"),
}
for name, (function, says) in MSE.items():
    wrong("mse_gradient", name, says=says)(function)


# ---- one step ------------------------------------------------------------------------------------------------------


def stepping(script):
    """A train_step from a script in a few letters: f forward, l loss, r adds reg, b backward, s step, z reads reg early."""

    def train_step(model, loss_func, optimizer, X, y):
        out, loss, early = None, 0.0, 0.0
        for letter in script:
            if letter == "f":
                out = model.forward(X)
            elif letter == "l":
                loss = loss_func(out, y)
            elif letter == "r":
                loss += sum(model.reg.values())
            elif letter == "z":
                early = sum(model.reg.values())
            elif letter == "e":
                loss += early
            elif letter == "b":
                optimizer.backward(out, y)
            elif letter == "s":
                optimizer.step()
        return loss

    return train_step


def step_with(**changes):
    def train_step(model, loss_func, optimizer, X, y):
        out = model.forward(X)
        loss = changes.get("loss", lambda f, out, y: f(out, y))(loss_func, out, y)
        loss += changes.get("reg", lambda reg: sum(reg.values()))(model.reg)
        optimizer.backward(*changes.get("given", lambda out, y: (out, y))(out, y))
        optimizer.step()
        return changes.get("result", lambda loss, out: loss)(loss, out)

    return train_step


def by_hand(model, loss_func, optimizer, X, y):
    out = model.forward(X)
    optimizer.backward(out, y)
    model.params["W1"] = model.params["W1"] - 0.01 * model.grads["W1"]
    return loss_func(out, y) + sum(model.reg.values())


def zeroed(model, loss_func, optimizer, X, y):
    out = model.forward(X)
    optimizer.backward(out, y)
    for grad in model.grads.values():
        grad[...] = 0
    optimizer.step()
    return loss_func(out, y) + sum(model.reg.values())


def normalises_the_batch(model, loss_func, optimizer, X, y):
    X -= X.mean(axis=0)
    return training_loop.train_step(model, loss_func, optimizer, X, y)


def in_evaluation_mode(model, loss_func, optimizer, X, y):
    model.eval()
    return loss_func(model.forward(X), y) + sum(model.reg.values())


STEP = {
    "forgets backward": (stepping("flrs"), "backward, then step"),
    "forgets the step": (stepping("flrb"), "backward, then step"),
    "only looks": (stepping("flr"), "backward, then step"),
    "steps before the gradients": (stepping("flrsb"), "Gradients first"),
    "backward twice": (stepping("flrbbs"), "exactly once"),
    "steps twice": (stepping("flrbss"), "exactly once"),
    "the loss after the step": (stepping("fbsflr"), "forward passes"),
    "a second forward pass for the gradients": (stepping("flrfbs"), "forward passes"),
    "forgets the regularisation": (stepping("flbs"), "every entry of model.reg"),
    "regularisation from before the forward pass": (stepping("zflebs"), "the loss returned|first call"),
    "one entry of the regularisation": (step_with(reg=lambda reg: reg["W1"]), "every entry of model.reg"),
    "regularisation twice": (step_with(reg=lambda reg: 2 * sum(reg.values())), "every entry of model.reg"),
    "regularisation taken away": (step_with(reg=lambda reg: -sum(reg.values())), "every entry of model.reg"),
    "arguments of the loss exchanged": (step_with(loss=lambda f, out, y: f(y, out)), "the loss returned"),
    "arguments of backward exchanged": (step_with(given=lambda out, y: (y, out)), "in this order"),
    "the loss times the batch size": (step_with(loss=lambda f, out, y: f(out, y) * len(y)), "mean loss of the batch"),
    "rounded predictions": (step_with(given=lambda out, y: (np.round(out), y)), "predictions given to backward"),
    "returns the predictions": (step_with(result=lambda loss, out: out), "the loss returned: expected shape"),
    "no return": (step_with(result=lambda loss, out: None), "None"),
    "updates the weights by hand": (by_hand, "backward, then step"),
    "clears the gradients before the step": (zeroed, "weights after it"),
    "changes the batch": (normalises_the_batch, "a changed one"),
    "runs in evaluation mode": (in_evaluation_mode, "backward, then step"),
}
for name, (function, says) in STEP.items():
    wrong("train_step", name, says=says)(function)


# ---- loss of a data set --------------------------------------------------------------------------------------------


def losses_of(model, loss_func, batches):
    return [(loss_func(model.forward(b["image"]), b["label"]), len(b["label"])) for b in batches]


def measured(combine, before=True, after=True, look=losses_of):
    def dataset_loss(model, loss_func, batches):
        if before:
            model.eval()
        result = combine(look(model, loss_func, batches))
        if after:
            model.train()
        return result

    return dataset_loss


def weighted(pairs):
    if not pairs:
        raise ValueError("no batch")
    return sum(loss * size for loss, size in pairs) / sum(size for _, size in pairs)


def full_batches_only(model, loss_func, batches):
    batches = list(batches)
    full = [b for b in batches if len(b["label"]) == len(batches[0]["label"])]
    return losses_of(model, loss_func, full)


def with_reg(model, loss_func, batches):
    found = losses_of(model, loss_func, batches)
    return [(loss + sum(model.reg.values()), size) for loss, size in found]


def exchanged(model, loss_func, batches):
    return [(loss_func(b["label"], model.forward(b["image"])), len(b["label"])) for b in batches]


def counts_first(model, loss_func, batches):
    number = sum(len(b["label"]) for b in batches)
    return [(loss * size / number, 1) for loss, size in losses_of(model, loss_func, batches)] + [(0.0, 0)]


def size_of_the_first(model, loss_func, batches):
    found = losses_of(model, loss_func, batches)
    return [(loss, found[0][1]) for loss, _ in found]


def numbers_instead_of_samples(model, loss_func, batches):
    return [(loss_func(model.forward(b["image"]), b["label"]), b["label"].sum()) for b in batches]


def learns(model, loss_func, batches):
    found = losses_of(model, loss_func, batches)
    model.params["W1"] -= 1e-3
    return found


def asks_twice(model, loss_func, batches):
    return [(loss_func(model.forward(b["image"]), b["label"]), len(model.forward(b["image"]))) for b in batches]


def needs_len(model, loss_func, batches):
    return losses_of(model, loss_func, batches) if len(batches) else []


DATASET_LOSS = {
    "mean of the batch means": (measured(lambda pairs: np.mean([loss for loss, _ in pairs])), "weight the mean"),
    "the sum": (measured(lambda pairs: sum(loss for loss, _ in pairs)), "weight the mean"),
    "the weighted sum": (measured(lambda pairs: sum(loss * size for loss, size in pairs)), "weight the mean"),
    "the last batch only": (measured(lambda pairs: pairs[-1][0]), "weight the mean"),
    "the first batch only": (measured(lambda pairs: pairs[0][0]), "weight the mean"),
    "sum by the number of samples": (
        measured(lambda pairs: sum(loss for loss, _ in pairs) / sum(size for _, size in pairs)),
        "weight the mean",
    ),
    "weighted sum by the number of batches": (
        measured(lambda pairs: sum(loss * size for loss, size in pairs) / len(pairs)),
        "weight the mean",
    ),
    "the median": (measured(lambda pairs: np.median([loss for loss, _ in pairs])), "weight the mean"),
    "drops the smaller batch": (measured(weighted, look=full_batches_only), "weight the mean|one loop over"),
    "the size of the first batch for all": (measured(weighted, look=size_of_the_first), "weight the mean"),
    "weights with the labels": (measured(weighted, look=numbers_instead_of_samples), "weight the mean"),
    "adds the regularisation": (measured(weighted, look=with_reg), "No regularisation"),
    "arguments of the loss exchanged": (measured(weighted, look=exchanged), "weight the mean"),
    "never switches to evaluation": (measured(weighted, before=False), "model.eval"),
    "never switches back": (measured(weighted, after=False), "model.train"),
    "learns from the validation images": (measured(weighted, look=learns), "weights afterwards"),
    "two forward passes per batch": (measured(weighted, look=asks_twice), "One forward pass per batch"),
    "reads the batches twice": (measured(lambda p: sum(x * s for x, s in p), look=counts_first), "generator"),
    "wants a len": (measured(weighted, look=needs_len), "no len"),
    "0 for nothing": (measured(lambda pairs: weighted(pairs) if pairs else 0.0), "refuse it"),
    "no return": (measured(lambda pairs: None), "None"),
}
for name, (function, says) in DATASET_LOSS.items():
    wrong("dataset_loss", name, says=says)(function)


# ---- best weights --------------------------------------------------------------------------------------------------


def copies(params):
    return {name: w.copy() for name, w in params.items()}


def updating(better=lambda self, loss: math.isfinite(loss) and loss < self.loss, keep=copies, reset=0, more=1):
    def update(self, loss, params):
        if better(self, loss):
            self.loss, self.params = loss, keep(params)
            self.waited = reset if reset is not None else self.waited
        else:
            self.waited += more

    return class_with(training_loop.BestWeights, update=update)


def restoring(restore):
    return class_with(training_loop.BestWeights, restore=restore)


def restore_alias(self, params):
    for name, w in (self.params or {}).items():
        params[name] = w


def restore_rebinds(self, params):
    params = copies(self.params or {})  # noqa: F841 -- the mistake


def restore_without_a_look(self, params):
    for name, w in self.params.items():
        params[name] = w.copy()


def restore_first_name(self, params):
    if self.params:
        params["W1"] = self.params["W1"].copy()


def restore_other_direction(self, params):
    if self.params:
        self.params = copies(params)


def restore_and_forget(self, params):
    restore_alias(self, copies(params))
    params.update(self.params or {})
    self.params = None


def restore_new_names(self, params):
    for name, w in (self.params or {}).items():
        params[f"best_{name}"] = w.copy()


def restore_empties(self, params):
    params.clear()
    params.update(copies(self.params or {}))


def update_moves_params(self, loss, params):
    training_loop.BestWeights.update(self, loss, params)
    self.restore(params)


def update_forgets_loss(self, loss, params):
    if math.isfinite(loss) and loss < self.loss:
        self.params, self.waited = copies(params), 0
    else:
        self.waited += 1


BEST = {
    "keeps the dict itself": (updating(keep=lambda params: params), "makes no copy"),
    "copies the dict, not the arrays": (updating(keep=dict), "makes no copy"),
    "params.copy()": (updating(keep=lambda params: params.copy()), "makes no copy"),
    "a comprehension without copies": (updating(keep=lambda p: {name: w for name, w in p.items()}), "makes no copy"),
    "views": (updating(keep=lambda p: {name: w[:] for name, w in p.items()}), "makes no copy"),
    "np.asarray": (updating(keep=lambda p: {name: np.asarray(w) for name, w in p.items()}), "makes no copy"),
    "weights only, no biases": (updating(keep=lambda p: {"W1": p["W1"].copy()}), "One copy for each name"),
    "a list": (updating(keep=lambda p: [w.copy() for w in p.values()]), "a dict with W1"),
    "converts to float64": (updating(keep=lambda p: {n: w.astype(np.float64) for n, w in p.items()}), "Keep the dtype"),
    "equal counts as better": (updating(better=lambda s, loss: math.isfinite(loss) and loss <= s.loss), "waited|best.params"),
    "the largest": (updating(better=lambda s, loss: math.isfinite(loss) and (s.params is None or loss > s.loss)), "lowest finite"),
    "always the last": (updating(better=lambda s, loss: True), "lowest finite"),
    "nan is taken": (updating(better=lambda s, loss: not loss >= s.loss), "nan and inf never"),
    "0 counts as nothing yet": (
        updating(better=lambda s, loss: math.isfinite(loss) and (not s.loss or loss < s.loss)),
        "lowest finite",
    ),
    "negative losses refused": (updating(better=lambda s, loss: math.isfinite(loss) and 0 <= loss < s.loss), "lowest finite"),
    "better than the one before": (
        updating(better=lambda s, loss: (s.__dict__.setdefault("last", []).append(loss) or len(s.last) < 2 or loss < s.last[-2])
                 and math.isfinite(loss)),
        "lowest finite|waited",
    ),
    "forgets the loss": (class_with(training_loop.BestWeights, update=update_forgets_loss), "best.loss"),
    "waited is never reset": (updating(reset=None), "back to 0"),
    "waited reset to 1": (updating(reset=1), "back to 0"),
    "waited never grows": (updating(more=0), "best.waited"),
    "waited grows by 2": (updating(more=2), "best.waited"),
    "update puts the best weights back": (
        class_with(training_loop.BestWeights, update=update_moves_params),
        "update only looks",
    ),
    "restore hands out the copies themselves": (restoring(restore_alias), "copy once more"),
    "restore binds a new name": (restoring(restore_rebinds), "after restore"),
    "restore without a best": (restoring(restore_without_a_look), "AttributeError"),
    "restore of one name": (restoring(restore_first_name), "after restore"),
    "restore in the other direction": (restoring(restore_other_direction), "after restore"),
    "restore gives the copies away": (restoring(restore_and_forget), "training went on|TypeError"),
    "restore under new names": (restoring(restore_new_names), "after restore"),
    "restore empties params": (restoring(restore_empties), "leave params alone"),
    "restore does nothing": (restoring(lambda self, params: None), "after restore"),
}  # fmt: skip
for name, (made, says) in BEST.items():
    wrong("best_weights", name, says=says)(made)


# ---- the loop ------------------------------------------------------------------------------------------------------


def looping(
    out_of_patience=None, finite=math.isfinite, epochs=range, reasons=("diverged", "patience", "epochs"), before=False
):
    ask = out_of_patience or (lambda waited, patience: patience is not None and waited >= patience)

    def run_epochs(one_epoch, best, n, patience=None, **by_name):
        n = by_name.get("epochs", n)
        for _ in epochs(n):
            if before and ask(best.waited, patience):
                return reasons[1]
            loss = one_epoch()
            if not finite(loss):
                return reasons[0]
            if not before and ask(best.waited, patience):
                return reasons[1]
        return reasons[2]

    def named(one_epoch, best, epochs, patience=None):
        return run_epochs(one_epoch, best, epochs, patience)

    return named


def own_count(one_epoch, best, epochs, patience=None):
    lowest, bad = math.inf, 0
    for _ in range(epochs):
        loss = one_epoch()
        if not math.isfinite(loss):
            return "diverged"
        if loss < lowest:
            lowest = loss
        else:
            bad += 1
        if patience is not None and bad >= patience:
            return "patience"
    return "epochs"


def updates_again(one_epoch, best, epochs, patience=None):
    for _ in range(epochs):
        if not math.isfinite(one_epoch()):
            return "diverged"
        best.waited += 1
        if patience is not None and best.waited >= patience:
            return "patience"
    return "epochs"


def trains_while_asking(one_epoch, best, epochs, patience=None):
    for _ in range(epochs):
        one_epoch()
        if not math.isfinite(one_epoch()):
            return "diverged"
        if patience is not None and best.waited >= patience:
            return "patience"
    return "epochs"


def while_patience(one_epoch, best, epochs, patience=None):
    while patience is None or best.waited < patience:
        if not math.isfinite(one_epoch()):
            return "diverged"
    return "patience"


def returns_in_the_loop(one_epoch, best, epochs, patience=None):
    for _ in range(epochs):
        if not math.isfinite(one_epoch()):
            return "diverged"
        if patience is not None and best.waited >= patience:
            return "patience"
        return "epochs"
    return "epochs"


def returns_best(one_epoch, best, epochs, patience=None):
    training_loop.run_epochs(one_epoch, best, epochs, patience)
    return best


def nan_by_equality(loss):
    return loss != math.nan and abs(loss) != math.inf


def no_return(one_epoch, best, epochs, patience=None):
    training_loop.run_epochs(one_epoch, best, epochs, patience)


LOOP = {
    "more than patience": (looping(lambda w, p: p is not None and w > p), "best.waited|two in a row"),
    "one epoch too early": (looping(lambda w, p: p is not None and w >= p - 1), "wrong|a row|fewer|anew"),
    "patience ignored": (looping(lambda w, p: False), "best.waited"),
    "None compared with a number": (looping(lambda w, p: w >= p), "TypeError"),
    "None is taken for 1": (looping(lambda w, p: w >= (p or 1)), "Without patience"),
    "looks before the epoch": (looping(before=True), "best.waited|after an epoch|reason"),
    "stops at the first epoch that is no better": (
        looping(lambda w, p: w > 0 and p is not None),
        "a row|fewer|anew|wrong",
    ),
    "compares the loss with patience": (
        looping(lambda w, p: p is not None and w == 0 and p == 1),
        "row|Two|reason|epochs that",
    ),
    "no look at nan": (looping(finite=lambda loss: True), "after nan|After nan|look for nan|Look for nan"),
    "nan by equality": (looping(finite=nan_by_equality), "After nan"),
    "only nan, not inf": (looping(finite=lambda loss: not math.isnan(loss)), "After inf|-inf"),
    "one epoch too few": (looping(epochs=lambda n: range(n - 1)), "Nothing went wrong"),
    "one epoch from 1": (looping(epochs=lambda n: range(1, n)), "Nothing went wrong"),
    "one epoch too many": (looping(epochs=lambda n: range(n + 1)), "got one more"),
    "0 epochs are one": (looping(epochs=lambda n: range(max(n, 1))), "at most 0|one more"),
    "never counts the epochs": (while_patience, "got one more|at most"),
    "returns after the first epoch": (returns_in_the_loop, "Nothing went wrong"),
    "two epochs in one turn": (trains_while_asking, "at most|epochs that were run"),
    "counts bad epochs altogether": (own_count, "anew"),
    "counts once more what best has counted": (updates_again, "in a row|fewer|anew|best.waited|reason"),
    "True and False as reasons": (looping(reasons=(False, False, True)), "the reason"),
    "other words": (looping(reasons=("nan", "early stopping", "done")), "the reason"),
    "reasons exchanged": (looping(reasons=("patience", "diverged", "epochs")), "the reason"),
    "returns best": (returns_best, "the reason"),
    "no return": (no_return, "the reason"),
}
for name, (function, says) in LOOP.items():
    wrong("run_epochs", name, says=says)(function)


# ---- looking -------------------------------------------------------------------------------------------------------

norm = np.linalg.norm
RATIO = {
    "turned round": (lambda a, b: norm(a) / norm(b - a), "before the step"),
    "by the weights afterwards": (lambda a, b: norm(b - a) / norm(b), "before the step"),
    "not divided": (lambda a, b: norm(b - a), "by the norm of the weights"),
    "difference of the norms": (lambda a, b: abs(norm(b) - norm(a)) / norm(a), "norm of the difference"),
    "difference of the norms, signed": (lambda a, b: (norm(b) - norm(a)) / norm(a), "norm of the difference"),
    "entry by entry": (lambda a, b: np.abs(b - a) / np.abs(a), "One number"),
    "mean of the ratios of the entries": (lambda a, b: float(np.mean(np.abs(b - a) / np.abs(a))), "One number|nan"),
    "squared": (lambda a, b: norm(b - a) ** 2 / norm(a) ** 2, "One number"),
    "sums": (lambda a, b: np.sum(b - a) / np.sum(a), "One number"),
    "sums of absolute values": (lambda a, b: np.sum(np.abs(b - a)) / np.sum(np.abs(a)), "One number"),
    "largest entries": (lambda a, b: np.max(np.abs(b - a)) / np.max(np.abs(a)), "One number"),
    "row by row": (lambda a, b: norm(b - a, axis=-1) / norm(a, axis=-1), "row|One number"),
    "the spectral norm": (
        lambda a, b: norm(b - a, 2) / norm(a, 2) if a.any() else math.nan,
        "row|One number|ValueError",
    ),
    "percent": (lambda a, b: 100 * norm(b - a) / norm(a), "One number"),
    "inf for weights of 0": (lambda a, b: float(norm(b - a) / norm(a)) if a.any() else math.inf, "Weights of 0"),
    "0 for weights of 0": (lambda a, b: float(norm(b - a) / norm(a)) if a.any() else 0.0, "Weights of 0"),
    "a small number in the divisor": (lambda a, b: norm(b - a) / (norm(a) + 1e-8), "Weights of 0"),
    "NumPy's own division": (lambda a, b: norm(b - a) / norm(a), "Weights of 0"),
    "no return": (lambda a, b: None, "None"),
}
for name, (function, says) in RATIO.items():
    wrong("update_ratio", name, says=says)(function)

GOOD, HIGH, LOW, OVER, NOTHING, SAME = NAMES
SEEN = {"A": OVER, "B": LOW, "C": NOTHING, "D": GOOD, "E": HIGH, "F": SAME}
EXCHANGED = {
    "AE": "curve A.*throws the loss about",
    "AD": "curve A.*near its lowest",
    "AF": "curve A.*above the training loss",
    "BC": "curve B.*training loss falls",
    "BD": "curve B.*Look at the scale",
    "CE": "curve C.*the same in the first",
    "DF": "curve D.*above the training loss",
    "BE": "curve B.*this one is steady",
    "DE": "curve D.*this one is steady",
    "EF": "curve E.*leaps",
    "CB": "curve B.*training loss falls",
    "AB": "curve A.*",
}
for (one, other), says in EXCHANGED.items():
    names = {**SEEN, one: SEEN[other], other: SEEN[one]}
    wrong("loss_curves", f"{one} and {other} exchanged", says=says)(lambda names=names: dict(names))
wrong("loss_curves", "all good", says="curve A.*near its lowest")(lambda: dict.fromkeys("ABCDEF", GOOD))
wrong("loss_curves", "one letter missing", says="Every curve")(lambda: {k: v for k, v in SEEN.items() if k != "F"})
wrong("loss_curves", "lower-case letters", says="Every curve")(lambda: {k.lower(): v for k, v in SEEN.items()})
wrong("loss_curves", "names of one's own", says="Copy the name")(lambda: {**SEEN, "B": "too slow"})
wrong("loss_curves", "a list", says="a dict")(lambda: list(SEEN.values()))
wrong("loss_curves", "names as keys", says="Every curve")(lambda: {v: k for k, v in SEEN.items()})
wrong("loss_curves", "no return", says="a dict")(lambda: None)
