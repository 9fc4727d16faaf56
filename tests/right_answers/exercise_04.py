"""Honest variants of exercise 04's tasks: other algebra, loops, other types, warnings and prints."""

import copy
import itertools
import math
import sys
import warnings

import numpy as np

from exercise_code import diagnostics
from exercise_code.hyperparameter_tuning import sampling
from exercise_code.networks import ClassificationNet, layer
from exercise_code.networks.layer import Relu
from exercise_code.solver import Solver
from tests.catalogue import right

for _task, _answer in {
    "tanh": layer.Tanh,
    "leaky_relu": layer.LeakyRelu,
    "initial_loss": diagnostics.expected_initial_loss,
    "grid_configs": sampling.grid_configs,
    "sample_config": sampling.sample_config,
    "narrow_space": sampling.narrow_space,
    "confusion_matrix": diagnostics.confusion_matrix,
}.items():
    right(_task, "the package's own")(_answer)


def make(forward, backward):
    return type("Layer", (), {"forward": forward, "backward": backward})


def _two(x):
    t = np.tanh(x)
    return t, t


TANH = {
    "x cached, tanh again": (lambda s, x: (np.tanh(x), x), lambda s, dout, x: dout * (1 - np.tanh(x) ** 2)),
    "subtracted": (lambda s, x: _two(x), lambda s, dout, t: dout - dout * t**2),
    "third binomial formula": (lambda s, x: _two(x), lambda s, dout, t: dout * (1 + t) * (1 - t)),
    "by way of the sigmoid": (
        lambda s, x: (
            2 / (1 + np.exp(-2 * np.clip(x, -40, 40))).astype(x.dtype) - 1,
            2 / (1 + np.exp(-2 * np.clip(x, -40, 40))) - 1,
        ),
        lambda s, dout, t: dout * (1 - t * t),
    ),
    "the derivative cached": (lambda s, x: (np.tanh(x), 1 - np.tanh(x) ** 2), lambda s, dout, slope: slope * dout),
    "a dict as cache": (
        lambda s, x: (np.tanh(x), {"out": np.tanh(x)}),
        lambda s, dout, cache: dout * (1 - cache["out"] ** 2),
    ),
    "1 / cosh squared, clipped": (
        lambda s, x: (np.tanh(x), x),
        lambda s, dout, x: dout / np.cosh(np.clip(x, -30, 30)) ** 2,
    ),
    "entry by entry in a loop": (
        lambda s, x: (np.array([math.tanh(v) for v in x.ravel()], dtype=x.dtype).reshape(x.shape), x.copy()),
        lambda s, dout, x: np.array(
            [d * (1 - math.tanh(v) ** 2) for d, v in zip(dout.ravel(), x.ravel(), strict=True)]
        ).reshape(x.shape),
    ),
}
for variant, methods in TANH.items():
    right("tanh", variant)(make(*methods))


@right("tanh", "warns, prints and shows a progress bar")
class Noisy(layer.Tanh):
    def forward(self, x):
        warnings.warn("overflow is near", RuntimeWarning, stacklevel=1)
        print("forward", x.shape)
        print("100%|##########|", file=sys.stderr)
        np.array([1.0]) / np.array([0.0])  # a harmless warning of NumPy's
        return super().forward(x)


def sloped(forward, backward):
    def init(self, slope=0.01):
        self.slope = slope

    return type("Layer", (), {"__init__": init, "forward": forward, "backward": backward})


LEAKY = {
    "np.maximum": (
        lambda s, x: (np.maximum(x, np.asarray(s.slope, x.dtype) * x), x),
        lambda s, dout, x: dout * np.where(x > 0, 1, s.slope),
    ),
    "a factor per entry": (
        lambda s, x: (x * np.where(x > 0, 1, s.slope).astype(x.dtype), x > 0),
        lambda s, dout, mask: np.where(mask, dout, dout * s.slope),
    ),
    "two parts added": (
        lambda s, x: (np.maximum(x, 0) + np.asarray(s.slope, x.dtype) * np.minimum(x, 0), x),
        lambda s, dout, x: dout * (x > 0) + s.slope * dout * (x <= 0),
    ),
    "a copy and a mask": (
        lambda s, x: ((lambda out: (out.__setitem__(out < 0, out[out < 0] * s.slope), out)[1])(x.copy()), x > 0),
        lambda s, dout, mask: (lambda dx: (dx.__setitem__(~mask, dx[~mask] * s.slope), dx)[1])(dout.copy()),
    ),
    ">= at zero": (
        lambda s, x: (np.where(x >= 0, x, np.asarray(s.slope, x.dtype) * x), x),
        lambda s, dout, x: np.where(x >= 0, dout, s.slope * dout),
    ),
}
for variant, methods in LEAKY.items():
    right("leaky_relu", variant)(sloped(*methods))


