"""Honest variants in exercise 06."""

import math
from decimal import Decimal

import numpy as np
import torch
from hyperopt import STATUS_OK, hp, space_eval
from hyperopt.pyll import scope
from scipy.special import expit

from exercise_code.labs.batches import Batches
from exercise_code.labs.hyperopt_tools import (
    Z_95,
    best_settings,
    good_probability,
    hyperopt_draw,
    paired_gain,
    stop_when_stuck,
)
from exercise_code.labs.mnist_tuning import augmentation, optimizer_maker, schedule_for, train_config
from exercise_code.labs.networks import MLP
from exercise_code.labs.training import fit
from tests.catalogue import right

# --- hyperopt_draw

right("hyperopt_draw", "the reference")(hyperopt_draw)


@right("hyperopt_draw", "from rng.random and numpy, match")
def matching(kind, arguments, rng):
    match kind, arguments:
        case "uniform", (low, high):
            return low + (high - low) * rng.random()
        case "loguniform", (low, high):
            return np.exp(low + (high - low) * rng.random())
        case "quniform", (low, high, q):
            return np.round(rng.uniform(low, high) / q) * q
        case "choice", (options,):
            return int(rng.random() * len(options))
    raise ValueError(kind)


@right("hyperopt_draw", "a dict of functions, arrays without axes")
def table(kind, arguments, rng):
    kinds = {
        "uniform": lambda low, high: np.asarray(rng.uniform(low, high)),
        "loguniform": lambda low, high: np.asarray(math.e ** rng.uniform(low, high)),
        "quniform": lambda low, high, q: q * np.rint(rng.uniform(low / q, high / q)),
        "choice": lambda options: rng.choice(len(options)),
    }
    if kind not in kinds:
        raise ValueError(f"unknown kind {kind}")
    return kinds[kind](*arguments)


@right("hyperopt_draw", "rounds half up, by adding a half and rounding down")
def half_up(kind, arguments, rng):
    if kind == "quniform":
        low, high, q = arguments
        return math.floor(rng.uniform(low, high) / q + 0.5) * q
    return hyperopt_draw(kind, arguments, rng)


@right("hyperopt_draw", "powers of 2 with the bounds converted, permutation for the choice")
def converted(kind, arguments, rng):
    if kind == "loguniform":
        low, high = (value / math.log(2) for value in arguments)
        return 2.0 ** rng.uniform(low, high)
    if kind == "choice":
        return rng.permutation(len(arguments[0]))[0]
    return hyperopt_draw(kind, arguments, rng)


# --- learning_rate_space

for variant, make in {
    "math.log": lambda label, low, high: hp.loguniform(label, math.log(low), math.log(high)),
    "np.log": lambda label, low, high: hp.loguniform(label, np.log(low), np.log(high)),
    "log10 times log 10": lambda label, low, high: hp.loguniform(
        label, math.log(10) * math.log10(low), math.log(10) * math.log10(high)
    ),
    "keywords": lambda label, low, high: hp.loguniform(label=label, low=math.log(low), high=math.log(high)),
    "exp of a uniform expression": lambda label, low, high: scope.exp(hp.uniform(label, math.log(low), math.log(high))),
    "low times a power": lambda label, low, high: low * scope.exp(hp.uniform(label, 0.0, math.log(high / low))),
}.items():
    right("learning_rate_space", variant)(make)


# --- best_settings

right("best_settings", "the reference")(best_settings)


@right("best_settings", "a loop")
def loop(space, trials):
    best, lowest = None, math.inf
    for trial in trials.trials:
        if trial["result"]["status"] != STATUS_OK:
            continue
        loss = trial["result"]["loss"]
        if np.isfinite(loss) and loss < lowest:
            best, lowest = trial, loss
    if best is None:
        raise ValueError("nothing to choose from")
    drawn = {}
    for label, values in best["misc"]["vals"].items():
        if len(values) > 0:
            drawn[label] = values[0]
    return space_eval(space, drawn)


