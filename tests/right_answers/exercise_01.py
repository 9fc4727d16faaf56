"""Honest variants of exercise 01's tasks: other algebra, loops, other caches, other ways to the same numbers."""

import math

import numpy as np

from tests.catalogue import right


def layer(forward, backward, **settings):
    """A layer class of two functions (self, x) and (self, dout, cache); settings become constructor arguments."""

    def init(self, **given):
        self.__dict__.update({**settings, **given})

    return type("Layer", (), {"__init__": init, "forward": forward, "backward": backward})


def stable(x):
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


def by_masks(x):
    out = np.empty_like(x)
    positive = x >= 0
    out[positive] = 1 / (1 + np.exp(-x[positive]))
    power = np.exp(x[~positive])
    out[~positive] = power / (1 + power)
    return out


def by_loop(x):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        v = float(x[index])
        out[index] = 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))
    return out


SIGMOIDS = {
    "np.where of two safe forms": stable,
    "one masked assignment per sign": by_masks,
    "a loop over all entries": by_loop,
    "tanh": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "logaddexp": lambda x: np.exp(-np.logaddexp(np.zeros_like(x), -x)),
    "a clipped exponent": lambda x: 1 / (1 + np.exp(-np.clip(x, -80, 80))),
    "float64 inside, narrowed at the end": lambda x: stable(x.astype(np.float64)).astype(x.dtype),
}
for name, value in SIGMOIDS.items():
    right("sigmoid", f"{name}, output cached")(
        layer(lambda self, x, f=value: (f(x),) * 2, lambda self, dout, s: dout * s * (1 - s))
    )
right("sigmoid", "input cached and the output computed again")(
    layer(lambda self, x: (stable(x), x), lambda self, dout, x: dout * stable(x) * stable(-x))
)
right("sigmoid", "s - s squared, cached in a tuple")(
    layer(lambda self, x: (stable(x), (stable(x),)), lambda self, dout, cache: dout * (cache[0] - cache[0] ** 2))
)
right("sigmoid", "the derivative cached in a dict")(
    layer(lambda self, x: (stable(x), {"slope": stable(x) * stable(-x)}), lambda self, dout, c: c["slope"] * dout)
)


RELUS = {
    "np.maximum and the mask": (lambda s, x: (np.maximum(0, x), x > 0), lambda s, d, c: d * c),
    "x times the mask, input cached": (lambda s, x: (x * (x > 0), x), lambda s, d, c: d * (c > 0)),
    "np.where, output cached": (lambda s, x: (np.where(x > 0, x, x.dtype.type(0)),) * 2, lambda s, d, c: d * (c > 0)),
    "slope 1 at exactly 0": (lambda s, x: (np.maximum(x, 0), x < 0), lambda s, d, c: np.where(c, 0, d)),
    "half of x and |x|": (lambda s, x: ((x + np.abs(x)) / 2, x), lambda s, d, c: d * (1 + np.sign(c)) / 2),
    "clip": (lambda s, x: (np.clip(x, 0, None), x), lambda s, d, c: d * np.heaviside(c, 0)),
}
for name, (forward, backward) in RELUS.items():
    right("relu", name)(layer(forward, backward))


@right("relu", "copies, then masked assignment")
class CopyRelu:
    def forward(self, x):
        out = x.copy()
        out[out < 0] = 0
        return out, x

    def backward(self, dout, cache):
        dx = dout.copy()
        dx[cache <= 0] = 0
        return dx


def elu_masks(self, x):
    out = x.copy()
    low = x <= 0
    out[low] = self.alpha * (np.exp(x[low]) - 1)
    return out, x


def elu_copy_back(self, dout, x):
    dx = dout.copy()
    dx[x <= 0] *= self.alpha * np.exp(x[x <= 0])
    return dx


ELUS = {
    "expm1": (
        lambda s, x: (np.where(x > 0, x, s.alpha * np.expm1(np.minimum(x, 0))), x),
        lambda s, d, x: d * np.where(x > 0, 1, s.alpha * np.exp(np.minimum(x, 0))),
    ),
    "exp minus 1": (
        lambda s, x: (np.where(x > 0, x, s.alpha * (np.exp(np.minimum(x, 0)) - 1)), x),
        lambda s, d, x: np.where(x > 0, d, d * s.alpha * np.exp(-np.abs(x))),
    ),
    "sum of two parts": (
        lambda s, x: (np.maximum(x, 0) + s.alpha * (np.exp(np.minimum(x, 0)) - 1), x),
        lambda s, d, x: d * (x > 0) + d * (x <= 0) * s.alpha * np.exp(np.minimum(x, 0)),
    ),
    "slope from the output: out + alpha": (
        lambda s, x: (np.where(x > 0, x, s.alpha * np.expm1(np.minimum(x, 0))),) * 2,
        lambda s, d, out: d * np.where(out > 0, 1, out + s.alpha),
    ),
    "masked assignment": (elu_masks, elu_copy_back),
}
for name, (forward, backward) in ELUS.items():
    right("elu", name)(layer(forward, backward, alpha=1.0))


