"""Typical mistakes in exercise 08."""

import numpy as np
import torch
from torch import nn

from exercise_code.labs.augmentation import turned
from exercise_code.labs.batch_norm import ShiftedNorm, fold_batch_norm, running_statistics
from exercise_code.networks.batchnorm import (
    BatchCache,
    FixedCache,
    batchnorm_backward_compact,
    batchnorm_forward,
    batchnorm_test_forward,
)
from tests.catalogue import wrong

# --- batchnorm_forward: one formula with a slot for every mistake


def forward(
    *,
    mean=lambda x: x.mean(axis=0),
    var=lambda x, mean: ((x - mean) ** 2).mean(axis=0),
    scale=lambda var, eps: 1 / np.sqrt(var + eps),
    last=lambda normal, gamma, beta: gamma * normal + beta,
    cache=BatchCache,
):
    def answer(x, gamma, beta, *, eps=1e-5):
        average = mean(x)
        spread = var(x, average)
        factor = scale(spread, eps)
        normal = (x - average) * factor
        return last(normal, gamma, beta), cache(normal, factor, gamma, average, spread)

    return answer


for mistake, says, slots in (
    ("the slide's sigma: squares the variance", "eps 3: expected|var", {"scale": lambda v, eps: 1 / np.sqrt(v**2 + eps)}),
    ("no root", "eps 3: expected", {"scale": lambda v, eps: 1 / (v + eps)}),
    ("eps outside the root", "eps 3: expected.*under the root", {"scale": lambda v, eps: 1 / (np.sqrt(v) + eps)}),
    ("no eps at all", "eps 3: expected", {"scale": lambda v, eps: 1 / np.sqrt(v)}),
    ("a fixed eps", "eps 3: expected", {"scale": lambda v, eps: 1 / np.sqrt(v + 1e-5)}),
    ("unbiased variance", "divides by N", {"var": lambda x, m: x.var(axis=0, ddof=1)}),
    ("the sum of squares, not their mean", "eps 3: expected", {"var": lambda x, m: ((x - m) ** 2).sum(axis=0)}),
    ("mean over the features", "expected|stopped|could not", {"mean": lambda x: x.mean(axis=1, keepdims=True)}),
    ("one mean for the whole batch", "Per feature|cache", {"mean": lambda x: np.full(x.shape[1], x.mean())}),
    ("mean of squares without centring", "eps 3: expected", {"var": lambda x, m: (x**2).mean(axis=0)}),
    ("forgets beta", "random gamma and beta", {"last": lambda n, g, b: g * n}),
    ("forgets gamma", "random gamma and beta", {"last": lambda n, g, b: n + b}),
    ("beta before gamma", "random gamma and beta", {"last": lambda n, g, b: g * (n + b)}),
    ("E[x^2] - E[x]^2", "2,000", {"var": lambda x, m: (x**2).mean(axis=0) - m**2}),
    ("no cache", "BatchCache", {"cache": lambda *parts: None}),
    ("the standard deviation for its inverse in the cache", "inverse_std", {"cache": lambda n, f, g, m, v: BatchCache(n, 1 / f, g, m, v)}),
    ("float64 whatever comes in", "float32", {"last": lambda n, g, b: (g * n + b).astype(np.float64)}),
):  # fmt: skip
    wrong("batchnorm_forward", mistake, says=says)(forward(**slots))


@wrong("batchnorm_forward", "returns the output only", says="pair")
def no_pair(x, gamma, beta, *, eps=1e-5):
    return batchnorm_forward(x, gamma, beta, eps=eps)[0]


@wrong("batchnorm_forward", "centres x in place", says="as it was")
def in_place(x, gamma, beta, *, eps=1e-5):
    out, cache = batchnorm_forward(x, gamma, beta, eps=eps)
    x -= cache.mean
    return out, cache


@wrong("batchnorm_forward", "keeps the scaled values in the cache", says="cache.normalized")
def scaled_cache(x, gamma, beta, *, eps=1e-5):
    out, cache = batchnorm_forward(x, gamma, beta, eps=eps)
    return out, cache._replace(normalized=out)


# --- the two backward passes


def backward(dx, dgamma=None, dbeta=None):
    def answer(dout, cache):
        right = batchnorm_backward_compact(dout, cache)
        return (
            right[0] if dx is None else dx(dout, cache, len(dout), *right[1:]),
            right[1] if dgamma is None else dgamma(dout, cache),
            right[2] if dbeta is None else dbeta(dout, cache),
        )

    return answer