@right("best_settings", "an array of losses and argmin")
def array(space, trials):
    losses = np.array([r["loss"] if r["status"] == STATUS_OK else np.inf for r in trials.results], dtype=float)
    losses[~np.isfinite(losses)] = np.inf
    if not np.isfinite(losses).any():
        raise ValueError("no finite loss")
    values = trials.miscs[int(losses.argmin())]["vals"]
    return space_eval(space, {label: v[0] for label, v in values.items() if v})


@right("best_settings", "sorted, and nanmin's position")
def by_sorting(space, trials):
    ranked = sorted(
        (r["loss"], i) for i, r in enumerate(trials.results) if r["status"] == "ok" and abs(r["loss"]) < math.inf
    )
    if len(ranked) == 0:
        raise ValueError("all failed")
    values = trials.trials[ranked[0][1]]["misc"]["vals"]
    return space_eval(space, {label: v.pop() for label, v in {k: list(v) for k, v in values.items()}.items() if v})


@right("best_settings", "with .get on failed results")
def with_get(space, trials):
    usable = [
        t for t in trials if math.isfinite(t["result"].get("loss", math.nan)) and t["result"]["status"] == STATUS_OK
    ]
    assert_any = next(iter(usable), None)
    if assert_any is None:
        raise ValueError("empty")
    usable.sort(key=lambda t: t["result"]["loss"])
    return space_eval(space, {k: v[0] for k, v in usable[0]["misc"]["vals"].items() if len(v) == 1})


# --- stop_when_stuck

right("stop_when_stuck", "the reference")(stop_when_stuck)


@right("stop_when_stuck", "with the state that hyperopt hands back")
def with_state(patience):
    def stop(trials, lowest=math.inf, stuck=0):
        result = trials.results[-1]
        loss = result["loss"] if result["status"] == STATUS_OK else math.nan
        if math.isfinite(loss) and loss < lowest:
            lowest, stuck = loss, 0
        else:
            stuck += 1
        return stuck >= patience, [lowest, stuck]

    return stop


@right("stop_when_stuck", "the position of the minimum in an array")
def by_argmin(patience):
    def stop(trials, *_):
        losses = np.array(
            [r.get("loss", np.inf) if r["status"] == STATUS_OK else np.inf for r in trials.results], float
        )
        losses[~np.isfinite(losses)] = np.inf
        last = int(np.argmin(losses)) if np.isfinite(losses).any() else -1
        return bool(len(losses) - 1 - last >= patience), ()

    return stop


@right("stop_when_stuck", "the lowest of the last ones against the lowest before")
def windows(patience):
    def stop(trials, *args):
        losses = [
            r["loss"] if r["status"] == STATUS_OK and math.isfinite(r["loss"]) else math.inf for r in trials.results
        ]
        if len(losses) < patience:
            return False, args
        return min(losses[-patience:]) >= min(losses[:-patience], default=math.inf), args

    return stop


@right("stop_when_stuck", "an object with __call__")
class Stopper:
    def __init__(self, patience):
        self.patience = patience

    def __call__(self, trials, *state):
        best, since = None, 0
        for trial in trials.trials:
            result = trial["result"]
            good = result["status"] == STATUS_OK and np.isfinite(result["loss"])
            if good and (best is None or result["loss"] < best):
                best, since = result["loss"], 0
            else:
                since = since + 1
        return np.bool_(since >= self.patience), []


@right("stop_when_stuck", "running minimum with numpy")
def running(patience):
    def stop(trials):
        losses = np.array([r["loss"] if r["status"] == STATUS_OK else np.inf for r in trials.results], dtype=float)
        losses = np.where(np.isfinite(losses), losses, np.inf)
        lowest = np.concatenate([[np.inf], np.minimum.accumulate(losses)])
        progress = np.flatnonzero(lowest[1:] < lowest[:-1])
        return len(losses) - (progress[-1] + 1 if len(progress) else 0) >= patience, []

    return stop


