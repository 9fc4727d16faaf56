"""Typical mistakes in exercise 01; most families are one right layer with one thing changed."""

import math

import numpy as np

from tests.catalogue import wrong


def layer(forward, backward, **settings):
    """A layer class of two functions (self, x) and (self, dout, cache); settings become constructor arguments."""

    def init(self, **given):
        self.__dict__.update({**settings, **given})

    return type("Layer", (), {"__init__": init, "forward": forward, "backward": backward})


def stable(x):
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


def one_line(x):
    return 1 / (1 + np.exp(-x))


def into_dout(factor):
    def backward(self, dout, cache):
        dout *= factor(self, cache)
        return dout

    return backward


def into_cache(self, dout, s):
    s *= 1 - s
    return dout * s


# ---- sigmoid -------------------------------------------------------------------------------------------------------

SIGMOID_BACKWARD = {
    "forgets the factor (1 - s)": (lambda self, d, s: d * s, "backward: expected .* chain rule"),
    "forgets the factor s": (lambda self, d, s: d * (1 - s), "backward: expected .* chain rule"),
    "forgets dout": (lambda self, d, s: s * (1 - s), "backward: expected .* chain rule"),
    "wrong sign": (lambda self, d, s: -d * s * (1 - s), "backward: expected .* chain rule"),
    "derivative of tanh": (lambda self, d, s: d * (1 - s**2), "backward: expected .* chain rule"),
    "adds dout": (lambda self, d, s: d + s * (1 - s), "backward: expected .* chain rule"),
    "matrix product instead of entry by entry": (lambda self, d, s: d @ (s * (1 - s)).T, "backward: expected shape"),
    "builds the Jacobian of the flattened input": (
        lambda self, d, s: np.diag((s * (1 - s)).ravel()) @ d.ravel(),
        "backward: expected shape",
    ),
    "mean over the batch": (lambda self, d, s: (d * s * (1 - s)).mean(axis=0), "backward: expected shape"),
    "writes into dout": (into_dout(lambda self, s: s * (1 - s)), "a changed dout"),
    "writes into the cache": (into_cache, "called twice"),
    "no return": (lambda self, d, s: None, "backward: expected .* got None"),
    "widens to float64": (lambda self, d, s: d * np.float64(1) * s.astype(np.float64) * (1 - s), "backward.* float32"),
}
for name, (backward, says) in SIGMOID_BACKWARD.items():
    wrong("sigmoid", name, says=says)(layer(lambda self, x: (stable(x),) * 2, backward))

SIGMOID_FORWARD = {
    "the formula as it is printed": (one_line, "no overflow on the way"),
    "np.where of both formulas, each computed everywhere": (
        lambda x: np.where(x >= 0, one_line(x), np.exp(x) / (1 + np.exp(x))),
        "no overflow on the way",
    ),
    "only the form for negative x": (lambda x: np.exp(x) / (1 + np.exp(x)), "-1000 and 1000: expected 1 .* got nan"),
    "an exponent clipped for float64 only": (lambda x: 1 / (1 + np.exp(-np.clip(x, -500, 500))), "overflow"),
    "clipped far too early": (lambda x: stable(np.clip(x, -2, 2)), "forward: expected"),
    "sign of the exponent": (lambda x: stable(-x), "forward: expected"),
    "minus one": (lambda x: 1 / (stable(x) - 1), "forward: expected"),
    "tanh": (np.tanh, "forward: expected"),
    "the other branch for negative x": (
        lambda x: 1 / (1 + np.exp(-np.abs(x))),
        "forward: expected",
    ),
    "always float64": (lambda x: stable(x.astype(np.float64)), "forward: expected float32"),
}
for name, (forward, says) in SIGMOID_FORWARD.items():
    wrong("sigmoid", name, says=says)(layer(lambda self, x, f=forward: (f(x),) * 2, lambda self, d, s: d * s * (1 - s)))

