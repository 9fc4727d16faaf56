"""Typical mistakes in exercise 04: activations, sanity checks, grid, random and fine search, and the bug hunts."""

import itertools
import math
import random

import numpy as np

from exercise_code.diagnostics import confusion_matrix
from exercise_code.hyperparameter_tuning.sampling import grid_configs, narrow_space, sample_config
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import LeakyRelu, Relu, Tanh
from exercise_code.solver import Solver
from tests.catalogue import wrong


def layer(parent, **methods):
    """A layer like the parent's with some methods replaced."""
    return type("Layer", (parent,), methods)


def _scaled_in_place(self, dout, cache):
    dout *= 1 - cache**2
    return dout


def _tanh_into_x(self, x):
    np.tanh(x, out=x)
    return x, x


def _cache_in_place(self, dout, cache):
    cache *= cache
    return dout * (1 - cache)


TANH_BACKWARD = {
    "without the square": lambda s, dout, t: dout * (1 - t),
    "the derivative of sigmoid": lambda s, dout, t: dout * t * (1 - t),
    "no upstream gradient": lambda s, dout, t: 1 - t**2,
    "the sign": lambda s, dout, t: dout * (t**2 - 1),
    "divides by dout's size": lambda s, dout, t: dout * (1 - t**2) / dout.size,
    "1 + t**2": lambda s, dout, t: dout * (1 + t**2),
    "the function instead of its derivative": lambda s, dout, t: dout * t,
    "tanh once more": lambda s, dout, t: dout * (1 - np.tanh(t) ** 2),
}
for mistake, backward in TANH_BACKWARD.items():
    wrong("tanh", f"backward: {mistake}", says=r"tanh: backward: expected .* at index .*chain rule")(
        layer(Tanh, backward=backward)
    )
wrong("tanh", "caches x but uses the formula for the output", says="backward: .*chain rule")(
    layer(Tanh, forward=lambda s, x: (np.tanh(x), x), backward=lambda s, dout, x: dout * (1 - x**2))
)
wrong("tanh", "sigmoid instead", says="forward: expected .*definition")(
    layer(Tanh, forward=lambda s, x: (1 / (1 + np.exp(-x)), x))
)
wrong("tanh", "overflows for large inputs", says="1000.*overflow")(
    layer(Tanh, forward=lambda s, x: ((np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),) * 2)
)
wrong("tanh", "writes into dout", says="a changed dout")(layer(Tanh, backward=_scaled_in_place))
wrong("tanh", "writes into x", says="a changed one .the input")(layer(Tanh, forward=_tanh_into_x))
wrong("tanh", "writes into the cache", says="when called twice")(layer(Tanh, backward=_cache_in_place))
wrong("tanh", "returns no cache", says="a pair .out, cache.")(layer(Tanh, forward=lambda s, x: np.tanh(x)))
wrong("tanh", "returns nothing", says="a pair .out, cache., got NoneType")(layer(Tanh, forward=lambda s, x: None))
wrong("tanh", "backward returns nothing", says="backward: .*got None .is there a return")(
    layer(Tanh, backward=lambda s, dout, t: None)
)
wrong("tanh", "sums over the batch", says="backward: expected shape .3, 4.")(
    layer(Tanh, backward=lambda s, dout, t: (dout * (1 - t**2)).sum(axis=0))
)
wrong("tanh", "a Jacobian matrix instead of entries", says="backward: expected shape|could not|stopped")(
    layer(Tanh, backward=lambda s, dout, t: np.diag(1 - t.ravel() ** 2) @ dout.ravel())
)
wrong("tanh", "widens float32", says="expected float32 for float32 input, got float64")(
    layer(Tanh, forward=lambda s, x: (np.tanh(x.astype(np.float64)),) * 2)
)
wrong("tanh", "math.tanh does not take arrays", says="stopped with TypeError")(
    layer(Tanh, forward=lambda s, x: (math.tanh(x), x))
)