INITIAL_LOSS = {
    "-log(1 / C)": lambda c: -math.log(1 / c),
    "np.log, a NumPy scalar": lambda c: np.log(c),
    "float32": lambda c: np.float32(np.log(c)),
    "an array without dimensions": lambda c: np.array(np.log(c)),
    "mean cross entropy of equal logits": lambda c: float(np.log(np.exp(np.zeros(c)).sum())),
    "entropy of the uniform distribution": lambda c: -sum(1 / c * math.log(1 / c) for _ in range(c)),
    "change of base": lambda c: math.log2(c) * math.log(2),
}
for variant, answer in INITIAL_LOSS.items():
    right("initial_loss", variant)(answer)


def fit(epochs=40, learning_rate=1e-2, std="he", activation=Relu, **settings):
    def overfit(loader, input_size):
        model = ClassificationNet(activation(), input_size=input_size, std=std, **settings)
        solver = Solver(model, loader, loader, learning_rate=learning_rate, verbose=False, allow_overlap=True)
        solver.train(epochs)
        return model

    return overfit


def _until_it_fits(loader, input_size):
    model = ClassificationNet(layer.Tanh(), input_size=input_size, std="xavier")
    solver = Solver(model, loader, loader, learning_rate=5e-3, verbose=False, allow_overlap=True)
    for _ in range(40):
        solver.train(5)
        if model.get_dataset_prediction(loader)[2] == 1.0:
            break
    return model


OVERFIT = {
    "a smaller learning rate, twice the epochs": fit(learning_rate=3e-3, epochs=80),
    "Xavier": fit(std="xavier"),
    "tanh": fit(activation=layer.Tanh, std="xavier"),
    "a wider network": fit(hidden_size=300, epochs=30),
    "three layers": fit(num_layer=3, learning_rate=3e-3, epochs=60),
    "trains until it fits": _until_it_fits,
    "a little regularisation": fit(reg=1e-6),
}
for variant, answer in OVERFIT.items():
    right("overfit", variant)(answer)


def _nested_loops(spaces):
    configs = [{}]
    for name, values in spaces.items():
        configs = [{**config, name: value} for config in configs for value in values]
    return configs


def _recursive(spaces):
    if not spaces:
        return [{}]
    (name, values), *rest = spaces.items()
    return [{name: value, **config} for value in values for config in _recursive(dict(rest))]


def _by_index(spaces):
    sizes = [len(values) for values in spaces.values()]
    return [
        {name: values[i] for (name, values), i in zip(spaces.items(), index, strict=True)}
        for index in np.ndindex(*sizes)
    ]


def _counting(spaces):
    configs = []
    for number in range(math.prod(len(values) for values in spaces.values())):
        config = {}
        for name, values in reversed(spaces.items()):
            number, place = divmod(number, len(values))
            config[name] = values[place]
        configs.append(dict(reversed(config.items())))
    return configs


for variant, answer in {
    "one name after the other": _nested_loops,
    "itertools.product": lambda s: [dict(zip(s, values, strict=True)) for values in itertools.product(*s.values())],
    "recursive": _recursive,
    "np.ndindex": _by_index,
    "counting in mixed bases": _counting,
}.items():
    right("grid_configs", variant)(answer)


def sample_with(**replaced):
    """The package's sample_config with one kind drawn in another way."""

    def sample(spaces, rng):
        config = sampling.sample_config(spaces, rng)
        for name, (values, kind) in spaces.items():
            if kind in replaced:
                config[name] = replaced[kind](values, rng)
        return config

    return sample


for variant, answer in {
    "natural logarithm and exp": sample_with(log=lambda v, rng: float(np.exp(rng.uniform(np.log(v[0]), np.log(v[1]))))),
    "rng.choice for int": sample_with(int=lambda v, rng: int(rng.choice(np.arange(v[0], v[1] + 1)))),
    "floor for int": sample_with(int=lambda v, rng: int(np.floor(rng.uniform(v[0], v[1] + 1)))),
    "NumPy scalars for floats": sample_with(
        log=lambda v, rng: 10 ** rng.uniform(np.log10(v[0]), np.log10(v[1])), float=lambda v, rng: rng.uniform(*v)
    ),
    "rng.random scaled": sample_with(float=lambda v, rng: v[0] + (v[1] - v[0]) * rng.random()),
    "the ratio to a random power": sample_with(log=lambda v, rng: v[0] * (v[1] / v[0]) ** rng.random()),
    "item by rng.permutation": sample_with(item=lambda v, rng: v[rng.permutation(len(v))[0]]),
}.items():
    right("sample_config", variant)(answer)


def narrow(log10=math.log10, power=lambda e: 10.0**e, ends=list, whole=lambda v: v):
    def narrow_space(space, best):
        values, kind = space
        if kind == "item":
            return space
        low, high = (log10(v) for v in values) if kind == "log" else values
        middle = log10(best) if kind == "log" else best
        quarter = (high - low) / 4
        new = [max(low, middle - quarter), min(high, middle + quarter)]
        if kind == "log":
            new = [power(end) for end in new]
        if kind == "int":
            new = [int(math.floor(new[0])), int(math.ceil(new[1]))]
        return ends(new), kind

    return narrow_space


def _clipped(space, best):
    values, kind = space
    if kind == "item":
        return values, kind
    to, back = (np.log, np.exp) if kind == "log" else (lambda v: v, lambda v: v)
    low, high = to(values[0]), to(values[1])
    new = back(np.clip(to(best) + np.array([-0.25, 0.25]) * (high - low), low, high))
    return ([int(np.floor(new[0])), int(np.ceil(new[1]))] if kind == "int" else new.tolist()), kind