wrong("sigmoid", "caches the input and treats it as the output", says="backward: expected")(
    layer(lambda self, x: (stable(x), x), lambda self, d, s: d * s * (1 - s))
)
wrong("sigmoid", "no cache", says=r"a pair \(out, cache\)")(
    layer(lambda self, x: stable(x), lambda self, d, s: d * s * (1 - s))
)


def keep_in_self(self, x):
    self.out = stable(x)
    return self.out, None


wrong("sigmoid", "keeps the output in self", says="two places in a network")(
    layer(keep_in_self, lambda self, d, cache: d * self.out * (1 - self.out))
)


@wrong("sigmoid", "works on the input itself", says="a changed one")
class InPlace:
    def forward(self, x):
        x[:] = stable(x)
        return x, x

    def backward(self, dout, cache):
        return dout * cache * (1 - cache)


@wrong("sigmoid", "functions of math", says="TypeError")
class MathOnly:
    def forward(self, x):
        out = 1 / (1 + math.exp(-x))
        return out, out

    def backward(self, dout, cache):
        return dout * cache * (1 - cache)


# ---- ReLU ----------------------------------------------------------------------------------------------------------


def relu_into_x(self, x):
    x[x < 0] = 0
    return x, x > 0


def relu_into_dout(self, dout, mask):
    dx = dout
    dx[~mask] = 0
    return dx


def keep_mask_in_self(self, x):
    self.mask = x > 0
    return np.maximum(x, 0), None


MAX = lambda self, x: (np.maximum(x, 0), x > 0)  # noqa: E731 -- one of many table entries
TIMES = lambda self, d, mask: d * mask  # noqa: E731

RELU = {
    "lets every gradient through": (MAX, lambda self, d, mask: d, "backward: expected .* chain rule"),
    "mask of the gradient instead of the input": (MAX, lambda self, d, mask: d * (d > 0), "backward: expected"),
    "mask turned round": (MAX, lambda self, d, mask: d * ~mask, "backward: expected"),
    "forgets dout": (MAX, lambda self, d, mask: mask.astype(d.dtype), "backward: expected .* chain rule"),
    "multiplies by the output": (
        lambda self, x: (np.maximum(x, 0),) * 2,
        lambda self, d, out: d * out,
        "backward: expected .* chain rule",
    ),
    "writes into dout": (MAX, relu_into_dout, "a changed dout"),
    "writes into x": (relu_into_x, TIMES, "a changed one"),
    "absolute value": (lambda self, x: (np.abs(x), x > 0), TIMES, "forward: expected"),
    "keeps the negative side": (lambda self, x: (np.minimum(x, 0), x < 0), TIMES, "forward: expected"),
    "the largest entry instead of entry by entry": (
        lambda self, x: (max(0, x.max()), x > 0),
        TIMES,
        r"forward: expected shape|forward: expected an array",
    ),
    "built-in max": (lambda self, x: (max(0, x), x > 0), TIMES, "ValueError"),
    "leaky": (lambda self, x: (np.where(x > 0, x, 0.01 * x), x > 0), TIMES, "forward: expected"),
    "no cache": (lambda self, x: np.maximum(x, 0), TIMES, r"a pair \(out, cache\)"),
    "cut off at 1": (lambda self, x: (np.clip(x, 0, 1), x > 0), TIMES, "forward: expected"),
    "keeps the mask in self": (keep_mask_in_self, lambda self, d, cache: d * self.mask, "two places in a network"),
    "throws the silent entries away": (lambda self, x: (x[x > 0], x > 0), TIMES, "forward: expected shape"),
    "a float64 mask": (MAX, lambda self, d, mask: d * mask.astype(np.float64), "backward: expected float32"),
}
for name, (forward, backward, says) in RELU.items():
    wrong("relu", name, says=says)(layer(forward, backward))


# ---- ELU -----------------------------------------------------------------------------------------------------------


def elu(self, x):
    return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))


def elu_slope(self, x):
    return np.where(x > 0, 1, self.alpha * np.exp(np.minimum(x, 0)))


