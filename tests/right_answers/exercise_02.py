"""Honest variants of exercise 02: other algebra, loops, other dtypes, other ways to copy and to count."""

import copy
import math
import warnings

import numpy as np

from exercise_code import diagnostics, training_loop
from exercise_code.data.dataloader import DataLoader
from exercise_code.data.dataset import ArrayDataset, ImageFolderDataset
from exercise_code.data.transforms import NormalizeTransform, RescaleTransform
from exercise_code.loss_curves import NAMES
from exercise_code.networks import loss
from tests.catalogue import right

OWN = "the package's own"


def class_with(base, **methods):
    """A subclass with some methods replaced."""
    return type(base.__name__, (base,), methods)


# ---- data set ------------------------------------------------------------------------------------------------------

right("dataset", OWN)(ArrayDataset)


def early_return(self, index):
    where = self._indices[index]
    if self.transform is None:
        return {"image": self.images[where], "label": int(self.labels[where])}
    return {"label": int(self.labels[where]), "image": self.transform(self.images[where])}


def through_batch(self, index):
    if index >= len(self._indices):
        raise IndexError(index)
    both = ArrayDataset.batch(self, np.array([index]))
    return {"image": both["image"][0], "label": int(both["label"][0])}


def a_copy(self, index):
    if not 0 <= index < self._indices.size:
        raise IndexError(f"no sample {index} among {self._indices.size}")
    i = int(self._indices.tolist()[index])
    image = self.images[i].copy()
    return dict(image=image if self.transform is None else self.transform(image), label=self.labels[i].item())


def identity_instead_of_none(self, index):
    transform = self.transform or (lambda image: image)
    i = self._indices[index]
    return {"image": transform(self.images[i]), "label": np.int64(self.labels[i])}


for name, get in {
    "two returns, label first": early_return,
    "by way of batch": through_batch,
    "refuses an index by itself, copies the image": a_copy,
    "an identity where there is no transform": identity_instead_of_none,
}.items():
    right("dataset", name)(class_with(ArrayDataset, __getitem__=get))
right("dataset", "len by the shape")(class_with(ArrayDataset, __len__=lambda self: self._indices.shape[0]))


# ---- parts ---------------------------------------------------------------------------------------------------------


def order_of(n):
    return np.random.default_rng(0).permutation(n)


def running_sum(n, mode, split):
    start, total = 0, 0.0
    for name, share in split.items():
        total += share
        end = round(total * n)
        if name == mode:
            return order_of(n)[start:end]
        start = end
    raise ValueError(mode)


def rounded_down(n, mode, split):
    names, ends = list(split), [0]
    for share in np.cumsum(list(split.values())):
        ends.append(int(share * n + 1e-9))
    position = names.index(mode)
    return order_of(n)[ends[position] : ends[position + 1]]


def with_np_split(n, mode, split):
    cuts = np.floor(np.cumsum(list(split.values())) * n + 1e-6).astype(int)[:-1]
    return dict(zip(split, np.split(order_of(n), cuts), strict=True))[mode]


def by_belonging(n, mode, split):
    ends = np.rint(np.cumsum(list(split.values())) * n)
    owner = np.searchsorted(ends, np.arange(n), side="right")
    return order_of(n)[owner == list(split).index(mode)]


def another_order(n, mode, split):
    names = list(split)
    ends = np.round(np.cumsum([0, *split.values()]) * n).astype(int)
    i = names.index(mode)
    return np.sort(np.random.default_rng(7).permutation(n)[ends[i] : ends[i + 1]])


right("select_split", OWN)(ImageFolderDataset)
for name, function in {
    "a running sum in a loop": running_sum,
    "ends rounded down": rounded_down,
    "np.split": with_np_split,
    "each image looks up its part": by_belonging,
    "another seed, sorted": another_order,
}.items():
    right("select_split", name)(class_with(ImageFolderDataset, select_split=staticmethod(function)))


# ---- transforms ----------------------------------------------------------------------------------------------------