@right("numeric_gradient", "copies with one entry moved")
def copies(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    for index, _ in np.ndenumerate(x):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        grad[index] = (f(up) - f(down)) / (2 * h)
    return grad


@right("numeric_gradient", "moves the entry of x itself and puts the old value back")
def in_place(f, x, h=1e-5):
    grad = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        old = x[index]
        x[index] = old + h
        above = f(x)
        x[index] = old - h
        below = f(x)
        x[index] = old
        grad[index] = (above - below) / (2 * h)
    return grad


@right("numeric_gradient", "rows of the unit matrix")
def unit_matrix(f, x, h=1e-5):
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(f(x + step) - f(x - step)) / (2 * h) for step in steps]).reshape(x.shape)


@right("numeric_gradient", "flat iteration")
def flat(f, x, h=1e-5):
    values = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        step = step.reshape(x.shape)
        values.append(0.5 * (f(x + step) - f(x - step)) / h)
    return np.reshape(values, x.shape)


@right("numeric_gradient", "divides by the distance of the two points")
def distance(f, x, h=1e-5):
    grad = np.empty(x.shape, dtype=np.float64)
    for index in np.ndindex(x.shape):
        up, down = np.array(x), np.array(x)
        up[index], down[index] = x[index] + h, x[index] - h
        grad[index] = (f(up) - f(down)) / (up[index] - down[index])
    return grad


def same_shape(a, b):
    if np.shape(a) != np.shape(b):
        raise ValueError("shapes differ")


@right("relative_error", "vectorised")
def vectorised(a, b):
    same_shape(a, b)
    return np.max(np.abs(a - b) / np.maximum(1e-8, np.maximum(np.abs(a), np.abs(b))))


@right("relative_error", "maximum.reduce")
def reduced(a, b):
    same_shape(a, b)
    return float((np.abs(a - b) / np.maximum.reduce([np.abs(a), np.abs(b), np.full(np.shape(a), 1e-8)])).max())


@right("relative_error", "a loop that keeps nan")
def loop(a, b):
    if a.shape != b.shape:
        raise ValueError(f"{a.shape} is not {b.shape}")
    errors = [abs(s - t) / max(abs(s), abs(t), 1e-8) for s, t in zip(a.ravel(), b.ravel(), strict=True)]
    return math.nan if any(math.isnan(e) for e in errors) else float(max(errors))


@right("relative_error", "stacked")
def stacked(a, b):
    same_shape(a, b)
    scale = np.stack([np.abs(a), np.abs(b)]).max(axis=0).clip(1e-8)
    return ((a - b) / scale).__abs__().max()


@right("relative_error", "where")
def chosen(a, b):
    same_shape(a, b)
    larger = np.where(np.abs(a) > np.abs(b), np.abs(a), np.abs(b))
    return np.linalg.norm(((a - b) / np.where(larger < 1e-8, 1e-8, larger)).ravel(), np.inf)


IMPOSTORS = {
    "ignores dout": lambda self, dout, x: np.cos(x),
    "uses the absolute value of dout": lambda self, dout, x: np.abs(dout) * np.cos(x),
    "uses dout squared": lambda self, dout, x: dout**2 * np.cos(x),
    "entries in reversed order": lambda self, dout, x: (dout * np.cos(x)).ravel()[::-1].reshape(x.shape),
    "the mean for every entry": lambda self, dout, x: dout * np.full_like(x, np.mean(np.cos(x))),
    "errors that cancel": lambda self, dout, x: dout * (np.cos(x) + np.linspace(-0.1, 0.1, x.size).reshape(x.shape)),
    "divides by dout": lambda self, dout, x: np.cos(x) / dout,
    "the whole gradient in the first entry": lambda self, dout, x: np.append(
        np.sum(dout * np.cos(x)), np.zeros(x.size - 1)
    ).reshape(x.shape),
}
for name, backward in IMPOSTORS.items():
    right("impostor", name)(layer(lambda self, x: (np.sin(x), x), backward))


@right("inputs_away_from_zero", "sign times distance")
def sign_times_distance(shape, rng):
    return rng.choice([-1, 1], size=shape) * rng.uniform(0.05, 3, size=shape)


@right("inputs_away_from_zero", "normal, pushed outwards")
def pushed(shape, rng):
    x = rng.standard_normal(shape)
    return x + 0.01 * np.where(x >= 0, 1, -1)