def elu_into_x(self, x):
    x[x < 0] = self.alpha * np.expm1(x[x < 0])
    return x, x


ELU_FORWARD = {
    "the exponential of every entry": (
        lambda self, x: np.where(x > 0, x, self.alpha * (np.exp(x) - 1)),
        "no overflow on the way",
    ),
    "masks as factors": (lambda self, x: x * (x > 0) + self.alpha * (np.exp(x) - 1) * (x <= 0), "1000: expected 1000"),
    "forgets the minus 1": (
        lambda self, x: np.where(x > 0, x, self.alpha * np.exp(np.minimum(x, 0))),
        "forward: expected",
    ),
    "forgets alpha": (lambda self, x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), "forward: expected"),
    "alpha inside the exponent": (
        lambda self, x: np.where(x > 0, x, np.expm1(self.alpha * np.minimum(x, 0))),
        "forward: expected",
    ),
    "alpha on both sides": (lambda self, x: self.alpha * np.where(x > 0, x, np.expm1(np.minimum(x, 0))), "forward"),
    "branches swapped": (lambda self, x: np.where(x < 0, x, self.alpha * np.expm1(np.minimum(x, 0))), "forward"),
    "leaky ReLU": (lambda self, x: np.where(x > 0, x, self.alpha * x), "forward: expected"),
    "always float64": (lambda self, x: elu(self, x.astype(np.float64)), "forward: expected float32"),
}
for name, (forward, says) in ELU_FORWARD.items():
    wrong("elu", name, says=says)(
        layer(lambda self, x, f=forward: (f(self, x), x), lambda self, d, x: d * elu_slope(self, x), alpha=1.0)
    )

ELU_BACKWARD = {
    "slope 0 below zero, as ReLU": (lambda self, d, x: d * (x > 0), "backward: expected"),
    "forgets alpha in the slope": (
        lambda self, d, x: np.where(x > 0, d, d * np.exp(np.minimum(x, 0))),
        "backward: exp",
    ),
    "the value instead of the slope": (lambda self, d, x: d * np.where(x > 0, 1, elu(self, x)), "backward: expected"),
    "forgets dout": (lambda self, d, x: elu_slope(self, x), "backward: expected"),
    "slope overflows in the branch thrown away": (
        lambda self, d, x: d * np.where(x > 0, 1, self.alpha * np.exp(x)),
        "backward .* no overflow on the way",
    ),
    "writes into dout": (into_dout(elu_slope), "a changed dout"),
    "a product of a mask and a Python number widens": (
        lambda self, d, x: d * ((x > 0) + (x <= 0) * self.alpha * np.exp(np.minimum(x, 0))),
        "backward: expected float32",
    ),
}
for name, (backward, says) in ELU_BACKWARD.items():
    wrong("elu", name, says=says)(layer(lambda self, x: (elu(self, x), x), backward, alpha=1.0))

wrong("elu", "writes into x", says="a changed one")(
    layer(elu_into_x, lambda self, d, x: d * elu_slope(self, x), alpha=1.0)
)
wrong("elu", "a default alpha of another size", says="no alpha is given|forward: expected")(
    layer(lambda self, x: (elu(self, x), x), lambda self, d, x: d * elu_slope(self, x), alpha=0.5)
)
wrong("elu", "takes no alpha", says="takes no arguments.*Keep the names and arguments")(
    type("Elu", (), {"forward": lambda self, x: (x, x), "backward": lambda self, d, x: d})
)


# ---- numeric gradient ----------------------------------------------------------------------------------------------


def differences(quotient, *, start=np.zeros_like, step=lambda x, index, h: _unit(x, index, h)):
    """A numeric gradient whose quotient(f, x, step, h), array of results or step is another."""

    def gradient(f, x, h=1e-5):
        grad = start(x)
        for index in np.ndindex(x.shape):
            grad[index] = quotient(f, x, step(x, index, h), h)
        return grad

    return gradient


def _unit(x, index, h):
    step = np.zeros_like(x)
    step[index] = h
    return step