def _leaky_in_place(self, x):
    x[x <= 0] *= self.slope
    return x, x > 0


def leaky(x, slope):
    return np.where(x > 0, x, np.asarray(slope, x.dtype) * x)


class NoSlope(LeakyRelu):
    def __init__(self):
        self.slope = 0.01


class SlopeOfTheSlide(LeakyRelu):
    def __init__(self, slope=0.1):
        self.slope = slope


LEAKY_FORWARD = {
    "plain relu": lambda s, x: (x * (x > 0), x > 0),
    "a fixed slope": lambda s, x: (leaky(x, 0.01), x > 0),
    "cases swapped": lambda s, x: (leaky(-x, s.slope), x > 0),
    "minimum for maximum": lambda s, x: (np.minimum(x, np.asarray(s.slope, x.dtype) * x), x > 0),
    "adds the slope": lambda s, x: (np.where(x > 0, x, x + np.asarray(s.slope, x.dtype)), x > 0),
    "absolute value": lambda s, x: (np.abs(x), x > 0),
}
for mistake, forward in LEAKY_FORWARD.items():
    wrong("leaky_relu", f"forward: {mistake}", says="forward: expected .*definition")(layer(LeakyRelu, forward=forward))
LEAKY_BACKWARD = {
    "lets nothing through below zero": lambda s, dout, mask: dout * mask,
    "no upstream gradient": lambda s, dout, mask: np.where(mask, 1.0, s.slope),
    "divides by the slope": lambda s, dout, mask: np.where(mask, dout, dout / s.slope),
    "cases swapped": lambda s, dout, mask: np.where(mask, s.slope * dout, dout),
    "the mask of dout": lambda s, dout, mask: np.where(dout > 0, dout, s.slope * dout),
    "slope on both sides": lambda s, dout, mask: s.slope * dout,
}
for mistake, backward in LEAKY_BACKWARD.items():
    wrong("leaky_relu", f"backward: {mistake}", says="backward: expected .*chain rule")(
        layer(LeakyRelu, forward=lambda s, x: (leaky(x, s.slope), x > 0), backward=backward)
    )
wrong("leaky_relu", "writes into its input", says="a changed one .the input")(
    layer(LeakyRelu, forward=_leaky_in_place, backward=lambda s, dout, mask: np.where(mask, dout, s.slope * dout))
)
wrong("leaky_relu", "takes no slope", says="could not call .*unexpected keyword argument 'slope'")(NoSlope)
wrong("leaky_relu", "another default", says="slope when none is given")(SlopeOfTheSlide)


INITIAL_LOSS = {
    "accuracy instead": (lambda c: 1 / c, "expected 2.30259, got 0.1"),
    "the sign": (lambda c: math.log(1 / c), "expected 2.30259, got -2.3"),
    "base 2": (lambda c: math.log2(c), "expected 2.30259"),
    "base 10": (lambda c: math.log10(c), "expected 2.30259, got 1"),
    "always ten classes": (lambda c: 2.302585093, "2 classes: expected 0.693"),
    "a text": (lambda c: "2.3026", "a number, got str"),
    "rounded to two places": (lambda c: round(math.log(c), 2), "expected 2.30259, got 2.3"),
    "a list": (lambda c: [math.log(c)], "a number, got list"),
    "one per class": (lambda c: np.full(c, math.log(c)), "expected shape .., got shape .10"),
    "only prints": (lambda c: print(math.log(c)), "got None .is there a return"),
    "sum over the classes": (lambda c: c * math.log(c), "expected 2.30259, got 23"),
    "log of one class more": (lambda c: math.log(c + 1), "expected 2.30259"),
}
for mistake, (answer, says) in INITIAL_LOSS.items():
    wrong("initial_loss", mistake, says=says)(answer)