def transform(base, make):
    """A transform class whose __init__ hands `make(*arguments)`, scale and shift, to AffineTransform."""

    def init(self, *args, **kwargs):
        super(base, self).__init__(*make(*args, **kwargs))

    return class_with(base, __init__=init)


def distinct(old_range):
    if old_range[0] == old_range[1]:
        raise ValueError("two different ends")
    return old_range


def by_equations(range_=(0, 1), old_range=(0, 255)):
    ends = np.array([[old, 1.0] for old in distinct(old_range)])
    return np.linalg.solve(ends, np.array(range_, dtype=float))


def by_polyfit(range_=(0, 1), old_range=(0, 255)):
    return np.polyfit(distinct(old_range), range_, 1)


def from_the_high_end(range_=(0, 1), old_range=(0, 255)):
    scale = (range_[1] - range_[0]) / (distinct(old_range)[1] - old_range[0])
    return scale, range_[1] - scale * old_range[1]


def crosswise(range_=(0, 1), old_range=(0, 255)):
    (a, b), (c, d) = range_, distinct(old_range)
    return (b - a) / (d - c), (a * d - b * c) / (d - c)


def in_float32(range_=(0, 1), old_range=(0, 255)):
    low, high = np.float32(range_[0]), np.float32(range_[1])
    old_low, old_high = np.float32(distinct(old_range)[0]), np.float32(old_range[1])
    scale = (high - low) / (old_high - old_low)
    return scale, low - old_low * scale


right("rescale", OWN)(RescaleTransform)
for make in (by_equations, by_polyfit, from_the_high_end, crosswise, in_float32):
    right("rescale", make.__name__.replace("_", " "))(transform(RescaleTransform, make))

right("normalize", OWN)(NormalizeTransform)
for name, make in {
    "mean times scale": lambda mean, std: (1 / np.asarray(std), -np.asarray(mean) * (1 / np.asarray(std))),
    "np.divide and np.negative": lambda mean, std: (np.divide(1, std), np.negative(np.divide(mean, std))),
    "float32": lambda mean, std: (1 / np.float32(std), -np.float32(mean) / np.float32(std)),
    "0 - mean": lambda mean, std: (np.asarray(std, float) ** -1, (0 - np.array(mean)) / std),
    "reciprocal": lambda mean, std: (
        scale := np.reciprocal(np.asarray(std, dtype=float)),
        np.multiply(scale, mean) * -1,
    ),
}.items():
    right("normalize", name)(transform(NormalizeTransform, make))


# ---- loader --------------------------------------------------------------------------------------------------------


def rounded_up(self):
    n = len(self.dataset) / self.batch_size
    return math.floor(n) if self.drop_last else math.ceil(n)


def with_a_generator(self):
    order = list(range(len(self.dataset)))
    if self.shuffle:
        self.rng.shuffle(order)
    while order:
        batch, order = order[: self.batch_size], order[self.batch_size :]
        if len(batch) == self.batch_size or not self.drop_last:
            yield self._gather(np.array(batch))


def collecting(self):
    order = np.arange(len(self.dataset))
    if self.shuffle:
        order = self.rng.permutation(order)
    kept = []
    for i in order:
        kept.append(self.dataset[int(i)])
        if len(kept) == self.batch_size:
            yield {key: np.array([sample[key] for sample in kept]) for key in kept[0]}
            kept = []
    if kept and not self.drop_last:
        yield {key: np.array([sample[key] for sample in kept]) for key in kept[0]}


def returns_an_iterator(self):
    n = len(self.dataset)
    order = self.rng.choice(n, n, replace=False) if self.shuffle else np.arange(n)
    return iter([self._gather(order[i * self.batch_size : (i + 1) * self.batch_size]) for i in range(len(self))])


def with_np_split_at(self):
    n = len(self.dataset)
    order = np.argsort(self.rng.random(n)) if self.shuffle else np.arange(n)
    for part in np.split(order, range(self.batch_size, n, self.batch_size)):
        if self.drop_last and len(part) < self.batch_size:
            return
        yield self._gather(part)


