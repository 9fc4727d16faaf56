"""Typical mistakes in exercise 06."""

import math

import numpy as np
from hyperopt import STATUS_OK, hp, space_eval
from hyperopt.early_stop import no_progress_loss
from hyperopt.pyll import scope

from exercise_code.labs.hyperopt_tools import Z_95, best_settings, hyperopt_draw, stop_when_stuck
from exercise_code.labs.mnist_tuning import augmentation, optimizer_maker, schedule_for
from exercise_code.labs.networks import MLP
from exercise_code.labs.training import fit
from tests.catalogue import wrong

# --- hyperopt_draw: one of the four is off


def draw_with(kind_of_mistake, formula):
    def draw(kind, arguments, rng):
        return formula(arguments, rng) if kind == kind_of_mistake else hyperopt_draw(kind, arguments, rng)

    return draw


for kind, mistake, says, formula in (
    ("uniform", "width instead of the upper bound", "uniform", lambda a, r: a[0] + r.random() * a[1]),
    ("uniform", "from 0 to high", "uniform", lambda a, r: r.random() * a[1]),
    ("uniform", "whole numbers only", "uniform: distance", lambda a, r: min(max(round(r.uniform(*a)), a[0]), a[1])),
    ("uniform", "from the global generator", "the same seed again", lambda a, r: np.random.default_rng().uniform(*a)),
    ("loguniform", "powers of ten", "loguniform, .*numbers from", lambda a, r: 10 ** r.uniform(*a)),
    ("loguniform", "powers of two", "loguniform, .*numbers from", lambda a, r: 2 ** r.uniform(*a)),
    ("loguniform", "takes the logarithm again", "stopped|numbers from", lambda a, r: math.exp(r.uniform(math.log(-a[1]), math.log(-a[0])))),
    ("loguniform", "returns the logarithm", "loguniform, .*numbers from", lambda a, r: r.uniform(*a)),
    ("loguniform", "uniform between the bounds", "loguniform: distance", lambda a, r: r.uniform(math.exp(a[0]), math.exp(a[1]))),
    ("quniform", "does not round", "multiples of 16", lambda a, r: r.uniform(a[0], a[1])),
    ("quniform", "rounds down", "share of 16", lambda a, r: math.floor(r.uniform(a[0], a[1]) / a[2]) * a[2]),
    ("quniform", "all multiples equally likely", "share of", lambda a, r: a[0] + a[2] * r.integers(round((a[1] - a[0]) / a[2]) + 1)),
    ("quniform", "rounds to whole numbers", "multiples of", lambda a, r: float(round(r.uniform(a[0], a[1])))),
    ("quniform", "forgets to multiply again", "multiples of|numbers from", lambda a, r: round(r.uniform(a[0], a[1]) / a[2])),
    ("quniform", "casts to int", "numbers from|multiples|share", lambda a, r: int(round(r.uniform(a[0], a[1]) / a[2]) * a[2])),
    ("choice", "returns the option", "index", lambda a, r: a[0][r.integers(len(a[0]))]),
    ("choice", "never draws the last option", "indices 0, 1 and 2", lambda a, r: int(r.integers(len(a[0]) - 1))),
    ("choice", "counts from 1", "indices 0, 1 and 2", lambda a, r: int(r.integers(len(a[0]))) + 1),
    ("choice", "rounds a uniform number", "share of index", lambda a, r: round(r.uniform(0, len(a[0]) - 1))),
):  # fmt: skip
    wrong("hyperopt_draw", f"{kind}: {mistake}", says=says)(draw_with(kind, formula))


@wrong("hyperopt_draw", "an unknown kind is a uniform number", says="a ValueError")
def draws_anything(kind, arguments, rng):
    known = kind in ("uniform", "loguniform", "quniform", "choice")
    return hyperopt_draw(kind if known else "uniform", arguments, rng)


# --- learning_rate_space