GRADIENT_MISTAKES = (
    ("as if mean and variance were constants", "dx", (lambda do, c, N, dg, db: do * c.gamma * c.inverse_std,)),
    ("leaves out the way through the mean", "dx", (lambda do, c, N, dg, db: c.gamma * c.inverse_std * (do - c.normalized * dg / N),)),
    ("leaves out the way through the variance", "dx", (lambda do, c, N, dg, db: c.gamma * c.inverse_std * (do - db / N),)),
    ("forgets gamma", "dx", (lambda do, c, N, dg, db: c.inverse_std * (do - db / N - c.normalized * dg / N),)),
    ("forgets the division by N", "dx", (lambda do, c, N, dg, db: c.gamma * c.inverse_std * (do - db - c.normalized * dg),)),
    ("divides everything by N", "dx", (lambda do, c, N, dg, db: c.gamma * c.inverse_std / N * (do - db / N - c.normalized * dg / N),)),
    ("adds the projections", "dx", (lambda do, c, N, dg, db: c.gamma * c.inverse_std * (do + db / N + c.normalized * dg / N),)),
    ("N - 1 for N", "dx", (lambda do, c, N, dg, db: c.gamma * c.inverse_std * (do - db / N - c.normalized * dg / (N - 1)),)),
    ("multiplies by the standard deviation", "dx", (lambda do, c, N, dg, db: c.gamma / c.inverse_std * (do - db / N - c.normalized * dg / N),)),
    ("dgamma from the output scale", "dgamma", (None, lambda do, c: (do * c.normalized * c.gamma).sum(0))),
    ("mean instead of sum for dgamma", "dgamma", (None, lambda do, c: (do * c.normalized).mean(0))),
    ("dgamma not summed", "dgamma", (None, lambda do, c: do * c.normalized)),
    ("dgamma without normalized", "dgamma", (None, lambda do, c: do.sum(0))),
    ("mean instead of sum for dbeta", "dbeta", (None, None, lambda do, c: do.mean(0))),
    ("dbeta times gamma", "dbeta", (None, None, lambda do, c: (do * c.gamma).sum(0))),
    ("sums over the features", "dbeta", (None, None, lambda do, c: do.sum(1))),
)  # fmt: skip
for mistake, says, slots in GRADIENT_MISTAKES:
    for task in ("batchnorm_backward", "compact_backward"):
        wrong(task, mistake, says=says)(backward(*slots))


@wrong("batchnorm_backward", "subtracts from dout in place", says="as it was")
@wrong("compact_backward", "subtracts from dout in place", says="as it was")
def dout_in_place(dout, cache):
    result = batchnorm_backward_compact(dout, cache)
    dout -= dout.mean(axis=0)
    return result


@wrong("batchnorm_backward", "returns dx only", says="tuple")
@wrong("compact_backward", "returns dx only", says="tuple")
def dx_only(dout, cache):
    return batchnorm_backward_compact(dout, cache)[0]


@wrong("compact_backward", "works var out again from the cache", says="dx|normalized, inverse_std and gamma only")
def with_var(dout, cache):
    dx, dgamma, dbeta = batchnorm_backward_compact(dout, cache)
    return dx / cache.inverse_std / np.sqrt(cache.var + 1e-5), dgamma, dbeta


# --- batchnorm_test_time


def test_time(
    scale=lambda var, eps: 1 / np.sqrt(var + eps), center=lambda x, mean: x - mean, last=None, cache=FixedCache
):
    last = last or (lambda normal, gamma, beta: gamma * normal + beta)

    def answer(x, gamma, beta, mean, var, *, eps=1e-5):
        factor = scale(var, eps)
        normal = center(x, mean) * factor
        return last(normal, gamma, beta), cache(normal, factor, gamma)

    return answer