# --- good_probability

right("good_probability", "the reference")(good_probability)


def odds(log_good, log_bad, gamma):
    return np.log(gamma / (1 - gamma)) + (np.asarray(log_good) - np.asarray(log_bad))


for variant, formula in {
    "a stable sigmoid with where": lambda lg, lb, a: np.where(
        odds(lg, lb, a) >= 0, 1 / (1 + np.exp(-np.abs(odds(lg, lb, a)))),
        np.exp(-np.abs(odds(lg, lb, a))) / (1 + np.exp(-np.abs(odds(lg, lb, a))))),
    "half of one plus tanh": lambda lg, lb, a: 0.5 * (1 + np.tanh(odds(lg, lb, a) / 2)),
    "logaddexp": lambda lg, lb, a: np.exp(np.log(a) + lg - np.logaddexp(np.log(a) + lg, np.log(1 - a) + lb)),
    "scipy's expit": lambda lg, lb, a: expit(odds(lg, lb, a)),
    "exponent kept below 700": lambda lg, lb, a: np.where(
        np.isneginf(lg), 0.0, 1 / (1 + (1 - a) / a * np.exp(np.minimum(np.asarray(lb) - lg, 700.0)))),
    "torch": lambda lg, lb, a: torch.sigmoid(torch.as_tensor(odds(lg, lb, a))).numpy(),
}.items():  # fmt: skip
    right("good_probability", variant)(formula)


@right("good_probability", "entry by entry, with decimals")
def decimals(log_good, log_bad, gamma):
    result = np.zeros(np.shape(log_good))
    for index in np.ndindex(result.shape):
        gap = float(np.asarray(log_bad)[index] - np.asarray(log_good)[index])
        result[index] = float(1 / (1 + Decimal(1 - gamma) / Decimal(gamma) * Decimal(gap).exp()))
    return result


# --- train_config

right("train_config", "the reference")(train_config)


@right("train_config", "Batches by hand")
def by_hand(config, data, epochs, *, seed=0, progress=False, on_epoch=None):
    net = MLP((int(config["width"]),) * config["depth"], dropout=config["dropout"], seed=seed)
    train = Batches(
        data.train.images, data.train.labels, batch_size=config["batch_size"], shuffle=True, seed=seed,
        augment=augmentation(config["shift"]),
    )  # fmt: skip
    make = optimizer_maker(config["optimizer"], config["lr"], config["weight_decay"])
    schedule = schedule_for(config["schedule"], config["lr"], len(train) * epochs)
    val = Batches(data.val.images, data.val.labels, batch_size=500)
    return net, fit(
        net, train, val, epochs, optimizer=make, schedule=schedule, seed=seed, progress=progress, on_epoch=on_epoch
    )


@right("train_config", "validation in small batches, another seed for each part, settings unpacked")
def unpacked(config, data, epochs, *, seed=0, **rest):
    c = {**config, "width": round(config["width"])}
    model = MLP([c["width"] for _ in range(c["depth"])], dropout=c["dropout"], seed=2 * seed + 1)
    loader = data.train.batches(c["batch_size"], shuffle=True, seed=seed + 5, augment=augmentation(c["shift"]))
    history = fit(
        model, loader, data.val.batches(7), epochs, seed=seed + 9,
        optimizer=optimizer_maker(c["optimizer"], weight_decay=c["weight_decay"], lr=c["lr"]),
        schedule=schedule_for(lr=c["lr"], name=c["schedule"], steps=math.ceil(len(data.train) / c["batch_size"]) * epochs),
        **rest,
    )  # fmt: skip
    return model, history