def central(f, x, step, h):
    return (f(x + step) - f(x - step)) / (2 * h)


QUOTIENTS = {
    "forward difference": (lambda f, x, step, h: (f(x + step) - f(x)) / h, "h to both sides"),
    "backward difference": (lambda f, x, step, h: (f(x) - f(x - step)) / h, "h to both sides"),
    "divides by h": (lambda f, x, step, h: (f(x + step) - f(x - step)) / h, "distance of the two points"),
    "precedence: / 2 * h": (lambda f, x, step, h: (f(x + step) - f(x - step)) / 2 * h, "distance of the two points"),
    "not divided": (lambda f, x, step, h: f(x + step) - f(x - step), "distance of the two points"),
    "divides by h squared": (lambda f, x, step, h: (f(x + step) - f(x - step)) / (2 * h * h), "distance"),
    "wrong sign": (lambda f, x, step, h: (f(x - step) - f(x + step)) / (2 * h), "h = 0.1: expected"),
    "a plus between the two values": (lambda f, x, step, h: (f(x + step) + f(x - step)) / (2 * h), "h = 0.1: exp"),
    "absolute value": (lambda f, x, step, h: abs(f(x + step) - f(x - step)) / (2 * h), "expected"),
    "a step of its own": (lambda f, x, step, h: central(f, x, step * (1e-3 / h), 1e-3), "h = 0.1: expected"),
    "half the step": (lambda f, x, step, h: central(f, x, step / 2, h / 2), "h = 0.1: expected"),
    "a function of one entry": (
        lambda f, x, step, h: (f(x[step > 0] + h) - f(x[step > 0] - h)) / (2 * h),
        "f wants the whole array",
    ),
    "moves every entry at once": (lambda f, x, step, h: (f(x + h) - f(x - h)) / (2 * h), "one entry"),
}
for name, (quotient, says) in QUOTIENTS.items():
    wrong("numeric_gradient", name, says=says)(differences(quotient))

wrong("numeric_gradient", "one number for the whole array", says="expected shape")(
    lambda f, x, h=1e-5: (f(x + h) - f(x - h)) / (2 * h)
)
wrong("numeric_gradient", "a flat result", says="expected shape")(
    lambda f, x, h=1e-5: differences(central)(f, x, h).ravel()
)
wrong("numeric_gradient", "a list", says="got list")(lambda f, x, h=1e-5: differences(central)(f, x, h).tolist())
wrong("numeric_gradient", "results in integers", says="expected")(
    differences(central, start=lambda x: np.zeros(x.shape, dtype=int))
)


@wrong("numeric_gradient", "never takes the step back", says="a changed one|one entry")
def drifting(f, x, h=1e-5):
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        grad[index] = (above - f(x)) / (2 * h)
    return grad


@wrong("numeric_gradient", "takes the step back with rounding", says="a changed one")
def rounded(f, x, h=1e-5):
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        below = f(x)
        x[index] += h
        grad[index] = (above - below) / (2 * h)
    return grad


@wrong("numeric_gradient", "two names for one array", says="a changed one|expected")
def aliased(f, x, h=1e-5):
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up = down = x
        up[index] += h
        down[index] -= h
        grad[index] = (f(up) - f(down)) / (2 * h)
    return grad


@wrong("numeric_gradient", "only the first axis", says="expected")
def first_axis(f, x, h=1e-5):
    grad = np.zeros_like(x)
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = h
        grad[i] = (f(x + step) - f(x - step)) / (2 * h)
    return grad


@wrong("numeric_gradient", "leaves the last entry out", says="expected")
def off_by_one(f, x, h=1e-5):
    grad = np.zeros_like(x)
    for index in list(np.ndindex(x.shape))[:-1]:
        grad[index] = central(f, x, _unit(x, index, h), h)
    return grad