for mistake, says, make in (
    ("the bounds as they are (slide A)", "values", lambda label, low, high: hp.loguniform(label, low, high)),
    ("powers of ten (slide B)", "values", lambda label, low, high: hp.loguniform(label, math.log10(low), math.log10(high))),
    ("uniform (slide C)", "share below", lambda label, low, high: hp.uniform(label, low, high)),
    ("base two", "values", lambda label, low, high: hp.loguniform(label, math.log2(low), math.log2(high))),
    ("uniform logarithm, exp forgotten", "values", lambda label, low, high: hp.uniform(label, math.log(low), math.log(high))),
    ("-4 to -1 whatever is asked for", "values", lambda label, low, high: hp.loguniform(label, -4, -1)),
    ("the label is always lr", "label", lambda label, low, high: hp.loguniform("lr", math.log(low), math.log(high))),
    ("a logarithmic normal distribution", "values|share", lambda label, low, high: hp.lognormal(
        label, (math.log(low) + math.log(high)) / 2, (math.log(high) - math.log(low)) / 6)),
    ("log1p for log", "values", lambda label, low, high: hp.loguniform(label, math.log1p(low), math.log1p(high))),
    ("bounds swapped", "values|could not|stopped|share", lambda label, low, high: hp.loguniform(label, math.log(high), math.log(low))),
    ("a number instead of an expression", "expression", lambda label, low, high: math.exp(
        np.random.default_rng(0).uniform(math.log(low), math.log(high)))),
    ("a grid of four", "share", lambda label, low, high: scope.float(hp.choice(label, list(np.geomspace(low, high, 4))))),
    ("only the lower half", "share below|share", lambda label, low, high: hp.loguniform(
        label, math.log(low), (math.log(low) + math.log(high)) / 2)),
):  # fmt: skip
    wrong("learning_rate_space", mistake, says=says)(make)


# --- best_settings


def drawn_by(trial):
    return {label: values[0] for label, values in trial["misc"]["vals"].items() if values}


def usable(trials):
    done = [t for t in trials.trials if t["result"]["status"] == STATUS_OK and math.isfinite(t["result"]["loss"])]
    if not done:
        raise ValueError("no trial")
    return done


def loss_of(trial):
    return trial["result"]["loss"]


for mistake, says, pick in (
    ("indices instead of values", "space_eval", lambda space, trials: drawn_by(min(usable(trials), key=loss_of))),
    ("the highest loss", "Lowest|trial", lambda space, trials: space_eval(space, drawn_by(max(usable(trials), key=loss_of)))),
    ("the last trial", "Lowest|trial", lambda space, trials: space_eval(space, drawn_by(usable(trials)[-1]))),
    ("the first trial", "Lowest|trial", lambda space, trials: space_eval(space, drawn_by(usable(trials)[0]))),
    ("the last of equals", "first of equals", lambda space, trials: space_eval(
        space, drawn_by(min(reversed(usable(trials)), key=loss_of)))),
    ("the lowest absolute value", "negative losses", lambda space, trials: space_eval(
        space, drawn_by(min(usable(trials), key=lambda t: abs(loss_of(t)))))),
    ("the whole trial, not its settings", "expected", lambda space, trials: min(usable(trials), key=loss_of)),
    ("lists of one value", "space_eval|stopped", lambda space, trials: space_eval(
        space, dict(min(usable(trials), key=loss_of)["misc"]["vals"]))),
    ("asks failed trials for their loss", "failed|stopped", lambda space, trials: space_eval(
        space, drawn_by(min(trials.trials, key=loss_of)))),
    ("nan wins when it comes first", "nan", lambda space, trials: space_eval(space, drawn_by(min(
        [t for t in trials.trials if t["result"]["status"] == STATUS_OK] or usable(trials), key=loss_of)))),
    ("nan left out, -inf not", "-inf", lambda space, trials: space_eval(space, drawn_by(min(
        [t for t in trials.trials if t["result"]["status"] == STATUS_OK and not math.isnan(loss_of(t))] or usable(trials),
        key=loss_of)))),
    ("failed trials removed, then counted as before", "trial", lambda space, trials: space_eval(
        space, drawn_by(trials.trials[int(np.argmin([loss_of(t) for t in usable(trials)]))]))),
    ("numbers rounded for reading", "numbers stay|space_eval", lambda space, trials: {
        k: round(v, 3) if isinstance(v, float) else v for k, v in best_settings(space, trials).items()}),
    ("settings and loss", "expected", lambda space, trials: (best_settings(space, trials), min(map(loss_of, usable(trials))))),
):  # fmt: skip
    wrong("best_settings", mistake, says=says)(pick)