for mistake, says, slots in (
    ("leaves eps out, as code in circulation", "eps", {"scale": lambda v, eps: 1 / np.sqrt(v)}),
    ("eps outside the root", "eps", {"scale": lambda v, eps: 1 / (np.sqrt(v) + eps)}),
    ("a fixed eps", "eps 1", {"scale": lambda v, eps: 1 / np.sqrt(v + 1e-5)}),
    ("takes var for the standard deviation", "eps", {"scale": lambda v, eps: 1 / (v + eps)}),
    ("squares the variance", "eps", {"scale": lambda v, eps: 1 / np.sqrt(v**2 + eps)}),
    ("the batch's mean", "mean 1|Neither the batch", {"center": lambda x, m: x - x.mean(axis=0)}),
    ("forgets the mean", "mean 1", {"center": lambda x, m: x}),
    ("adds the mean", "mean 1", {"center": lambda x, m: x + m}),
    ("forgets beta", "Neither|expected", {"last": lambda n, g, b: g * n}),
    ("forgets gamma", "expected", {"last": lambda n, g, b: n + b}),
    ("swaps gamma and beta", "expected", {"last": lambda n, g, b: b * n + g}),
    ("float64 whatever comes in", "float32", {"last": lambda n, g, b: (g * n + b).astype(np.float64)}),
    ("no cache", "FixedCache", {"cache": lambda *parts: None}),
    ("the standard deviation in the cache", "inverse_std", {"cache": lambda n, f, g: FixedCache(n, 1 / f, g)}),
):  # fmt: skip
    wrong("batchnorm_test_time", mistake, says=says)(test_time(**slots))


@wrong("batchnorm_test_time", "normalises by the batch, as in training", says="mean 1")
def as_in_training(x, gamma, beta, mean, var, *, eps=1e-5):
    normal = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    return gamma * normal + beta, FixedCache(normal, 1 / np.sqrt(x.var(axis=0) + eps), gamma)


@wrong("batchnorm_test_time", "moves the running mean", says="as it was")
def moves(x, gamma, beta, mean, var, *, eps=1e-5):
    result = batchnorm_test_forward(x, gamma, beta, mean, var, eps=eps)
    mean *= 0.9
    return result


# --- running_statistics


def running(move, spread=lambda batch: batch.var(0), center=lambda batch: batch.mean(0)):
    def answer(mean, var, batch, momentum=0.1):
        batch = batch.detach()
        return move(mean, center(batch), momentum), move(var, spread(batch), momentum)

    return answer


def right_move(old, new, momentum):
    return (1 - momentum) * old + momentum * new


for mistake, says, answer in (
    ("the other convention: momentum keeps the old", "mean: expected", running(lambda o, n, m: m * o + (1 - m) * n)),
    ("biased variance", "N - 1", running(right_move, spread=lambda b: b.var(0, unbiased=False))),
    ("the standard deviation", "var: expected", running(right_move, spread=lambda b: b.std(0))),
    ("one variance for all features", "var", running(right_move, spread=lambda b: b.var().expand(b.shape[1]))),
    ("mean over the features", "expected|stopped|could not", running(right_move, center=lambda b: b.mean(1))),
    ("replaces instead of moving", "mean: expected", running(lambda o, n, m: n)),
    ("adds without forgetting", "var: expected|mean", running(lambda o, n, m: o + m * n)),
    ("moves away from the batch", "mean: expected", running(lambda o, n, m: o - m * (n - o))),
    ("a fixed momentum", "momentum 0.3|momentum", running(lambda o, n, m: 0.9 * o + 0.1 * n)),
    ("never moves", "mean: expected", running(lambda o, n, m: o.clone())),
    ("sum of squares", "var: expected", running(right_move, spread=lambda b: ((b - b.mean(0)) ** 2).sum(0))),
    ("variance around the running mean of 0", "var: expected", running(right_move, spread=lambda b: (b**2).mean(0))),
):
    wrong("running_statistics", mistake, says=says)(answer)


@wrong("running_statistics", "changes the old statistics in place", says="as they were")
def running_in_place(mean, var, batch, momentum=0.1):
    mean.mul_(1 - momentum).add_(momentum * batch.detach().mean(0))
    var.mul_(1 - momentum).add_(momentum * batch.detach().var(0))
    return mean, var


@wrong("running_statistics", "keeps the graph", says="graph")
def running_graph(mean, var, batch, momentum=0.1):
    return right_move(mean, batch.mean(0), momentum), right_move(var, batch.var(0), momentum)


@wrong("running_statistics", "returns the mean only", says="pair")
def running_mean_only(mean, var, batch, momentum=0.1):
    return running_statistics(mean, var, batch, momentum)[0]


# --- fold_batch_norm


def fold(
    factor=lambda norm: norm.weight / torch.sqrt(norm.running_var + norm.eps),
    weight=lambda w, f: w * f[:, None],
    bias=lambda b, f, norm: norm.bias + (b - norm.running_mean) * f,
):
    def answer(linear, norm):
        new = nn.Linear(linear.in_features, linear.out_features)
        start = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
        with torch.no_grad():
            f = factor(norm)
            new.weight.copy_(weight(linear.weight, f))
            new.bias.copy_(bias(start, f, norm))
        return new

    return answer