def fit(reg=0.0, epochs=40, learning_rate=1e-2, std="he", give=lambda model, solver: model, **settings):
    def overfit(loader, input_size):
        model = ClassificationNet(Relu(), input_size=input_size, std=std, reg=reg, **settings)
        solver = Solver(model, loader, loader, learning_rate=learning_rate, verbose=False, allow_overlap=True)
        solver.train(epochs)
        return give(model, solver)

    return overfit


def _forgets_the_overlap(loader, input_size):
    model = ClassificationNet(Relu(), input_size=input_size, std="he")
    Solver(model, loader, loader, verbose=False).train(40)
    return model


def _two_classes(loader, input_size):
    model = ClassificationNet(Relu(), input_size=input_size, std="he", num_classes=2)
    Solver(model, loader, loader, learning_rate=1e-2, verbose=False, allow_overlap=True).train(40)
    return model


def _size_of_cifar(loader, input_size):
    return ClassificationNet(Relu(), input_size=3072, std="he")


OVERFIT = {
    "one small epoch": (fit(epochs=1, learning_rate=1e-5), "accuracy 100 %, got .*epochs"),
    "regularised away": (fit(reg=10.0), "accuracy 100 %, got .*regularisation"),
    "a learning rate of 1e-7": (fit(learning_rate=1e-7), "accuracy 100 %, got .*learning rate"),
    "five layers that start at 0.001": (fit(num_layer=5, std=1e-3, epochs=5), "accuracy 100 %, got .*initial std"),
    "returns the solver": (fit(epochs=1, give=lambda model, solver: solver), "trained network, got Solver"),
    "returns the weights": (fit(epochs=1, give=lambda model, solver: model.params), "trained network, got dict"),
    "returns nothing": (fit(epochs=1, give=lambda model, solver: None), "trained network, got NoneType"),
    "returns a pair": (fit(epochs=1, give=lambda model, solver: (model, solver)), "trained network, got tuple"),
    "forgets allow_overlap": (_forgets_the_overlap, "stopped with .*allow_overlap"),
    "a network for CIFAR-10's size": (_size_of_cifar, "stopped with"),
    "does not train": (fit(epochs=0), "accuracy 100 %|stopped with"),
    "two classes only": (_two_classes, "accuracy 100 %|stopped with"),
}
for mistake, (answer, says) in OVERFIT.items():
    wrong("overfit", mistake, says=says)(answer)


def _pops(spaces):
    configs = grid_configs(spaces)
    for values in spaces.values():
        values.pop()
    return configs


def _shared_dict(spaces):
    config, configs = {}, []
    for values in itertools.product(*spaces.values()):
        config.update(zip(spaces, values, strict=True))
        configs.append(config)
    return configs


def _three_names(spaces):
    return [
        {"learning_rate": a, "reg": b, "activation": c}
        for a in spaces["learning_rate"]
        for b in spaces["reg"]
        for c in spaces["activation"]
    ]


GRID = {
    "only pairs the lists up": (
        lambda s: [dict(zip(s, v, strict=False)) for v in zip(*s.values(), strict=False)], "number of configurations"),
    "the first name varies fastest": (
        lambda s: sorted(grid_configs(s), key=lambda c: repr(list(c.values())[::-1])), "fastest"),
    "one shared dict": (_shared_dict, "each is a dict of its own"),
    "a generator": (lambda s: (c for c in grid_configs(s)), "a list, got generator"),
    "tuples instead of dicts": (lambda s: list(itertools.product(*s.values())), "configuration 0: expected {"),
    "leaves the last value out": (
        lambda s: grid_configs({name: values[:-1] for name, values in s.items()}), "number of configurations"),
    "one name at a time": (
        lambda s: [{name: v} for name, values in s.items() for v in values], "number of configurations"),
    "every value in a list": (
        lambda s: [{name: [v] for name, v in c.items()} for c in grid_configs(s)], "configuration 0"),
    "every value a text": (
        lambda s: [{name: str(v) for name, v in c.items()} for c in grid_configs(s)], "configuration 0"),
    "pops the caller's lists": (_pops, "the spaces: expected the input as it was"),
    "a dict of numbered configurations": (lambda s: dict(enumerate(grid_configs(s))), "a list, got dict"),
    "only these three names": (_three_names, "stopped with KeyError|one name with one value"),
    "the names sorted": (
        lambda s: [dict(sorted(c.items())) for c in grid_configs(s)], "configuration 0"),
    "returns inside the loop": (lambda s: grid_configs(s)[:1], "number of configurations: .*got 1"),
}  # fmt: skip
for mistake, (answer, says) in GRID.items():
    wrong("grid_configs", mistake, says=says)(answer)