@wrong("best_settings", "an empty dict when nothing is left", says="a ValueError")
def nothing(space, trials):
    try:
        return best_settings(space, trials)
    except ValueError:
        return {}


# --- stop_when_stuck

wrong("stop_when_stuck", "hyperopt's own, which falls over failed trials", says="trials made|stopped")(no_progress_loss)


def counting(mistake, says, stop_of):
    """stop_of(results, patience): whether to stop, from all results."""

    def make(patience):
        return lambda trials, *state: (stop_of(trials.results, patience), [])

    wrong("stop_when_stuck", mistake, says=says)(make)


def stuck_for(results, *, start=math.inf, better=lambda new, low: new < low, ok=math.isfinite):
    lowest, stuck = start, 0
    for result in results:
        loss = result["loss"] if result["status"] == STATUS_OK else math.inf
        lowest, stuck = (loss, 0) if ok(loss) and better(loss, lowest) else (lowest, stuck + 1)
    return stuck


def finite_losses(results):
    return [r["loss"] for r in results if r["status"] == STATUS_OK and math.isfinite(r["loss"])]


for mistake, says, rule in (
    ("one trial too many", "trials made", lambda r, p: stuck_for(r) > p),
    ("one trial too few", "trials made", lambda r, p: stuck_for(r) >= p - 1 and len(r) > 1),
    ("equal counts as progress", "equal losses", lambda r, p: stuck_for(r, better=lambda a, b: a <= b) >= p),
    ("progress must be 1 %", "tiny progress|negative|trials made", lambda r, p: stuck_for(
        r, better=lambda a, b: a < b - 0.01 * abs(b) if b < math.inf else True) >= p),
    ("starts from a lowest loss of 0", "steady progress", lambda r, p: stuck_for(r, start=0.0) >= p),
    ("-inf is progress", "-inf", lambda r, p: stuck_for(r, ok=lambda v: not math.isnan(v)) >= p),
    ("failed trials do not count", "failed", lambda r, p: stuck_for([x for x in r if x["status"] == STATUS_OK]) >= p),
    ("nan does not count", "nan", lambda r, p: stuck_for(
        [x for x in r if x["status"] != STATUS_OK or not math.isnan(x["loss"])]) >= p),
    ("asks failed trials for their loss", "failed|stopped", lambda r, p: stuck_for(
        [{"status": STATUS_OK, "loss": x["loss"]} for x in r]) >= p),
    ("counts from the start", "trials made", lambda r, p: len(r) > p),
    ("never stops", "no progress", lambda r, p: False),
    ("stops when it makes progress", "trials made", lambda r, p: stuck_for(r) < p),
    ("nothing succeeded yet: waits", "all trials failed|first trials failed", lambda r, p: bool(finite_losses(r)) and stuck_for(r) >= p),
    ("compares with the trial before only", "below the trial before", lambda r, p: len(r) > p and all(
        not (b.get("loss", math.inf) < a.get("loss", math.inf)) for a, b in zip(r[-p - 1 :], r[-p:], strict=False))),
):  # fmt: skip
    counting(mistake, says, rule)


@wrong("stop_when_stuck", "a counter that survives the search", says="trials made")
def remembers(patience):
    lowest, stuck = math.inf, 0

    def stop(trials, *state):
        nonlocal lowest, stuck
        result = trials.results[-1]
        loss = result["loss"] if result["status"] == STATUS_OK else math.inf
        lowest, stuck = (loss, 0) if -math.inf < loss < lowest else (lowest, stuck + 1)
        return stuck >= patience, []

    return stop


wrong("stop_when_stuck", "returns the decision alone", says="stopped|could not|called|unpack")(
    lambda patience: lambda trials, *state: stop_when_stuck(patience)(trials)[0]
)
wrong("stop_when_stuck", "calls the inner function", says="a function")(lambda patience: (False, []))

# --- good_probability


def quiet(formula):
    def probability(log_good, log_bad, gamma):
        with np.errstate(all="ignore"):
            return formula(np.asarray(log_good, float), np.asarray(log_bad, float), gamma)

    return probability


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