for mistake, slots in (
    ("forgets eps", {"factor": lambda n: n.weight / n.running_var.sqrt()}),
    ("a fixed eps", {"factor": lambda n: n.weight / (n.running_var + 1e-5).sqrt()}),
    ("no root", {"factor": lambda n: n.weight / (n.running_var + n.eps)}),
    ("forgets gamma", {"factor": lambda n: 1 / (n.running_var + n.eps).sqrt()}),
    ("multiplies by the standard deviation", {"factor": lambda n: n.weight * (n.running_var + n.eps).sqrt()}),
    ("weights as they were", {"weight": lambda w, f: w}),
    ("forgets beta", {"bias": lambda b, f, n: (b - n.running_mean) * f}),
    ("beta scaled, too", {"bias": lambda b, f, n: (n.bias + b - n.running_mean) * f}),
    ("mean not scaled", {"bias": lambda b, f, n: n.bias + b * f - n.running_mean}),
    ("old bias not scaled", {"bias": lambda b, f, n: n.bias + b - n.running_mean * f}),
    ("forgets the old bias", {"bias": lambda b, f, n: n.bias - n.running_mean * f}),
    ("adds the mean", {"bias": lambda b, f, n: n.bias + (b + n.running_mean) * f}),
):
    wrong("fold_batch_norm", mistake, says="expected")(fold(**slots))


@wrong("fold_batch_norm", "changes the old layer", says="as they were")
def fold_in_place(linear, norm):
    new = fold_batch_norm(linear, norm)
    linear.weight.data = new.weight.data
    return new


@wrong("fold_batch_norm", "scales the columns", says="stopped|expected")
def fold_columns(linear, norm):
    return fold(weight=lambda w, f: w * f)(linear, norm)


@wrong("fold_batch_norm", "returns both as a Sequential", says="nn.Linear")
def fold_sequential(linear, norm):
    return nn.Sequential(linear, norm)


@wrong("fold_batch_norm", "no bias where there was none", says="bias")
def fold_no_bias(linear, norm):
    new = fold_batch_norm(linear, norm)
    if linear.bias is None:
        new.bias = None
    return new


@wrong("fold_batch_norm", "switches the norm to evaluation for good", says="as they were")
def fold_eval(linear, norm):
    norm.eval()
    return fold_batch_norm(linear, norm)


# --- shifted_norm


def shifted(change, *, always=False):
    def forward(self, x):
        out = self.norm(x)
        return change(out, self.strength) if self.training or always else out

    return type("Shifted", (ShiftedNorm,), {"forward": forward})


def rand(out):
    return torch.rand(out.shape[1])


for mistake, says, change in (
    ("one factor for all features", "one for each feature", lambda o, s: (1 + s * torch.rand(())) * o + s * (2 * rand(o) - 1)),
    ("one shift for all features", "one for each feature", lambda o, s: (1 + s * rand(o)) * o + s * (2 * torch.rand(()) - 1)),
    ("another draw for every sample", "same for all samples", lambda o, s: (1 + s * torch.rand_like(o)) * o + s * (2 * rand(o) - 1)),
    ("one draw for each sample, not feature", "same for all samples", lambda o, s: (1 + s * torch.rand(len(o), 1)) * o + s * (2 * rand(o) - 1)),
    ("no shift", "shifts", lambda o, s: (1 + s * rand(o)) * o),
    ("no factor", "factors", lambda o, s: o + s * (2 * rand(o) - 1)),
    ("shifts upwards only", "shifts", lambda o, s: (1 + s * rand(o)) * o + s * rand(o)),
    ("factors around 1", "factors", lambda o, s: (1 + s * (rand(o) - 0.5)) * o + s * (2 * rand(o) - 1)),
    ("factors from 0", "factors", lambda o, s: s * rand(o) * o + s * (2 * rand(o) - 1)),
    ("normal shifts", "shifts", lambda o, s: (1 + s * rand(o)) * o + s * torch.randn(o.shape[1])),
    ("forgets the strength", "factors|shifts", lambda o, s: (1 + rand(o)) * o + (2 * rand(o) - 1)),
    ("shifts half as far", "shifts", lambda o, s: (1 + s * rand(o)) * o + s * (rand(o) - 0.5)),
    ("detaches", "gradient|stopped", lambda o, s: (1 + s * rand(o)) * o.detach() + s * (2 * rand(o) - 1)),
):  # fmt: skip
    wrong("shifted_norm", mistake, says=says)(shifted(change))