@right("inputs_away_from_zero", "normal, the small ones replaced")
def replaced(shape, rng):
    x = rng.standard_normal(shape)
    x[np.abs(x) < 0.01] = 0.5
    return x


@right("inputs_away_from_zero", "normal, the small ones drawn again")
def drawn_again(shape, rng):
    x = rng.standard_normal(shape)
    while (near := np.abs(x) < 1e-2).any():
        x[near] = rng.standard_normal(near.sum())
    return x


@right("inputs_away_from_zero", "float32, one entry at a time")
def one_at_a_time(shape, rng):
    x = np.empty(shape, dtype=np.float32)
    for index in np.ndindex(shape):
        value = rng.uniform(-2, 2)
        x[index] = value if abs(value) > 0.1 else 0.1 + abs(value)
    return x


SHORTCUTS = {
    "a product, then a sum": lambda dout, mask: dout * mask + dout,
    "one factor": lambda dout, mask: dout * (1 + mask),
    "np.where": lambda dout, mask: np.where(mask, 2 * dout, dout),
    "a list comprehension": lambda dout, mask: np.array(
        [[d + d * m for d, m in zip(*row, strict=True)] for row in zip(dout, mask, strict=True)]
    ),
}
for name, answer in SHORTCUTS.items():
    right("shortcut", name)(answer)


@right("shortcut", "a copy, then the lines as they were")
def copied(dout, mask):
    dx = dout.copy()
    dx[~mask] = 0
    return dx + dout


AFFINE_FORWARD = {
    "reshape": lambda x, w, b: (x.reshape(x.shape[0], -1) @ w + b, (x, w, b)),
    "einsum": lambda x, w, b: (np.einsum("nd,dm->nm", x.reshape(len(x), -1), w) + b, (x, w, b)),
    "dot": lambda x, w, b: (np.dot(np.reshape(x, (len(x), w.shape[0])), w) + b[np.newaxis, :], (x, w, b)),
    "transposed twice": lambda x, w, b: ((w.T @ x.reshape(len(x), -1).T).T + b, (x, w, b)),
    "sample by sample": lambda x, w, b: (np.stack([sample.ravel() @ w + b for sample in x]), (x, w, b)),
    "output by output": lambda x, w, b: (
        np.stack([x.reshape(len(x), -1) @ w[:, m] + b[m] for m in range(len(b))], axis=1),
        [x, w, b],
    ),
}
for name, answer in AFFINE_FORWARD.items():
    right("affine_forward", name)(answer)


def _rows(x):
    return x.reshape(len(x), -1)


@right("affine_backward", "all three with @")
def products(dout, cache, *, need_dx=True):
    x, w, b = cache
    dx = (dout @ w.T).reshape(x.shape) if need_dx else None
    return dx, _rows(x).T @ dout, dout.sum(axis=0)


@right("affine_backward", "does not care about need_dx")
def always(dout, cache, need_dx=True):
    x, w, b = cache
    return np.dot(dout, w.T).reshape(x.shape), np.dot(_rows(x).T, dout), np.ones(len(x), dtype=x.dtype) @ dout


@right("affine_backward", "einsum")
def einsum(dout, cache, *, need_dx=True):
    x, w, b = cache
    dx = np.einsum("nm,dm->nd", dout, w).reshape(x.shape)
    return dx, np.einsum("nd,nm->dm", _rows(x), dout), np.einsum("nm->m", dout)


@right("affine_backward", "a loop over the samples")
def samples(dout, cache, *, need_dx=True):
    x, w, b = cache
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
    for n in range(len(x)):
        dx[n] = (w @ dout[n]).reshape(x[n].shape)
        dw += np.outer(x[n], dout[n])
        db += dout[n]
    return dx, dw, db


@right("affine_backward", "an outer product summed over the batch")
def outer(dout, cache, *, need_dx=True):
    x, w, b = cache
    dw = (_rows(x)[:, :, np.newaxis] * dout[:, np.newaxis, :]).sum(axis=0)
    return (dout @ w.T).reshape(np.shape(x)), dw, np.sum(dout, 0)


DEAD = {
    "never above 0": lambda out: ~(out > 0).any(axis=0),
    "largest output is 0": lambda out: out.max(axis=0) == 0,
    "sum is 0": lambda out: out.sum(axis=0) == 0,
    "all outputs are 0": lambda out: np.all(out == 0, axis=0),
    "counts": lambda out: np.count_nonzero(out, axis=0) == 0,
    "a loop": lambda out: np.array([not any(out[n, m] > 0 for n in range(len(out))) for m in range(out.shape[1])]),
}
for name, answer in DEAD.items():
    right("dead_units", name)(answer)