wrong("numeric_gradient", "ignores the step that was passed", says="h = 0.1: expected")(
    lambda f, x, h=1e-5: differences(central)(f, x, 1e-5)
)
wrong("numeric_gradient", "a default step so small that rounding wins", says="default h: expected")(
    lambda f, x, h=1e-13: differences(central)(f, x, h)
)


# ---- relative error ------------------------------------------------------------------------------------------------


def checked(error):
    """Put the check of the shapes before a formula."""

    def relative_error(a, b):
        if a.shape != b.shape:
            raise ValueError("shapes")
        return error(a, b)

    return relative_error


def scale(a, b):
    return np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-8)


ERRORS = {
    "an absolute error": (lambda a, b: np.max(np.abs(a - b)), "Divide each difference"),
    "the sum, so that errors cancel": (lambda a, b: abs(np.sum((a - b) / scale(a, b))), "largest error"),
    "the mean": (lambda a, b: np.mean(np.abs(a - b) / scale(a, b)), "expected"),
    "the sum of all errors": (lambda a, b: np.sum(np.abs(a - b) / scale(a, b)), "largest error"),
    "no absolute value": (lambda a, b: np.max((a - b) / scale(a, b)), "expected"),
    "divides by the first": (lambda a, b: np.max(np.abs(a - b) / np.maximum(np.abs(a), 1e-8)), "larger of the two"),
    "divides by the second": (lambda a, b: np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-8)), "larger of the two"),
    "divides by the sum of both": (lambda a, b: np.max(np.abs(a - b) / (np.abs(a) + np.abs(b) + 1e-8)), "larger"),
    "divides by the smaller": (
        lambda a, b: np.max(np.abs(a - b) / np.maximum(np.minimum(np.abs(a), np.abs(b)), 1e-8)),
        "larger of the two",
    ),
    "0 / 0": (lambda a, b: np.max(np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))), "error 0"),
    "largest difference over largest entry": (lambda a, b: np.max(np.abs(a - b)) / np.max(scale(a, b)), "expected"),
    "larger without absolute values": (
        lambda a, b: np.max(np.abs(a - b) / np.maximum(np.maximum(a, b), 1e-8)),
        "two absolute values",
    ),
    "loses nan": (lambda a, b: float(np.nanmax(np.abs(a - b) / scale(a, b))), "NaN must never"),
    "one error per entry": (lambda a, b: np.abs(a - b) / scale(a, b), "expected shape"),
    "a verdict instead of a number": (lambda a, b: str(np.allclose(a, b)), "expected a number"),
    "norms": (lambda a, b: np.linalg.norm(a - b) / max(np.linalg.norm(a), np.linalg.norm(b), 1e-8), "expected"),
    "a floor that is too high": (
        lambda a, b: np.max(np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-3)),
        "no less than 1e-8",
    ),
    "a floor that is added": (
        lambda a, b: np.max(np.abs(a - b) / (np.maximum(np.abs(a), np.abs(b)) + 1e-3)),
        "Divide each",
    ),
}
for name, (error, says) in ERRORS.items():
    wrong("relative_error", name, says=says)(checked(error))
wrong("relative_error", "broadcasts arrays of two shapes", says="expected a ValueError")(
    lambda a, b: float(np.max(np.abs(a - b) / scale(a, b)))
)


# ---- impostor ------------------------------------------------------------------------------------------------------

IMPOSTORS = {
    "is right": (lambda self, d, x: d * np.cos(x), "a right one"),
    "is right, in other algebra": (lambda self, d, x: np.sin(x + np.pi / 2) * d, "a right one"),
    "the wrong function": (lambda self, d, x: d * np.sin(x), "careless check: expected"),
    "the derivative at another place": (lambda self, d, x: d * np.cos(np.sin(x)), "careless check: expected"),
    "wrong sign": (lambda self, d, x: -d * np.cos(x), "careless check: expected"),
    "twice the gradient": (lambda self, d, x: 2 * d * np.cos(x), "careless check: expected"),
    "adds dout": (lambda self, d, x: d + np.cos(x), "careless check: expected"),
    "returns dout": (lambda self, d, x: d, "careless check: expected"),
    "returns zeros": (lambda self, d, x: np.zeros_like(d), "careless check: expected"),
    "returns one number": (lambda self, d, x: np.sum(d * np.cos(x)), "shape"),
    "returns nothing": (lambda self, d, x: None, "backward: expected an array"),
    "a mistake too small to matter": (lambda self, d, x: d * np.cos(x) * (1 + 1e-9), "a right one"),
    "divided by the batch": (lambda self, d, x: d * np.cos(x) / len(x), "careless check: expected"),
}
for name, (backward, says) in IMPOSTORS.items():
    wrong("impostor", name, says=says)(layer(lambda self, x: (np.sin(x), x), backward))