right("dataloader", OWN)(DataLoader)
for iterate in (with_a_generator, collecting, returns_an_iterator, with_np_split_at):
    right("dataloader", iterate.__name__.replace("_", " "))(
        class_with(DataLoader, __len__=rounded_up, __iter__=iterate)
    )
right("dataloader", "len with negative floor division")(
    class_with(DataLoader, __len__=lambda s: len(s.dataset) // s.batch_size if s.drop_last else -(-len(s.dataset) // s.batch_size))
)  # fmt: skip


# ---- losses --------------------------------------------------------------------------------------------------------


def with_logsumexp(logits):
    from scipy.special import logsumexp

    return logits - logsumexp(logits, axis=1, keepdims=True)


def row_by_row(logits):
    out = np.empty_like(logits)
    for n, row in enumerate(logits):
        moved = row - row.max()
        out[n] = moved - np.log(np.sum(np.exp(moved)))
    return out


def logaddexp(logits):
    return logits - np.logaddexp.reduce(logits, axis=1)[:, None]


def transposed(logits):
    z = logits.T - np.max(logits, axis=1)
    return (z - np.log(np.exp(z).sum(axis=0))).T


def maximum_added_again(logits):
    top = logits.max(axis=1, keepdims=True)
    return logits - (top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))


right("log_softmax", OWN)(loss.log_softmax)
for function in (with_logsumexp, row_by_row, logaddexp, transposed, maximum_added_again):
    right("log_softmax", function.__name__.replace("_", " "))(function)


def masked(log_p, labels):
    return np.mean(-log_p[np.arange(log_p.shape[1]) == labels[:, None]])


right("cross_entropy", OWN)(loss.cross_entropy)
right("cross_entropy", "a boolean mask")(masked)
right("cross_entropy", "a loop")(
    lambda log_p, labels: -sum(log_p[i, labels[i]] for i in range(len(labels))) / len(labels)
)
right("cross_entropy", "take_along_axis")(lambda p, y: -np.take_along_axis(p, y[:, None], axis=1).mean())
right("cross_entropy", "sum by the number")(lambda p, y: np.sum(-p[range(len(y)), y]) / y.size)
right("cross_entropy", "np.where on the one-hot")(
    lambda p, y: -np.where(np.eye(p.shape[1], dtype=bool)[y], p, 0).sum(axis=1).mean()
)


def minus_one_hot(p, labels):
    return (p - np.eye(p.shape[1], dtype=p.dtype)[labels]) / len(p)


def gradient_loop(p, labels):
    out = np.empty_like(p)
    for n, label in enumerate(labels):
        for c in range(p.shape[1]):
            out[n, c] = (p[n, c] - (c == label)) / len(labels)
    return out


def subtract_at(p, labels):
    out = p / len(labels)
    np.subtract.at(out, (np.arange(len(labels)), labels), 1 / len(labels))
    return out


def divide_first(p, labels):
    out = p / p.shape[0]
    out[range(len(labels)), labels] -= 1 / p.shape[0]
    return out


right("cross_entropy_gradient", OWN)(loss.cross_entropy_gradient)
for function in (minus_one_hot, gradient_loop, subtract_at, divide_first):
    right("cross_entropy_gradient", function.__name__.replace("_", " "))(function)
right("cross_entropy_gradient", "a comparison as one-hot")(
    lambda p, y: (p - (y[:, None] == np.arange(p.shape[1])).astype(p.dtype)) * p.dtype.type(1 / len(y))
)

right("mse_gradient", OWN)(lambda out, truth: 2 * (out - truth) / out.size)
right("mse_gradient", "the package's loss")(loss.MSE().backward)
right("mse_gradient", "minus twice truth - out")(lambda out, truth: -2 * (truth - out) / np.size(out))
right("mse_gradient", "the number of entries by the shape")(lambda out, truth: (out - truth) * 2 / math.prod(out.shape))
right("mse_gradient", "mean of the difference's slope")(lambda out, truth: (out - truth) / (out.size / 2))
right("mse_gradient", "np.divide")(lambda out, truth: np.divide(np.multiply(2, np.subtract(out, truth)), truth.size))


# ---- training ------------------------------------------------------------------------------------------------------