for mistake, says, formula in (
    ("the densities themselves", "logarithms near", lambda lg, lb, a: a * np.exp(lg) / (a * np.exp(lg) + (1 - a) * np.exp(lb))),
    ("the ratio, not the probability", "expected", lambda lg, lb, a: np.exp(lg - lb)),
    ("gamma left out", "l = g everywhere", lambda lg, lb, a: sigmoid(lg - lb)),
    ("good and bad swapped", "expected", lambda lg, lb, a: sigmoid(math.log(a / (1 - a)) + lb - lg)),
    ("gamma the wrong way round", "expected", lambda lg, lb, a: sigmoid(math.log((1 - a) / a) + lg - lb)),
    ("probability of being bad", "expected", lambda lg, lb, a: sigmoid(math.log((1 - a) / a) + lb - lg)),
    ("logarithm of the odds", "expected", lambda lg, lb, a: math.log(a / (1 - a)) + lg - lb),
    ("the logarithms in place of the densities", "expected", lambda lg, lb, a: a * lg / (a * lg + (1 - a) * lb)),
    ("divides by g only", "expected", lambda lg, lb, a: a * np.exp(lg) / ((1 - a) * np.exp(lb))),
    ("expected improvement, without the gamma above", "expected", lambda lg, lb, a: 1 / (a + (1 - a) * np.exp(lb - lg))),
    ("prior missing below", "expected", lambda lg, lb, a: a * sigmoid(lg - lb)),
    ("powers of ten", "gamma 0.2: even|expected", lambda lg, lb, a: 1 / (1 + (1 - a) / a * 10.0 ** (lb - lg))),
    ("one number, the mean", "expected", lambda lg, lb, a: np.mean(sigmoid(math.log(a / (1 - a)) + lg - lb))),
    ("shifted by one maximum only", "expected", lambda lg, lb, a: a * np.exp(lg - lg.max()) / (
        a * np.exp(lg - lg.max()) + (1 - a) * np.exp(lb - lb.max()))),
    ("clips the difference at 20", "apart|0 in one", lambda lg, lb, a: sigmoid(math.log(a / (1 - a)) + np.clip(lg - lb, -20, 20))),
):  # fmt: skip
    wrong("good_probability", mistake, says=says)(quiet(formula))


@wrong("good_probability", "works in the caller's array", says="as it was")
def in_place(log_good, log_bad, gamma):
    log_good -= log_bad
    return sigmoid(math.log(gamma / (1 - gamma)) + log_good)


# --- train_config: one part of the training at a time


class Parts:
    """A right answer in overridable pieces."""

    def net(self, c, seed):
        return MLP([int(c["width"])] * c["depth"], dropout=c["dropout"], seed=seed)

    def loader(self, c, data, seed):
        augment = augmentation(c["shift"])
        return data.train.batches(c["batch_size"], shuffle=True, seed=seed, augment=augment)

    def judge(self, data):
        return data.val.batches(1000)

    def optimizer(self, c):
        return optimizer_maker(c["optimizer"], c["lr"], c["weight_decay"])

    def schedule(self, c, epochs, loader):
        return schedule_for(c["schedule"], c["lr"], epochs * len(loader))

    def epochs(self, epochs):
        return epochs

    def fit_seed(self, seed):
        return seed

    def result(self, net, history):
        return net, history

    def hook(self, on_epoch):
        return on_epoch

    def __call__(self, config, data, epochs, *, seed=0, progress=False, on_epoch=None):
        net, loader = self.net(config, seed), self.loader(config, data, seed)
        history = fit(
            net, loader, self.judge(data), self.epochs(epochs), optimizer=self.optimizer(config),
            schedule=self.schedule(config, epochs, loader), seed=self.fit_seed(seed), progress=progress,
            on_epoch=self.hook(on_epoch),
        )  # fmt: skip
        return self.result(net, history)


def other(mistake, says, **pieces):
    made = type("Other", (Parts,), {name: staticmethod(piece) for name, piece in pieces.items()})
    wrong("train_config", mistake, says=says)(made())