def sample_with(**replaced):
    """The package's sample_config with one kind drawn in another way."""

    def sample(spaces, rng):
        config = sample_config(spaces, rng)
        for name, (values, kind) in spaces.items():
            if kind in replaced:
                config[name] = replaced[kind](values, rng)
        return config

    return sample


SAMPLE = {
    "uniform instead of log": (sample_with(log=lambda v, rng: float(rng.uniform(*v))), "log: .*half"),
    "exp of a log10": (
        sample_with(log=lambda v, rng: float(np.exp(rng.uniform(np.log10(v[0]), np.log10(v[1]))))), "log: .*10..u"),
    "returns the exponent": (
        sample_with(log=lambda v, rng: float(rng.uniform(np.log10(v[0]), np.log10(v[1])))), "log: .*all in"),
    "whole decades only": (
        sample_with(log=lambda v, rng: 10.0 ** int(rng.integers(-5, -2))), "log: .*half"),
    "upper end never drawn": (sample_with(int=lambda v, rng: int(rng.integers(v[0], v[1]))), "int: .*Both ends count"),
    "rounded float": (sample_with(int=lambda v, rng: round(rng.uniform(v[0], v[1]))), "equally likely"),
    "int as float": (sample_with(int=lambda v, rng: float(rng.integers(v[0], v[1], endpoint=True))), "a Python int"),
    "int as a numpy integer": (sample_with(int=lambda v, rng: rng.integers(v[0], v[1], endpoint=True)), "a Python int"),
    "always the first item": (sample_with(item=lambda v, rng: v[0]), "item: .*both items"),
    "the position of the item": (sample_with(item=lambda v, rng: int(rng.integers(len(v)))), "item: .*both items"),
    "a float between 0 and 1": (sample_with(float=lambda v, rng: float(rng.uniform())), "float: .*uniform in"),
    "low end only": (sample_with(float=lambda v, rng: v[0]), "float: .*mean 3"),
    "numpy's global generator": (
        sample_with(float=lambda v, rng: float(np.random.uniform(*v))), "handed in"),  # noqa: NPY002 -- the mistake
    "the module random": (sample_with(float=lambda v, rng: random.uniform(*v)), "handed in"),
    "a generator of its own": (
        sample_with(log=lambda v, rng: float(10 ** np.random.default_rng(0).uniform(-5, -1))), "log: .*half"),
    "a list of values": (lambda s, rng: list(sample_config(s, rng).values()), "names: .*One entry per name"),
    "returns nothing": (lambda s, rng: None, "names: "),
}  # fmt: skip
for mistake, (answer, says) in SAMPLE.items():
    wrong("sample_config", mistake, says=says)(answer)


def _no_cut(space, best):
    if space[1] == "item":
        return space
    low, high = space[0]
    return [best - (high - low) / 4, best + (high - low) / 4], space[1]


def _as_float(space, best):
    return narrow_space((space[0], "float"), best)[0], space[1]


def _wide(space, best):
    if space[1] != "float":
        return narrow_space(space, best)
    low, high = space[0]
    return [max(low, best - (high - low) / 2), min(high, best + (high - low) / 2)], "float"