wrong("impostor", "another function in forward", says="Leave forward as it was")(
    layer(lambda self, x: (np.cos(x), x), lambda self, d, x: -np.sin(x))
)


# ---- inputs away from zero -----------------------------------------------------------------------------------------


def pushed(shape, rng, by=0.01):
    x = rng.standard_normal(shape)
    return x + by * np.where(x >= 0, 1, -1)


INPUTS = {
    "plain normal numbers": (lambda shape, rng: rng.standard_normal(shape), "nearest to 0"),
    "plain uniform numbers": (lambda shape, rng: rng.uniform(-1, 1, shape), "nearest to 0"),
    "positive only": (lambda shape, rng: np.abs(rng.standard_normal(shape)) + 0.1, "positive inputs"),
    "shifted to one side": (lambda shape, rng: rng.standard_normal(shape) + 10, "positive inputs"),
    "clipped from below": (lambda shape, rng: np.clip(rng.standard_normal(shape), 0.01, None), "positive inputs"),
    "only exact zeros replaced": (
        lambda shape, rng: np.where((x := rng.standard_normal(shape)) == 0, 0.5, x),
        "nearest to 0",
    ),
    "a margin that is too small": (lambda shape, rng: pushed(shape, rng, 1e-6), "nearest to 0"),
    "the global generator": (lambda shape, rng: pushed(shape, np.random), "from rng"),
    "a generator of its own": (lambda shape, rng: pushed(shape, np.random.default_rng(0)), "other inputs"),
    "rounded, so that zeros appear": (lambda shape, rng: np.round(rng.standard_normal(shape), 1), "nearest to 0"),
    "only ones and minus ones": (lambda shape, rng: rng.choice([-1.0, 1.0], shape), "thousands"),
    "the same inputs every time": (
        lambda shape, rng: np.linspace(0.5, 1, math.prod(shape)).reshape(shape),
        "other inputs",
    ),
    "one number": (lambda shape, rng: 0.5, "floating-point array"),
    "integers": (lambda shape, rng: rng.integers(1, 9, shape), "floating-point array"),
    "the first axis only": (lambda shape, rng: pushed(shape[0], rng), "expected shape"),
    "the wrong ones thrown away": (
        lambda shape, rng: (x := rng.standard_normal(shape))[np.abs(x) > 0.01],
        "expected shape",
    ),
    "huge numbers": (lambda shape, rng: 1e6 * pushed(shape, rng), "farthest from 0"),
    "a list": (lambda shape, rng: pushed(shape, rng).tolist(), "floating-point array"),
}
for name, (answer, says) in INPUTS.items():
    wrong("inputs_away_from_zero", name, says=says)(answer)


# ---- shortcut ------------------------------------------------------------------------------------------------------


def as_found(dout, mask):
    dx = dout
    dx[~mask] = 0
    return dx + dout


def adds_in_place(dout, mask):
    dx = dout * mask
    dout += dx
    return dout