def step_loop(model, loss_func, optimizer, X, y):
    scores = model.forward(X)
    value = loss_func(scores, y)
    for term in model.reg.values():
        value += term
    optimizer.backward(scores, y)
    optimizer.step()
    return value


def step_called(model, loss_func, optimizer, X, y):
    out = model(X)
    optimizer.backward(out, y)
    loss_value = np.float64(loss_func(out, y) + sum(model.reg[name] for name in model.reg))
    optimizer.step()
    return loss_value


def step_fsum(model, loss_func, optimizer, X, y):
    out = model.forward(X)
    optimizer.backward(out, y)
    parts = [loss_func(out, y), *model.reg.values()]
    optimizer.step()
    return math.fsum(parts)


def step_warns(model, loss_func, optimizer, X, y):
    warnings.warn("a harmless remark", stacklevel=1)
    print("a line on the screen")
    return step_loop(model, loss_func, optimizer, X, y)


def step_array(model, loss_func, optimizer, X, y):
    return np.array(training_loop.train_step(model, loss_func, optimizer, X, y))


right("train_step", OWN)(training_loop.train_step)
for function in (step_loop, step_called, step_fsum, step_warns, step_array):
    right("train_step", function.__name__.replace("_", " "))(function)


def evaluated(body):
    """dataset_loss around a body that gets (model, loss_func, batches), with the switches of the mode."""

    def dataset_loss(model, loss_func, batches):
        model.eval()
        value = body(model, loss_func, batches)
        model.train()
        return value

    return dataset_loss


def two_lists(model, loss_func, batches):
    values, sizes = [], []
    for batch in batches:
        values.append(loss_func(model.forward(batch["image"]), batch["label"]))
        sizes.append(len(batch["image"]))
    if not sizes:
        raise ValueError("no batch")
    return np.average(values, weights=sizes)


def sum_of_pairs(model, loss_func, batches):
    pairs = [(loss_func(model(b["image"]), b["label"]) * b["label"].size, b["label"].size) for b in batches]
    return sum(value for value, _ in pairs) / sum(size for _, size in pairs)


def moving_mean(model, loss_func, batches):
    mean, seen = 0.0, 0
    for batch in batches:
        size = batch["label"].shape[0]
        seen += size
        mean += (loss_func(model.forward(batch["image"]), batch["label"]) - mean) * size / seen
    if not seen:
        raise ValueError("no batch")
    return mean


def with_finally(model, loss_func, batches):
    try:
        model.eval()
        return two_lists(model, loss_func, batches)
    finally:
        model.train()


right("dataset_loss", OWN)(training_loop.dataset_loss)
for function in (two_lists, sum_of_pairs, moving_mean):
    right("dataset_loss", function.__name__.replace("_", " "))(evaluated(function))
right("dataset_loss", "train again in finally")(with_finally)
right("dataset_loss", "a NumPy scalar")(evaluated(lambda *args: np.float64(moving_mean(*args))))


def restore_in_place(self, params):
    for name in self.params or ():
        params[name][...] = self.params[name]


def restore_update(self, params):
    if self.params is not None:
        params.update(copy.deepcopy(self.params))


def update_early_return(self, loss, params):
    self.waited += 1
    if math.isnan(loss) or loss in (math.inf, -math.inf) or loss >= self.loss:
        return
    self.loss, self.waited, self.params = loss, 0, copy.deepcopy(dict(params))


def update_np_array(self, loss, params):
    if np.isfinite(loss) and loss < self.loss:
        self.loss = float(loss)
        self.params = {}
        for name in params:
            self.params[name] = np.array(params[name])
        self.waited = 0
        return
    self.waited = self.waited + 1


def update_minimum(self, loss, params):
    better = bool(np.isfinite(loss)) and min(loss, self.loss) != self.loss
    if better:
        self.params = {name: 1 * w for name, w in params.items()}
        self.loss = loss
    self.waited = 0 if better else self.waited + 1