def _halves_above(space, best):
    if space[1] != "float":
        return narrow_space(space, best)
    low, high = space[0]
    return [best, min(high, best + (high - low) / 2)], "float"


def _shifts_back_in(space, best):
    if space[1] != "float":
        return narrow_space(space, best)
    low, high = space[0]
    start = min(max(low, best - (high - low) / 4), high - (high - low) / 2)
    return [start, start + (high - low) / 2], "float"


def _rounds_nearest(space, best):
    if space[1] != "int":
        return narrow_space(space, best)
    low, high = space[0]
    return [max(low, best - (high - low) / 4), min(high, best + (high - low) / 4)], "int"


def _exponents(space, best):
    if space[1] != "log":
        return narrow_space(space, best)
    ends = narrow_space(([math.log10(end) for end in space[0]], "float"), math.log10(best))[0]
    return ends, "log"


NARROW = {
    "not narrowed": (lambda s, b: s, "Half as wide"),
    "as wide as before": (_wide, "Half as wide"),
    "leaves the old range": (_no_cut, "cut off at the old ends"),
    "log treated as linear": (
        lambda s, b: _as_float(s, b) if s[1] == "log" else narrow_space(s, b), "count in decades"),
    "log ends as exponents": (_exponents, "count in decades"),
    "no kind": (lambda s, b: narrow_space(s, b)[0], "kind"),
    "kind turned into float": (lambda s, b: (narrow_space(s, b)[0], "float"), "kind"),
    "only upwards": (_halves_above, "centred on best"),
    "pushed back into the range": (_shifts_back_in, "cut off at the old ends"),
    "int ends with a fraction": (_rounds_nearest, "whole numbers"),
    "collapses to best": (lambda s, b: ([b, b], s[1]) if s[1] != "item" else s, "Half as wide"),
    "no case for item": (
        lambda s, b: narrow_space(s, b) if s[1] != "item" else ([b], "item"), "item space"),
    "ends swapped": (
        lambda s, b: (narrow_space(s, b)[0][::-1], s[1]) if s[1] != "item" else s, "Half as wide"),
    "returns nothing": (lambda s, b: None, "kind"),
}  # fmt: skip
for mistake, (answer, says) in NARROW.items():
    wrong("narrow_space", mistake, says=says)(answer)


DRAW = {
    "np.exp with two arguments": (lambda low, high, rng: np.exp(10, rng.uniform(-5, -1)), "TypeError"),
    "np.exp of the decades": (
        lambda low, high, rng: float(np.exp(rng.uniform(np.log10(low), np.log10(high)))), "base of the exponent"),
    "10 to the power of natural logarithms": (
        lambda low, high, rng: float(10 ** rng.uniform(np.log(low), np.log(high))), "base of the exponent"),
    "uniform between the ends": (lambda low, high, rng: float(rng.uniform(low, high)), "exponent that is uniform"),
    "uniform in the square root": (
        lambda low, high, rng: float(rng.uniform(low**0.5, high**0.5) ** 2), "exponent that is uniform"),
    "the exponent itself": (
        lambda low, high, rng: float(rng.uniform(np.log10(low), np.log10(high))), "base of the exponent"),
    "always four decades down from 1": (lambda low, high, rng: float(10 ** (rng.random() * -4)), "between the ends"),
    "10e for 1e": (
        lambda low, high, rng: float(10 * 10 ** rng.uniform(np.log10(low), np.log10(high))), "between the ends"),
    "whole decades, the upper end left out": (
        lambda low, high, rng: 10.0 ** int(rng.integers(round(np.log10(low)), round(np.log10(high)))),
        "no whole number"),
    "the global generator": (
        lambda low, high, rng: float(10 ** np.random.uniform(np.log10(low), np.log10(high))), "handed in"),
    "a list": (lambda low, high, rng: [float(10 ** rng.uniform(np.log10(low), np.log10(high)))], "a float, got list"),
    "returns nothing": (lambda low, high, rng: None, "a float, got NoneType"),
    "the middle, no draw": (lambda low, high, rng: math.sqrt(low * high), "lower decades"),
}  # fmt: skip
for mistake, (answer, says) in DRAW.items():
    wrong("draw_learning_rate", mistake, says=says)(answer)