for variant, answer in {
    "in one function": narrow(),
    "base 2": narrow(math.log2, lambda e: 2.0**e),
    "natural logarithm": narrow(math.log, math.exp),
    "ends as a tuple": narrow(ends=tuple),
    "np.clip": _clipped,
    "ends as NumPy scalars": narrow(ends=lambda new: [v if isinstance(v, int) else np.float64(v) for v in new]),
}.items():
    right("narrow_space", variant)(answer)


for variant, answer in {
    "10 ** exponent": lambda low, high, rng: 10 ** rng.uniform(np.log10(low), np.log10(high)),
    "np.power": lambda low, high, rng: np.power(10.0, rng.uniform(np.log10(low), np.log10(high))),
    "exp and natural logarithm": lambda low, high, rng: math.exp(rng.uniform(math.log(low), math.log(high))),
    "the ratio to a random power": lambda low, high, rng: low * (high / low) ** rng.random(),
    "np.exp2": lambda low, high, rng: float(np.exp2(rng.uniform(np.log2(low), np.log2(high)))),
    "downwards from the upper end": lambda low, high, rng: float(high * 10 ** (rng.random() * np.log10(low / high))),
    "the exponent times log(10)": lambda low, high, rng: math.exp(
        math.log(10) * rng.uniform(math.log10(low), math.log10(high))
    ),
}.items():
    right("draw_learning_rate", variant)(answer)


def _loop(trials):
    best = None
    for i, trial in enumerate(trials):
        loss = trial["val_loss"]
        if math.isfinite(loss) and (best is None or loss < trials[best]["val_loss"]):
            best = i
    return best


def _infinite_start(trials):
    best, lowest = None, math.inf
    for i, trial in enumerate(trials):
        if trial["val_loss"] < lowest:
            best, lowest = i, trial["val_loss"]
    return best


for variant, answer in {
    "a loop with is None": _loop,
    "a loop that starts at infinity": _infinite_start,
    "np.nanargmin, a NumPy integer": lambda t: np.nanargmin([one["val_loss"] for one in t]),
    "nan turned into inf": lambda t: int(np.argmin(np.nan_to_num([one["val_loss"] for one in t], nan=np.inf))),
    "sorted pairs": lambda t: sorted((one["val_loss"], i) for i, one in enumerate(t) if math.isfinite(one["val_loss"]))[
        0
    ][1],
    "min with a key": lambda t: min(
        range(len(t)), key=lambda i: math.inf if math.isnan(t[i]["val_loss"]) else t[i]["val_loss"]
    ),
}.items():
    right("pick_trial", variant)(answer)


def keeper(keep):
    def keep_best_weights(params, epochs):
        lowest, best = math.inf, {}
        for epoch in epochs:
            loss = epoch(params)
            if loss < lowest:
                lowest, best = loss, keep(params)
        return best

    return keep_best_weights


def _all_kept(params, epochs):
    history = [(epoch(params), copy.deepcopy(params)) for epoch in epochs]
    return min((pair for pair in history if not math.isnan(pair[0])), key=lambda pair: pair[0])[1]


def _copied_into(params, epochs):
    best, lowest = {name: np.empty_like(array) for name, array in params.items()}, None
    for epoch in epochs:
        loss = epoch(params)
        if math.isfinite(loss) and (lowest is None or loss < lowest):
            lowest = loss
            for name, array in params.items():
                np.copyto(best[name], array)
    return best


for variant, answer in {
    "array.copy": keeper(lambda params: {name: array.copy() for name, array in params.items()}),
    "copy.deepcopy": keeper(copy.deepcopy),
    "np.array": keeper(lambda params: {name: np.array(array) for name, array in params.items()}),
    "times one": keeper(lambda params: {name: 1.0 * array for name, array in params.items()}),
    "keeps every epoch": _all_kept,
    "np.copyto": _copied_into,
}.items():
    right("keep_best_weights", variant)(answer)


def _double_loop(labels, predictions, num_classes):
    counts = np.zeros((num_classes, num_classes), dtype=int)
    for t, p in zip(labels, predictions, strict=True):
        counts[t, p] += 1
    return counts


for variant, answer in {
    "a loop over the pairs": _double_loop,
    "bincount": lambda t, p, c: np.bincount(t * c + p, minlength=c * c).reshape(c, c),
    "one-hot matrices": lambda t, p, c: np.eye(c, dtype=int)[t].T @ np.eye(c, dtype=int)[p],
    "counts as floats": lambda t, p, c: _double_loop(t, p, c).astype(float),
    "an array of comparisons": lambda t, p, c: np.array(
        [[np.sum((t == i) & (p == j)) for j in range(c)] for i in range(c)]
    ),
    "histogram2d": lambda t, p, c: np.histogram2d(t, p, bins=(np.arange(c + 1) - 0.5, np.arange(c + 1) - 0.5))[0],
}.items():
    right("confusion_matrix", variant)(answer)