SHORTCUTS = {
    "as it was found": (as_found, "a changed one"),
    "adds into dout": (adds_in_place, "a changed one"),
    "a copy, but the shortcut cut as well": (lambda dout, mask: 2 * dout * mask, "through the shortcut everywhere"),
    "forgets the shortcut": (lambda dout, mask: dout * mask, "through the shortcut everywhere"),
    "forgets the ReLU": (lambda dout, mask: dout, "through the ReLU"),
    "twice dout everywhere": (lambda dout, mask: 2 * dout, "through the ReLU where the mask is on"),
    "mask turned round": (lambda dout, mask: dout * ~mask + dout, "through the ReLU where the mask is on"),
    "product instead of sum": (lambda dout, mask: dout * mask * dout, "Two paths"),
    "difference": (lambda dout, mask: dout - dout * mask, "Two paths"),
    "half of it": (lambda dout, mask: (dout * mask + dout) / 2, "Two paths"),
    "forgets dout": (lambda dout, mask: mask + np.ones(mask.shape), "Two paths"),
    "mask of the gradient": (lambda dout, mask: dout * (dout > 0) + dout, "Two paths"),
    "a sum over the batch": (lambda dout, mask: (dout * mask + dout).sum(axis=0), "expected shape"),
    "no return": (lambda dout, mask: None, "is there a return"),
}
for name, (answer, says) in SHORTCUTS.items():
    wrong("shortcut", name, says=says)(answer)


# ---- affine --------------------------------------------------------------------------------------------------------


def rows(x):
    return x.reshape(len(x), -1)


FORWARD = {
    "forgets the bias": (lambda x, w, b: (rows(x) @ w, (x, w, b)), "plus b"),
    "subtracts the bias": (lambda x, w, b: (rows(x) @ w - b, (x, w, b)), "plus b"),
    "no reshape": (lambda x, w, b: (x @ w + b, (x, w, b)), "ValueError"),
    "flattens the batch as well": (lambda x, w, b: (x.ravel() @ w + b, (x, w, b)), "ValueError|expected shape"),
    "reshapes the wrong way round": (
        lambda x, w, b: (x.reshape(w.shape[0], -1).T @ w + b, (x, w, b)),
        "expected .* got",
    ),
    "transposed weights": (lambda x, w, b: (rows(x) @ w.T + b, (x, w, b)), "ValueError"),
    "entry by entry instead of a matrix product": (lambda x, w, b: (rows(x) * w + b, (x, w, b)), "ValueError|expected"),
    "result transposed": (lambda x, w, b: ((rows(x) @ w + b).T, (x, w, b)), "expected shape"),
    "the mean over the features": (lambda x, w, b: (rows(x) @ w / len(w) + b, (x, w, b)), "sum over d"),
    "activation included": (lambda x, w, b: (np.maximum(rows(x) @ w + b, 0), (x, w, b)), "expected"),
    "no cache": (lambda x, w, b: rows(x) @ w + b, "a pair"),
    "caches x alone": (lambda x, w, b: (rows(x) @ w + b, x), "needs all three|x in the cache"),
    "caches x flattened": (lambda x, w, b: (rows(x) @ w + b, (rows(x), w, b)), "x in the cache"),
    "cache in another order": (lambda x, w, b: (rows(x) @ w + b, (w, x, b)), "in the cache"),
    "float64": (lambda x, w, b: (rows(x).astype(np.float64) @ w + b, (x, w, b)), "float32"),
}
for name, (answer, says) in FORWARD.items():
    wrong("affine_forward", name, says=says)(answer)


def affine_backward(dx=None, dw=None, db=None, order=(0, 1, 2)):
    """The right backward with one of its three parts replaced, or in another order."""

    def backward(dout, cache, *, need_dx=True):
        x, w, b = cache
        parts = (
            (dout @ w.T).reshape(x.shape) if dx is None else dx(dout, x, w),
            rows(x).T @ dout if dw is None else dw(dout, x, w),
            dout.sum(axis=0) if db is None else db(dout, x, w),
        )
        return tuple(parts[i] for i in order)

    return backward