def _losses(trials):
    return [trial["val_loss"] for trial in trials]


def _printed_code(trials):
    best = None
    for i, trial in enumerate(trials):
        if not best or trial["test_accuracy"] > trials[best]["test_accuracy"]:
            best = i
    return best


def _still_not_best(trials):
    best = None
    for i, trial in enumerate(trials):
        if not best or trial["val_loss"] < trials[best]["val_loss"]:
            best = i
    return best


def _falsy_loss(trials):
    best, lowest = 0, None
    for i, loss in enumerate(_losses(trials)):
        if math.isfinite(loss) and (not lowest or loss < lowest):
            best, lowest = i, loss
    return best


def _begins_with_the_first(trials):
    best = 0
    for i, loss in enumerate(_losses(trials)):
        if loss < trials[best]["val_loss"]:
            best = i
    return best


def _drops_before_counting(trials):
    finite = [loss for loss in _losses(trials) if math.isfinite(loss)]
    return finite.index(min(finite))


PICK = {
    "the printed code": (_printed_code, "best on validation"),
    "the best test accuracy": (
        lambda t: max(range(len(t)), key=lambda i: t[i]["test_accuracy"]), "only validation values may choose"),
    "the largest loss": (lambda t: max(range(len(t)), key=lambda i: t[i]["val_loss"]), "Small is good"),
    "`not best` left in": (_still_not_best, "`is None`"),
    "0.0 taken for no loss": (_falsy_loss, "`is None`"),
    "begins with the first, also when it is nan": (_begins_with_the_first, "comparison with nan"),
    "np.argmin, which takes nan for the smallest": (lambda t: int(np.argmin(_losses(t))), "nan"),
    "the position among the finite ones": (_drops_before_counting, "nan"),
    "the loss instead of the position": (lambda t: float(np.nanmin(_losses(t))), "Return its index"),
    "the trial instead of its position": (
        lambda t: t[int(np.nanargmin(_losses(t)))], "the position of a trial, got dict"),
    "sorts the list in place": (lambda t: t.sort(key=lambda one: one["val_loss"]) or 0, "as it was|a trial"),
    "the last one": (lambda t: len(t) - 1, "position 1, got position 2"),
    "the first one": (lambda t: 0, "position 1, got position 0"),
    "returns nothing": (lambda t: None, "got NoneType"),
}  # fmt: skip
for mistake, (answer, says) in PICK.items():
    wrong("pick_trial", mistake, says=says)(answer)


def keeper(keep, better=lambda loss, best: loss < best, give=lambda best, params: best):
    def keep_best_weights(params, epochs):
        lowest, best = math.inf, params
        for epoch in epochs:
            loss = epoch(params)
            if better(loss, lowest):
                lowest, best = loss, keep(params)
        return give(best, params)

    return keep_best_weights


def deep(params):
    return {name: array.copy() for name, array in params.items()}


def _stops_early(params, epochs):
    lowest, best = math.inf, {}
    for epoch in epochs:
        loss = epoch(params)
        if loss >= lowest:
            break
        lowest, best = loss, deep(params)
    return best


def _copies_before(params, epochs):
    lowest, best = math.inf, {}
    for epoch in epochs:
        before = deep(params)
        loss = epoch(params)
        if loss < lowest:
            lowest, best = loss, before
    return best


def _trains_twice(params, epochs):
    losses = [epoch(params) for epoch in epochs]
    best = losses.index(min(losses))
    for epoch in epochs[: best + 1]:
        epoch(params)
    return deep(params)