right("best_weights", OWN)(training_loop.BestWeights)
right("best_weights", "restores in place")(class_with(training_loop.BestWeights, restore=restore_in_place))
right("best_weights", "restores by update with a deep copy")(
    class_with(training_loop.BestWeights, restore=restore_update)
)
for function in (update_early_return, update_np_array, update_minimum):
    right("best_weights", function.__name__.replace("_", " "))(
        class_with(training_loop.BestWeights, update=function, restore=restore_in_place)
    )


def epochs_while(one_epoch, best, epochs, patience=None):
    done, reason = 0, "epochs"
    while done < epochs and reason == "epochs":
        loss = one_epoch()
        done += 1
        if math.isnan(loss) or math.isinf(loss):
            reason = "diverged"
        elif patience is not None and best.waited >= patience:
            reason = "patience"
    return reason


def epochs_break(one_epoch, best, epochs, patience=None):
    why = "epochs"
    for _ in range(epochs):
        if not np.isfinite(one_epoch()):
            why = "diverged"
            break
        if patience is not None and not best.waited < patience:
            why = "patience"
            break
    return why


def epochs_infinite_patience(one_epoch, best, epochs, patience=None):
    patience = math.inf if patience is None else patience
    for _epoch in range(1, epochs + 1):
        loss = one_epoch()
        if loss - loss != 0:
            return "diverged"
        if best.waited >= patience:
            return "patience"
    return "epochs"


def epochs_else(one_epoch, best, epochs, patience=None):
    for _ in range(epochs):
        if abs(one_epoch()) < math.inf:
            if patience is not None and best.waited == patience:
                return "patience"
        else:
            return "diverged"
    else:
        return "epochs"


def epochs_recursive(one_epoch, best, epochs, patience=None):
    if epochs <= 0:
        return "epochs"
    if not math.isfinite(one_epoch()):
        return "diverged"
    if patience is not None and best.waited >= patience:
        return "patience"
    return epochs_recursive(one_epoch, best, epochs - 1, patience)


right("run_epochs", OWN)(training_loop.run_epochs)
for function in (epochs_while, epochs_break, epochs_infinite_patience, epochs_else, epochs_recursive):
    right("run_epochs", function.__name__.replace("_", " "))(function)


# ---- looking -------------------------------------------------------------------------------------------------------


def ratio_by_sums(before, after):
    size = np.sqrt(np.sum(before**2))
    return float("nan") if size == 0 else np.sqrt(np.sum((after - before) ** 2)) / size


def ratio_flat(before, after):
    old, new = before.ravel(), after.ravel()
    return np.linalg.norm(old - new) / np.linalg.norm(old) if old.any() else math.nan


def ratio_vdot(before, after):
    step, length = after - before, np.vdot(before, before)
    return math.sqrt(np.vdot(step, step) / length) if length > 0 else math.nan


def ratio_tries(before, after):
    try:
        return float(np.linalg.norm(after - before)) / float(np.linalg.norm(before))
    except ZeroDivisionError:
        return np.nan


right("update_ratio", OWN)(diagnostics.update_ratio)
for function in (ratio_by_sums, ratio_flat, ratio_vdot, ratio_tries):
    right("update_ratio", function.__name__.replace("_", " "))(function)
right("update_ratio", "mean squares")(
    lambda a, b: math.sqrt(np.mean((b - a) ** 2) / np.mean(a**2)) if np.any(a) else float("nan")
)

GOOD, HIGH, LOW, OVER, NOTHING, SAME = NAMES
SEEN = {"A": OVER, "B": LOW, "C": NOTHING, "D": GOOD, "E": HIGH, "F": SAME}
right("loss_curves", "in the order of the letters")(lambda: dict(SEEN))
right("loss_curves", "in another order")(lambda: dict(reversed(SEEN.items())))
right("loss_curves", "by keyword")(lambda: dict(**SEEN))
right("loss_curves", "letter by letter")(lambda: {letter: SEEN[letter] for letter in "DABFCE"})
right("loss_curves", "from two lists")(lambda: dict(zip("ABCDEF", SEEN.values(), strict=True)))
right("loss_curves", "turned round")(lambda: {letter: name for name, letter in {v: k for k, v in SEEN.items()}.items()})