@wrong("shifted_norm", "one draw for both", says="apart")
class OneDraw(ShiftedNorm):
    def forward(self, x):
        out = self.norm(x)
        draw = rand(out)
        return (1 + self.strength * draw) * out + self.strength * (2 * draw - 1) if self.training else out


wrong("shifted_norm", "shifts in evaluation, too", says="evaluation")(
    shifted(lambda o, s: (1 + s * rand(o)) * o + s * (2 * rand(o) - 1), always=True)
)


@wrong("shifted_norm", "draws once, when it is made", says="others at every call")
class DrawnOnce(ShiftedNorm):
    def __init__(self, features, strength=1.0):
        super().__init__(features, strength)
        self.factor, self.shift = torch.rand(2, features)

    def forward(self, x):
        out = self.norm(x)
        return (1 + self.strength * self.factor) * out + self.strength * (2 * self.shift - 1) if self.training else out


@wrong("shifted_norm", "shifts in front of the norm, which takes it away", says="factor|shift")
class InFront(ShiftedNorm):
    def forward(self, x):
        if not self.training:
            return self.norm(x)
        return self.norm((1 + self.strength * rand(x)) * x + self.strength * (2 * rand(x) - 1))


@wrong("shifted_norm", "runs the norm twice", says="once")
class Twice(ShiftedNorm):
    def forward(self, x):
        self.norm(x)
        return super().forward(x)


# --- turned


def coins(images, random, *shape):
    return torch.rand(*shape, generator=random) < 0.5


def chain(*changes):
    """Each change with a coin per image."""

    def answer(images, random):
        for change in changes:
            images = torch.where(coins(images, random, len(images), 1, 1, 1), change(images), images)
        return images

    return answer


def left_right(images):
    return images.flip(3)


def top_bottom(images):
    return images.flip(2)


def swapped(images):
    return images.transpose(2, 3)


for mistake, answer in (
    ("mirrors left and right only", chain(left_right)),
    ("no quarter turns", chain(left_right, top_bottom)),
    ("half of the symmetries: swap and one mirror at the end only", chain(swapped)),
    ("mirrors and then turns back", chain(left_right, swapped, swapped)),
    ("three of the quarter turns", lambda images, random: torch.rot90(images, 1, (2, 3))),
    ("one draw for the whole batch", lambda images, random: torch.rot90(images, int(torch.randint(4, (), generator=random)), (2, 3))),
    ("does nothing", lambda images, random: images.clone()),
):  # fmt: skip
    wrong("turned", mistake, says="how often|likely")(answer)


@wrong("turned", "the coin for the swap is the coin of the mirror", says="how often")
def same_coin(images, random):
    coin = coins(images, random, len(images), 1, 1, 1)
    images = torch.where(coin, images.flip(3), images)
    return torch.where(coin, images.transpose(2, 3), images)


@wrong("turned", "flips the batch", says="another kind|how often|likely")
def flips_batch(images, random):
    return turned(images, random).flip(0)[: len(images) // 2].repeat(2, 1, 1, 1)[:, :1].repeat(1, 2, 1, 1)


wrong("turned", "reverses the channels as well", says="channels")(
    chain(lambda images: images.flip(1), left_right, swapped)
)
wrong("turned", "a coin per row of pixels", says="another kind")(
    lambda images, random: torch.where(
        coins(images, random, len(images), 1, images.shape[2], 1), images.flip(3), images
    )
)
wrong("turned", "a coin per channel", says="another kind")(
    lambda images, random: torch.where(coins(images, random, *images.shape[:2], 1, 1), images.flip(3), images)
)


@wrong("turned", "torch's shared generator", says="generator")
def shared(images, random):
    return turned(images, torch.Generator().manual_seed(int(torch.randint(2**31, ()))))


@wrong("turned", "a seed of its own", says="generator")
def fixed(images, random):
    return turned(images, torch.Generator().manual_seed(0))


@wrong("turned", "a coin with the wrong bias", says="how often")
def biased(images, random):
    for change in (left_right, top_bottom, swapped):
        coin = torch.rand(len(images), 1, 1, 1, generator=random) < 0.1
        images = torch.where(coin, change(images), images)
    return images


@wrong("turned", "turns in place", says="as they were|another kind|stopped")
def turned_in_place(images, random):
    images.copy_(turned(images, random))
    return images


@wrong("turned", "moves the channels last", says="shape")
def channels_last(images, random):
    return turned(images, random).permute(0, 2, 3, 1)