ALIAS = "the very same arrays"
KEEP = {
    "the printed code": (keeper(lambda params: params), ALIAS),
    "dict(params)": (keeper(dict), ALIAS),
    "params.copy()": (keeper(lambda params: params.copy()), ALIAS),
    "views": (keeper(lambda params: {name: array[:] for name, array in params.items()}), ALIAS),
    "np.asarray": (keeper(lambda params: {name: np.asarray(array) for name, array in params.items()}), ALIAS),
    "a copy, but the last weights handed back": (keeper(deep, give=lambda best, params: params), ALIAS),
    "the largest loss": (keeper(deep, better=lambda loss, best: best == math.inf or loss > best), "weights after epoch"),
    "the last epoch": (keeper(deep, better=lambda loss, best: True), "weights after epoch 2"),
    "nan counts as better": (keeper(deep, better=lambda loss, best: not loss >= best), "nan"),
    "copied before the epoch": (_copies_before, "weights after epoch"),
    "stops at the first worse epoch": (_stops_early, "4 epochs, got 3"),
    "trains the best part once more": (_trains_twice, "4 epochs, got 6"),
    "only the first weights": (keeper(lambda params: {"W1": params["W1"].copy()}), "a dict with W1 and b1"),
    "a list of arrays": (keeper(lambda params: [array.copy() for array in params.values()]), "a dict with W1 and b1"),
    "the loss": (keeper(deep, give=lambda best, params: 1.2), "a dict with W1 and b1"),
    "returns nothing": (keeper(deep, give=lambda best, params: None), "a dict with W1 and b1"),
}  # fmt: skip
for mistake, (answer, says) in KEEP.items():
    wrong("keep_best_weights", mistake, says=says)(answer)


def _cells(labels, predictions, num_classes):
    counts = np.zeros((num_classes, num_classes), dtype=int)
    counts[labels, predictions] += 1  # a pair that occurs twice is added once
    return counts


CONFUSION = {
    "transposed": (lambda t, p, c: confusion_matrix(p, t, c), "Row: true class"),
    "hits only": (lambda t, p, c: np.diag(np.bincount(t[t == p], minlength=c)), "Row: true class"),
    "too small when a class is missing": (lambda t, p, c: confusion_matrix(t, p, c)[:, :3], "expected shape .4, 4."),
    "counts[t, p] += 1 on arrays": (_cells, "Every pair counts"),
    "shares instead of counts": (
        lambda t, p, c: confusion_matrix(t, p, c) / max(len(t), 1), "60 predictions.*entries differ"),
    "rows as shares": (
        lambda t, p, c: confusion_matrix(t, p, c) / confusion_matrix(t, p, c).sum(axis=1, keepdims=True),
        "60 predictions.*entries differ"),
    "a class too many": (lambda t, p, c: confusion_matrix(t, p, c + 1), "expected shape .4, 4."),
    "a flat list of counts": (lambda t, p, c: confusion_matrix(t, p, c).ravel(), "expected shape .4, 4."),
    "nested lists": (lambda t, p, c: confusion_matrix(t, p, c).tolist(), "an array of shape .4, 4., got list"),
    "size taken from the labels": (
        lambda t, p, c: confusion_matrix(t, p, int(t.max()) + 1), "stopped with|no predictions"),
    "starts at one": (lambda t, p, c: confusion_matrix(t, p, c) + 1, "entries differ"),
    "only the mistakes": (
        lambda t, p, c: confusion_matrix(t, p, c) * (1 - np.eye(c, dtype=int)), "entries differ"),
    "the accuracy": (lambda t, p, c: float(np.mean(t == p)), "expected shape|array of shape"),
    "returns nothing": (lambda t, p, c: None, "got None .is there a return"),
}  # fmt: skip
for mistake, (answer, says) in CONFUSION.items():
    wrong("confusion_matrix", mistake, says=says)(answer)