@right("train_config", "a network of its own in place of MLP")
def own_network(config, data, epochs, *, seed=0, progress=False, on_epoch=None):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers, inputs = [torch.nn.Flatten()], 784
        for _ in range(config["depth"]):
            layers += [
                torch.nn.Linear(inputs, int(config["width"])),
                torch.nn.ReLU(),
                torch.nn.Dropout(config["dropout"]),
            ]
            inputs = int(config["width"])
        model = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 10))
    loader = data.train.batches(config["batch_size"], shuffle=True, seed=seed, augment=augmentation(config["shift"]))
    history = fit(
        model, loader, data.val.batches(1000), epochs, seed=seed, progress=progress, on_epoch=on_epoch,
        optimizer=optimizer_maker(config["optimizer"], config["lr"], config["weight_decay"]),
        schedule=schedule_for(config["schedule"], config["lr"], epochs * len(loader)),
    )  # fmt: skip
    return model, history


@right("train_config", "the optimizer as a function, a list for the result")
def listed(config, data, epochs, *, seed=0, progress=False, on_epoch=None):
    model = MLP([int(config["width"])] * config["depth"], dropout=config["dropout"], seed=seed)
    loader = data.train.batches(config["batch_size"], shuffle=True, seed=seed, augment=augmentation(config["shift"]))

    def make(weights):
        if config["optimizer"] == "adam":
            return torch.optim.AdamW(weights, lr=config["lr"], weight_decay=config["weight_decay"])
        return torch.optim.SGD(
            weights, lr=config["lr"], weight_decay=config["weight_decay"], momentum=0.9, nesterov=True
        )

    schedule = schedule_for(config["schedule"], config["lr"], epochs * len(loader))
    history = fit(
        model, loader, data.val.batches(1000), epochs, optimizer=make, schedule=schedule, seed=seed, progress=progress,
        on_epoch=on_epoch,
    )  # fmt: skip
    return model, history


# --- paired_gain

right("paired_gain", "the reference")(paired_gain)


def with_lengths(formula):
    def paired(labels, before, after):
        if not len(labels) == len(before) == len(after) > 0:
            raise ValueError("lengths")
        return formula(np.asarray(labels), np.asarray(before), np.asarray(after))

    return paired


@right("paired_gain", "mean and spread of the differences")
@with_lengths
def from_differences(labels, before, after):
    d = (after == labels).astype(float) - (before == labels).astype(float)
    margin = Z_95 * d.std() / np.sqrt(d.size)
    return d.mean(), d.mean() - margin, d.mean() + margin


@right("paired_gain", "a loop over the images")
@with_lengths
def looped(labels, before, after):
    won = lost = 0
    for truth, a, b in zip(labels, before, after, strict=True):
        won += bool(b == truth and a != truth)
        lost += bool(a == truth and b != truth)
    n = len(labels)
    error = ((won + lost) - (won - lost) ** 2 / n) ** 0.5 / n
    return (won - lost) / n, (won - lost) / n - Z_95 * error, (won - lost) / n + Z_95 * error


@right("paired_gain", "a table of four counts, and 1.96")
@with_lengths
def four(labels, before, after):
    table = np.zeros((2, 2))
    np.add.at(table, ((before == labels).astype(int), (after == labels).astype(int)), 1)
    n, b, c = table.sum(), table[0, 1], table[1, 0]
    p = (b - c) / n
    error = np.sqrt(((b + c) / n - p**2) / n)
    return [p, p - 1.959964 * error, p + 1.959964 * error]


@right("paired_gain", "numpy scalars in float32 sums")
@with_lengths
def scalars(labels, before, after):
    d = np.subtract(after == labels, before == labels, dtype=np.int64)
    n = np.float64(d.size)
    variance = np.mean(d**2) - np.mean(d) ** 2
    margin = Z_95 * np.sqrt(variance / n)
    return np.mean(d), np.mean(d) - margin, np.mean(d) + margin


@right("paired_gain", "accuracies for the gain")
@with_lengths
def accuracies(labels, before, after):
    gain = float((after == labels).mean() - (before == labels).mean())
    differ = float(((after == labels) != (before == labels)).mean())
    margin = Z_95 * math.sqrt(max(differ - gain**2, 0.0) / len(labels))
    return gain, gain - margin, gain + margin