BACKWARD = {
    "dx keeps the flat shape": ({"dx": lambda d, x, w: d @ w.T}, "dx: expected shape"),
    "dx without the transpose": ({"dx": lambda d, x, w: d @ w}, "ValueError"),
    "dx is dout": ({"dx": lambda d, x, w: d}, "dx: expected shape"),
    "dx with wrong sign": ({"dx": lambda d, x, w: -(d @ w.T).reshape(x.shape)}, "dx: expected"),
    "dx divided by the batch": ({"dx": lambda d, x, w: (d @ w.T).reshape(x.shape) / len(x)}, "dx: expected"),
    "dw averaged over the batch": ({"dw": lambda d, x, w: rows(x).T @ d / len(x)}, "dw: .* sum over the samples"),
    "dw transposed": ({"dw": lambda d, x, w: d.T @ rows(x)}, "dw: expected shape"),
    "dw from the first sample": ({"dw": lambda d, x, w: np.outer(x[0], d[0])}, "dw: .* sum over the samples"),
    "dw of ones": ({"dw": lambda d, x, w: rows(x).T @ np.ones_like(d)}, "dw: expected"),
    "dw without reshape": ({"dw": lambda d, x, w: x.T @ d}, "ValueError|dw"),
    "db averaged over the batch": ({"db": lambda d, x, w: d.mean(axis=0)}, "db: .* no mean"),
    "db over the wrong axis": ({"db": lambda d, x, w: d.sum(axis=1)}, "db: expected shape"),
    "db is dout": ({"db": lambda d, x, w: d}, "db: expected shape"),
    "db is one number": ({"db": lambda d, x, w: d.sum()}, "db: expected shape"),
    "db keeps an axis": ({"db": lambda d, x, w: d.sum(axis=0, keepdims=True)}, "db: expected shape"),
    "db is always one": ({"db": lambda d, x, w: np.ones(d.shape[1])}, "db: .* factor 1"),
    "weights first": ({"order": (1, 0, 2)}, "dx: expected"),
    "only two gradients": ({"order": (0, 1)}, "a tuple .* got tuple of 2"),
}
for name, (changed, says) in BACKWARD.items():
    wrong("affine_backward", name, says=says)(affine_backward(**changed))


@wrong("affine_backward", "averages dout in place", says="a changed one")
def average_in_place(dout, cache, *, need_dx=True):
    dout /= len(dout)
    return affine_backward()(dout, cache)


wrong("affine_backward", "takes no need_dx", says="need_dx")(
    lambda dout, cache: affine_backward()(dout, cache, need_dx=True)
)
wrong("affine_backward", "no return", says="got NoneType")(lambda dout, cache, *, need_dx=True: None)


# ---- dead units ----------------------------------------------------------------------------------------------------

DEAD = {
    "per sample instead of per unit": (lambda out: ~(out > 0).any(axis=1), "expected shape"),
    "silent for at least one sample": (lambda out: (out == 0).any(axis=0), "a single sample above 0"),
    "the living ones": (lambda out: (out > 0).any(axis=0), "expected"),
    "the first sample decides": (lambda out: out[0] == 0, "a single sample above 0"),
    "the last sample decides": (lambda out: out[-1] == 0, "a single sample above 0"),
    "silent for most samples": (lambda out: np.median(out, axis=0) == 0, "a single sample above 0"),
    "a threshold that is too high": (lambda out: out.max(axis=0) < 1e-3, "a single sample above 0"),
    "how many": (lambda out: int((~(out > 0).any(axis=0)).sum()), "expected shape"),
    "which fraction": (lambda out: float((~(out > 0).any(axis=0)).mean()), "expected shape"),
    "indices": (lambda out: np.flatnonzero(~(out > 0).any(axis=0)), "expected shape"),
    "one answer per entry": (lambda out: out == 0, "expected shape"),
    "one answer for all": (lambda out: bool((out == 0).all()), "expected shape"),
    "the mean over everything": (lambda out: out.mean() <= out.mean(axis=0), "expected"),
    "a list": (lambda out: list(~(out > 0).any(axis=0)), "got list"),
}
for name, (answer, says) in DEAD.items():
    wrong("dead_units", name, says=says)(answer)