other("dropout lost", "dropout rates", net=lambda c, seed: MLP([int(c["width"])] * c["depth"], seed=seed))
other("width lost", "weight matrices", net=lambda c, seed: MLP([100] * c["depth"], dropout=c["dropout"], seed=seed))
other("depth lost", "weight matrices", net=lambda c, seed: MLP(int(c["width"]), dropout=c["dropout"], seed=seed))
other(
    "a width of 16.0 is not made whole",
    "stopped",
    net=lambda c, seed: MLP([c["width"]] * c["depth"], dropout=c["dropout"], seed=seed),
)
other(
    "first weights not seeded",
    "same seed",
    net=lambda c, seed: MLP([int(c["width"])] * c["depth"], dropout=c["dropout"]),
)
other("the same first weights for every seed", "different seeds", net=lambda c, seed: MLP(
    [int(c["width"])] * c["depth"], dropout=c["dropout"], seed=0), fit_seed=lambda seed: 0,
    loader=lambda c, data, seed: data.train.batches(c["batch_size"], shuffle=True, augment=augmentation(c["shift"])))  # fmt: skip
other("batch size lost", "batch", loader=lambda c, data, seed: data.train.batches(
    128, shuffle=True, seed=seed, augment=augmentation(c["shift"])))  # fmt: skip
other("not shuffled", "order", loader=lambda c, data, seed: data.train.batches(
    c["batch_size"], seed=seed, augment=augmentation(c["shift"])))  # fmt: skip
other(
    "shift lost", "shift 2", loader=lambda c, data, seed: data.train.batches(c["batch_size"], shuffle=True, seed=seed)
)
other("shifts always", "shift 0", loader=lambda c, data, seed: data.train.batches(
    c["batch_size"], shuffle=True, seed=seed, augment=augmentation(2)))  # fmt: skip
other("seed does not reach the order", "order of the images", loader=lambda c, data, seed: data.train.batches(
    c["batch_size"], shuffle=True, augment=augmentation(c["shift"])))  # fmt: skip
other("trains on the validation images", "data.val|images of one epoch|sizes", loader=lambda c, data, seed: data.val.batches(
    c["batch_size"], shuffle=True, seed=seed, augment=augmentation(c["shift"])))  # fmt: skip
other("judged by the test images", "test images", judge=lambda data: data.test().batches(1000))
other("judged by the training images", "judged by", judge=lambda data: data.train.batches(1000))
other(
    "judged by half of the validation images",
    "judged by",
    judge=lambda data: data.val.where(data.val.labels < 5).batches(1000),
)
other("weight decay lost", "weight_decay", optimizer=lambda c: optimizer_maker(c["optimizer"], c["lr"]))
other("always Adam", "class", optimizer=lambda c: optimizer_maker("adam", c["lr"], c["weight_decay"]))
other("learning rate lost", "lr", optimizer=lambda c: optimizer_maker(c["optimizer"], 1e-3, c["weight_decay"]))
other(
    "learning rate and decay swapped",
    "lr",
    optimizer=lambda c: optimizer_maker(c["optimizer"], c["weight_decay"], c["lr"]),
)
other("no schedule", "cosine", schedule=lambda c, epochs, loader: None)
other("largest rate of the schedule fixed", "largest learning rate", schedule=lambda c, epochs, loader: schedule_for(
    c["schedule"], 0.2, epochs * len(loader)))  # fmt: skip
other(
    "epochs counted as steps",
    "steps",
    schedule=lambda c, epochs, loader: schedule_for(c["schedule"], c["lr"], max(epochs, 2)),
)
other(
    "the steps of one epoch",
    "steps",
    schedule=lambda c, epochs, loader: schedule_for(c["schedule"], c["lr"], len(loader)),
)
other(
    "always cosine",
    "constant",
    schedule=lambda c, epochs, loader: schedule_for("cosine", c["lr"], epochs * len(loader)),
)
other("epochs fixed", "epochs", epochs=lambda epochs: 2)
other("returns the history first", "network", result=lambda net, history: (history, net))
other("returns the accuracy", "pair|history", result=lambda net, history: (net, history.best_accuracy))
other("returns the network alone", "pair", result=lambda net, history: net)
other("on_epoch lost", "on_epoch", hook=lambda on_epoch: None)
other("another network is returned", "returned model|weight matrices", result=lambda net, history: (
    MLP([12], seed=5), history))  # fmt: skip


@wrong("train_config", "changes the configuration", says="configuration after the call")
def changes(config, data, epochs, *, seed=0, progress=False, on_epoch=None):
    config["width"] = str(config["width"])
    return Parts()(config | {"width": float(config["width"])}, data, epochs, seed=seed, on_epoch=on_epoch)


# --- paired_gain


def gain_of(formula):
    """formula(b, c, n) -> (gain, standard error)"""

    def paired(labels, before, after):
        labels, before, after = map(np.asarray, (labels, before, after))
        n = len(labels)
        if not n or len(before) != n or len(after) != n:
            raise ValueError("lengths")
        gain, error = formula(
            float(np.sum((after == labels) & (before != labels))),
            float(np.sum((after != labels) & (before == labels))),
            n,
        )
        return gain, gain - Z_95 * error, gain + Z_95 * error

    return paired


def paired_error(b, c, n):
    return math.sqrt(max(b + c - (b - c) ** 2 / n, 0)) / n


for mistake, says, formula in (
    ("before minus after", "gain", lambda b, c, n: ((c - b) / n, paired_error(b, c, n))),
    ("n under the root only", "low", lambda b, c, n: ((b - c) / n, math.sqrt(max(b + c - (b - c) ** 2 / n, 0) / n))),
    ("the mean difference not taken off", "low", lambda b, c, n: ((b - c) / n, math.sqrt(b + c) / n)),
    ("the variance instead of its root", "low", lambda b, c, n: ((b - c) / n, paired_error(b, c, n) ** 2)),
    ("per cent", "gain", lambda b, c, n: (100 * (b - c) / n, 100 * paired_error(b, c, n))),
    ("share of the images that differ", "gain", lambda b, c, n: (
        (b - c) / max(b + c, 1), paired_error(b, c, n))),
    ("counts, not shares", "gain", lambda b, c, n: (b - c, n * paired_error(b, c, n))),
    ("wins only", "gain", lambda b, c, n: (b / n, paired_error(b, c, n))),
    ("half the width twice: 2 Z", "low", lambda b, c, n: ((b - c) / n, 2 * paired_error(b, c, n))),
    ("the absolute difference", "gain|worse", lambda b, c, n: (abs(b - c) / n, paired_error(b, c, n))),
    ("divides by the square root of n once more", "low", lambda b, c, n: ((b - c) / n, paired_error(b, c, n) / math.sqrt(n))),
):  # fmt: skip
    wrong("paired_gain", mistake, says=says)(gain_of(formula))


@wrong("paired_gain", "two independent samples", says="low")
def unpaired(labels, before, after):
    if not len(labels) == len(before) == len(after) > 0:
        raise ValueError("lengths")
    p, q, n = np.mean(before == labels), np.mean(after == labels), len(labels)
    margin = Z_95 * math.sqrt((p * (1 - p) + q * (1 - q)) / n)
    return q - p, q - p - margin, q - p + margin


@wrong("paired_gain", "every image where the two disagree", says="gain|low")
def disagreement(labels, before, after):
    if not len(labels) == len(before) == len(after) > 0:
        raise ValueError("lengths")
    n = len(labels)
    won, differ = np.sum((after == labels) & (before != after)), np.sum(before != after)
    gain = (2 * won - differ) / n
    margin = Z_95 * math.sqrt(max(differ - (2 * won - differ) ** 2 / n, 0)) / n
    return gain, gain - margin, gain + margin


@wrong("paired_gain", "lengths are not compared", says="a ValueError|stopped")
def careless(labels, before, after):
    n = min(len(labels), len(before), len(after))
    gain = (np.sum(after[:n] == labels[:n]) - np.sum(before[:n] == labels[:n])) / max(n, 1)
    differences = (after[:n] == labels[:n]).astype(float) - (before[:n] == labels[:n])
    margin = Z_95 * (differences.std() if n else 0.0) / math.sqrt(max(n, 1))
    return gain, gain - margin, gain + margin


wrong("paired_gain", "the gain alone", says="tuple")(lambda labels, before, after: gain_of(
    lambda b, c, n: ((b - c) / n, 0.0))(labels, before, after)[0])  # fmt: skip
