"""Typical mistakes in exercise 03; most rules are one right formula with one thing changed."""

import math

import numpy as np

from tests.catalogue import wrong


def enter(task, mistakes):
    for name, (answer, says) in mistakes.items():
        wrong(task, name, says=says)(answer)


# ---- the bound on the learning rate --------------------------------------------------------------------------------

largest = lambda h: np.linalg.eigvalsh(h)[-1]  # noqa: E731 -- one of many table entries
enter(
    "largest_learning_rate",
    {
        "1 instead of 2": (lambda h: 1 / largest(h), "axes: expected 0.08, got 0.04.*may turn negative"),
        "the flattest direction": (lambda h: 2 / np.linalg.eigvalsh(h)[0], "expected 0.08, got 2"),
        "the largest entry on the diagonal": (lambda h: 2 / np.diag(h).max(), "need not be an axis"),
        "the largest entry": (lambda h: 2 / h.max(), "need not be an axis"),
        "the sum of the curvatures": (lambda h: 2 / np.trace(h), "axes: expected 0.08"),
        "the mean of the curvatures": (lambda h: 2 / np.linalg.eigvalsh(h).mean(), "axes: expected 0.08"),
        "the determinant": (lambda h: 2 / np.linalg.det(h), "diagonals: expected 0.25"),
        "the Frobenius norm": (lambda h: 2 / np.linalg.norm(h), "axes: expected 0.08"),
        "the largest row sum": (lambda h: 2 / np.abs(h).sum(axis=1).max(), "turned at random: expected"),
        "upside down": (lambda h: largest(h) / 2, "expected 0.08, got 12.5"),
        "the curvature itself": (lambda h: largest(h), "expected 0.08, got 25"),
        "the condition number": (lambda h: 2 / np.linalg.cond(h), "diagonals: expected 0.25"),
        "all of them": (lambda h: 2 / np.linalg.eigvalsh(h), "expected shape"),
        "the bound for momentum 0.9": (lambda h: 3.8 / largest(h), "axes: expected 0.08"),
    },
)

# ---- momentum ------------------------------------------------------------------------------------------------------


def momentum_in_place_v(w, dw, v, lr, momentum=0.9):
    v *= momentum
    v -= lr * dw
    return w + v, v


def momentum_in_place_w(w, dw, v, lr, momentum=0.9):
    new = momentum * v - lr * dw
    w += new
    return w, new


def pair(velocity, move):
    """A rule of a formula for the new velocity, and one for the new weights that may use it."""

    def update(w, dw, v, lr, momentum=0.9):
        new = velocity(w, dw, v, lr, momentum)
        return move(w, dw, v, new, lr, momentum), new

    return update


V = lambda w, dw, v, lr, b: b * v - lr * dw  # noqa: E731
MOVE = lambda w, dw, v, new, lr, b: w + new  # noqa: E731
enter(
    "momentum_update",
    {
        "uphill": (pair(lambda w, dw, v, lr, b: b * v + lr * dw, MOVE), r"first step .* w: expected"),
        "the other sign of v": (
            pair(lambda w, dw, v, lr, b: b * v + lr * dw, lambda w, dw, v, new, lr, b: w - new),
            r"first step .* v: expected .* what w moved by",
        ),
        "half of each sign": (pair(V, lambda w, dw, v, new, lr, b: w - new), "first step .* w: expected"),
        "torch's velocity": (
            pair(lambda w, dw, v, lr, b: b * v + dw, lambda w, dw, v, new, lr, b: w - lr * new),
            "first step .* v: expected",
        ),
        "the old velocity moves w": (pair(V, lambda w, dw, v, new, lr, b: w + v), "first step .* w: expected"),
        "lr scales the velocity too": (
            pair(lambda w, dw, v, lr, b: lr * (b * v - dw), MOVE),
            "no gradient .* shrinks by the factor momentum",
        ),
        "dampened": (pair(lambda w, dw, v, lr, b: b * v - (1 - b) * lr * dw, MOVE), "first step .* w: expected"),
        "forgets lr": (pair(lambda w, dw, v, lr, b: b * v - dw, MOVE), "first step .* w: expected"),
        "forgets momentum": (pair(lambda w, dw, v, lr, b: v - lr * dw, MOVE), "no gradient .* factor momentum"),
        "momentum fixed at 0.9": (pair(lambda w, dw, v, lr, b: 0.9 * v - lr * dw, MOVE), "momentum = 0.5"),
        "no momentum at all": (pair(lambda w, dw, v, lr, b: -lr * dw, MOVE), "no gradient .* factor momentum"),
        "Nesterov's step": (pair(V, lambda w, dw, v, new, lr, b: w + b * new - lr * dw), "first step .* w: expected"),
        "the gradient counted twice": (pair(V, lambda w, dw, v, new, lr, b: w + new - lr * dw), "plain gradient"),
        "writes into v": (momentum_in_place_v, "argument 3 as it was"),
        "writes into w": (momentum_in_place_w, "argument 1 as it was"),
        "only the weights": (lambda w, dw, v, lr, momentum=0.9: w + momentum * v - lr * dw, r"a tuple \(w, v\)"),
        "the other order": (lambda w, dw, v, lr, momentum=0.9: (V(w, dw, v, lr, momentum), w), "w: expected"),
        "the step instead of the weights": (pair(V, lambda w, dw, v, new, lr, b: new), "w: expected"),
        "no return": (lambda w, dw, v, lr, momentum=0.9: None, r"a tuple \(w, v\), got NoneType"),
        "no default for momentum": (lambda w, dw, v, lr, momentum: (w + V(w, dw, v, lr, momentum),) * 2, "w|TypeError"),
    },
)

enter(
    "nesterov_update",
    {
        "the slide's signs": (
            pair(V, lambda w, dw, v, new, lr, b: w + (1 - b) * new + b * v),
            "first step .* from there momentum times the new v",
        ),
        "the slide as printed, v with the other sign": (
            pair(lambda w, dw, v, lr, b: b * v + lr * dw, lambda w, dw, v, new, lr, b: w - (1 - b) * new - b * v),
            "first step .* expected",
        ),
        "the right form in the slide's sign of v": (
            pair(lambda w, dw, v, lr, b: b * v + lr * dw, lambda w, dw, v, new, lr, b: w - (1 + b) * new + b * v),
            "first step .* v: expected",
        ),
        "plain momentum": (pair(V, MOVE), "first step .* w: expected"),
        "forgets to go back": (
            pair(V, lambda w, dw, v, new, lr, b: w + (1 + b) * new),
            "no gradient .* w: expected .* Where is W before this step",
        ),
        "goes back the wrong way": (
            pair(V, lambda w, dw, v, new, lr, b: w + b * v + (1 + b) * new),
            "no gradient .* Where is W before this step",
        ),
        "goes back with the new velocity": (
            pair(V, lambda w, dw, v, new, lr, b: w - b * new + (1 + b) * new),
            "first step .* w: expected",
        ),
        "goes ahead with the old velocity": (
            pair(V, lambda w, dw, v, new, lr, b: w - b * v + new + b * v),
            "first step .* w: expected",
        ),
        "goes back by all of v": (
            pair(V, lambda w, dw, v, new, lr, b: w - v + (1 + b) * new),
            "no gradient .* w: expected",
        ),
        "ahead by all of v": (pair(V, lambda w, dw, v, new, lr, b: w - b * v + 2 * new), "first step .* w: expected"),
        "returns W, not the point ahead": (
            pair(V, lambda w, dw, v, new, lr, b: w - b * v + new),
            "first step .* w: expected",
        ),
        "1 - momentum": (
            pair(V, lambda w, dw, v, new, lr, b: w - b * v + (1 - b) * new),
            "first step .* w: expected",
        ),
        "returns the old velocity": (
            lambda w, dw, v, lr, momentum=0.9: (w - momentum * v + (1 + momentum) * V(w, dw, v, lr, momentum), v),
            "first step .* v: expected",
        ),
        "writes into v": (momentum_in_place_v, "argument 3 as it was"),
        "momentum fixed at 0.9": (
            lambda w, dw, v, lr, momentum=0.9: (w - 0.9 * v + 1.9 * V(w, dw, v, lr, 0.9), V(w, dw, v, lr, 0.9)),
            "momentum = 0.5",
        ),
    },
)

# ---- AdaGrad and RMSProp -------------------------------------------------------------------------------------------


def adagrad_in_place(w, dw, g, lr, eps=1e-10):
    g += dw**2
    return w - lr * dw / (np.sqrt(g) + eps), g


def adagrad_in_place_w(w, dw, g, lr, eps=1e-10):
    g = g + dw**2
    w -= lr * dw / (np.sqrt(g) + eps)
    return w, g


def scaled(average, step):
    """A rule that divides: a formula for the new g, and one for the step that may use it."""

    def update(w, dw, g, lr, beta=0.99, eps=None):
        eps = eps if eps is not None else 1e-8
        new = average(g, dw, beta)
        return w - step(dw, g, new, lr, eps), new

    return update


SUM = lambda g, dw, beta: g + dw**2  # noqa: E731
AVERAGE = lambda g, dw, beta: beta * g + (1 - beta) * dw**2  # noqa: E731
STEP = lambda dw, g, new, lr, eps: lr * dw / (np.sqrt(new) + eps)  # noqa: E731
STEPS = {
    "divides by the old g": (lambda dw, g, new, lr, eps: lr * dw / (np.sqrt(g) + eps), "first step .* w: expected"),
    "forgets the root": (lambda dw, g, new, lr, eps: lr * dw / (new + eps), "first step .* w: expected"),
    "eps inside the root": (lambda dw, g, new, lr, eps: lr * dw / np.sqrt(new + eps), "eps stands outside the root"),
    "eps twice": (lambda dw, g, new, lr, eps: lr * dw / (np.sqrt(new + eps) + eps), "eps stands outside the root"),
    "forgets eps": (lambda dw, g, new, lr, eps: lr * dw / np.sqrt(new), "eps = 0.5, w: expected"),
    "uphill": (lambda dw, g, new, lr, eps: -lr * dw / (np.sqrt(new) + eps), "first step .* against the gradient"),
    "forgets lr": (lambda dw, g, new, lr, eps: dw / (np.sqrt(new) + eps), "first step .* w: expected"),
    "forgets the gradient": (lambda dw, g, new, lr, eps: lr / (np.sqrt(new) + eps), "first step .* w: expected"),
    "the gradient's sign alone": (
        lambda dw, g, new, lr, eps: lr * np.sign(dw) * dw**2 / (np.sqrt(new) + eps),
        "first step .* w: expected",
    ),
    "one root for all weights": (
        lambda dw, g, new, lr, eps: lr * dw / (np.sqrt(new.sum()) + eps),
        "first step .* w: expected",
    ),
    "multiplies": (lambda dw, g, new, lr, eps: lr * dw * (np.sqrt(new) + eps), "first step .* w: expected"),
    "root of gradient over g": (
        lambda dw, g, new, lr, eps: lr * np.sqrt(np.abs(dw) / (new + eps)),
        "first step .* w: expected",
    ),
}
enter("adagrad_update", {name: (scaled(SUM, step), says) for name, (step, says) in STEPS.items()})
enter("rmsprop_update", {name: (scaled(AVERAGE, step), says) for name, (step, says) in STEPS.items()})
enter(
    "adagrad_update",
    {
        "a moving average": (scaled(AVERAGE, STEP), "first step .* w: expected"),
        "adds the gradient without the square": (
            scaled(lambda g, dw, beta: g + np.abs(dw), STEP),
            "first step .* w: expected",
        ),
        "only the newest square": (scaled(lambda g, dw, beta: dw**2, STEP), "g from earlier steps, w: expected"),
        "one g for all weights": (scaled(lambda g, dw, beta: g + np.sum(dw**2), STEP), "first step .* w: expected"),
        "returns the root": (
            lambda w, dw, g, lr, eps=1e-10: (w - STEP(dw, g, g + dw**2, lr, eps), np.sqrt(g + dw**2)),
            "first step .* g: expected",
        ),
        "writes into g": (adagrad_in_place, "argument 3 as it was"),
        "writes into w": (adagrad_in_place_w, "argument 1 as it was"),
        "only the weights": (lambda w, dw, g, lr, eps=1e-10: w - STEP(dw, g, g + dw**2, lr, eps), r"a tuple \(w, g\)"),
    },
)
enter(
    "rmsprop_update",
    {
        "AdaGrad's sum": (scaled(SUM, STEP), "first step .* w: expected"),
        "beta and 1 - beta exchanged": (
            scaled(lambda g, dw, beta: (1 - beta) * g + beta * dw**2, STEP),
            "first step .* w: expected",
        ),
        "forgets 1 - beta": (scaled(lambda g, dw, beta: beta * g + dw**2, STEP), "first step .* w: expected"),
        "forgets beta": (scaled(lambda g, dw, beta: g + (1 - beta) * dw**2, STEP), "earlier steps .* w: expected"),
        "averages the gradient": (
            scaled(lambda g, dw, beta: beta * g + (1 - beta) * np.abs(dw), STEP),
            "first step .* w: expected",
        ),
        "the share squared with the gradient": (
            scaled(lambda g, dw, beta: beta * g + ((1 - beta) * dw) ** 2, STEP),
            "first step .* w: expected",
        ),
        "beta fixed at 0.99": (scaled(lambda g, dw, beta: AVERAGE(g, dw, 0.99), STEP), "beta = 0.75"),
        "beta 0.9 by default": (
            lambda w, dw, g, lr, beta=0.9, eps=1e-8: scaled(AVERAGE, STEP)(w, dw, g, lr, beta, eps),
            "beta left out, w: expected",
        ),
        "returns the old g": (
            lambda w, dw, g, lr, beta=0.99, eps=1e-8: (scaled(AVERAGE, STEP)(w, dw, g, lr, beta, eps)[0], g),
            "first step .* g: expected",
        ),
    },
)


# ---- AdaDelta ------------------------------------------------------------------------------------------------------


def adadelta(step, *, squares=AVERAGE, lengths=AVERAGE, late=False, returns=lambda w, g, p: (w, g, p)):
    def update(w, dw, g, p, beta=0.9, eps=1e-6):
        new_g = squares(g, dw, beta)
        if late:  # p first, then the step with the new p
            moved = step(dw, g, new_g, lengths(p, dw, beta), eps)
            return returns(w - moved, new_g, lengths(p, moved, beta))
        moved = step(dw, g, new_g, p, eps)
        return returns(w - moved, new_g, lengths(p, moved, beta))

    return update


MOVED = lambda dw, old, g, p, eps: np.sqrt((p + eps) / (g + eps)) * dw  # noqa: E731


def adadelta_in_place(w, dw, g, p, beta=0.9, eps=1e-6):
    g *= beta
    g += (1 - beta) * dw**2
    moved = MOVED(dw, g, g, p, eps)
    return w - moved, g, AVERAGE(p, moved, beta)


enter(
    "adadelta_update",
    {
        "as it was found": (
            adadelta(lambda dw, old, g, p, eps: np.sqrt(p) / np.sqrt(g + eps) * dw),
            "first step .* what makes the numerator larger than 0",
        ),
        "eps in the numerator only": (
            adadelta(lambda dw, old, g, p, eps: np.sqrt(p + eps) / np.sqrt(g) * dw),
            "first step .* w: expected",
        ),
        "both eps outside the roots": (
            adadelta(lambda dw, old, g, p, eps: (np.sqrt(p) + eps) / (np.sqrt(g) + eps) * dw),
            "first step .* w: expected",
        ),
        "eps outside the lower root": (
            adadelta(lambda dw, old, g, p, eps: np.sqrt(p + eps) / (np.sqrt(g) + eps) * dw),
            "first step .* w: expected",
        ),
        "a constant in place of p": (
            adadelta(lambda dw, old, g, p, eps: np.sqrt(eps) / np.sqrt(g + eps) * dw),
            "earlier steps .* w: expected",
        ),
        "p starts at 1": (
            adadelta(lambda dw, old, g, p, eps: MOVED(dw, old, g, np.where(p == 0, 1, p), eps)),
            "first step .* w: expected",
        ),
        "no roots": (adadelta(lambda dw, old, g, p, eps: (p + eps) / (g + eps) * dw), "first step .* w: expected"),
        "upside down": (
            adadelta(lambda dw, old, g, p, eps: np.sqrt((g + eps) / (p + eps)) * dw),
            "first step .* w: expected",
        ),
        "the old g": (adadelta(lambda dw, old, g, p, eps: MOVED(dw, old, old, p, eps)), "first step .* w: expected"),
        "uphill": (adadelta(lambda dw, old, g, p, eps: -MOVED(dw, old, g, p, eps)), "first step .* w: expected"),
        "p averages the gradients": (
            lambda w, dw, g, p, beta=0.9, eps=1e-6: (
                *adadelta(MOVED)(w, dw, g, p, beta, eps)[:2],
                AVERAGE(p, dw, beta),
            ),
            "first step .* p: expected",
        ),
        "p averages steps without the square": (
            adadelta(MOVED, lengths=lambda p, step, beta: beta * p + (1 - beta) * step),
            "first step .* p: expected",
        ),
        "p before the step": (adadelta(MOVED, late=True), "first step .* w: expected"),
        "p adds up": (adadelta(MOVED, lengths=SUM), "first step .* p: expected"),
        "g adds up": (adadelta(MOVED, squares=SUM), "first step .* w: expected"),
        "p never learns": (adadelta(MOVED, lengths=lambda p, step, beta: p), "first step .* p: expected"),
        "forgets p in the return": (
            adadelta(MOVED, returns=lambda w, g, p: (w, g)),
            r"a tuple \(w, g, p\), got tuple of 2",
        ),
        "g and p exchanged": (adadelta(MOVED, returns=lambda w, g, p: (w, p, g)), "first step .* g: expected"),
        "writes into g": (adadelta_in_place, "argument 3 as it was"),
    },
)


# ---- Adam ----------------------------------------------------------------------------------------------------------


def adam(
    step=lambda m, v, lr, eps: lr * m / (np.sqrt(v) + eps),
    *,
    correct=lambda m, v, t, b1, b2: (m / (1 - b1**t), v / (1 - b2**t)),
    mean=lambda m, dw, b1: b1 * m + (1 - b1) * dw,
    square=AVERAGE,
    returns=lambda w, m, v, corrected: (w, m, v),
):
    def update(w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        m, v = mean(m, dw, beta1), square(v, dw, beta2)
        corrected = correct(m, v, t, beta1, beta2)
        return returns(w - step(*corrected, lr, eps), m, v, corrected)

    return update


def adam_in_place(w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m *= beta1
    m += (1 - beta1) * dw
    v *= beta2
    v += (1 - beta2) * dw**2
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


def adam_old_moments(w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    step = lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w - step, beta1 * m + (1 - beta1) * dw, beta2 * v + (1 - beta2) * dw**2


CORRECTION = "first step .* both averages are corrected"
enter(
    "adam_update",
    {
        "no bias correction": (adam(correct=lambda m, v, t, a, b: (m, v)), CORRECTION),
        "only m is corrected": (adam(correct=lambda m, v, t, a, b: (m / (1 - a**t), v)), CORRECTION),
        "only v is corrected": (adam(correct=lambda m, v, t, a, b: (m, v / (1 - b**t))), CORRECTION),
        "counts from 0, as on the slide": (
            adam(correct=lambda m, v, t, a, b: (m / (1 - a ** (t - 1) + 1e-300), v / (1 - b ** (t - 1) + 1e-300))),
            "exponent t = 1",
        ),
        "exponent t + 1": (
            adam(correct=lambda m, v, t, a, b: (m / (1 - a ** (t + 1)), v / (1 - b ** (t + 1)))),
            CORRECTION,
        ),
        "no exponent": (
            adam(correct=lambda m, v, t, a, b: (m / (1 - a), v / (1 - b))),
            "step t = 3 .* w: expected",
        ),
        "beta times t": (
            adam(correct=lambda m, v, t, a, b: (m / (1 - a * t), v / np.abs(1 - b * t))),
            "step t = 3 .* w: expected",
        ),
        "betas exchanged in the correction": (
            adam(correct=lambda m, v, t, a, b: (m / (1 - b**t), v / (1 - a**t))),
            CORRECTION,
        ),
        "multiplies by the correction": (
            adam(correct=lambda m, v, t, a, b: (m * (1 - a**t), v * (1 - b**t))),
            CORRECTION,
        ),
        "returns the corrected averages": (
            adam(returns=lambda w, m, v, corrected: (w, *corrected)),
            "first step .* m: expected",
        ),
        "m without 1 - beta1": (adam(mean=lambda m, dw, b: b * m + dw), "first step .* w: expected"),
        "v without the square": (
            adam(square=lambda v, dw, b: b * v + (1 - b) * np.abs(dw)),
            "first step .* w: expected",
        ),
        "m averages the square too": (
            adam(mean=lambda m, dw, b: b * m + (1 - b) * dw**2),
            "first step .* w: expected",
        ),
        "v from m": (
            lambda w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8: adam(
                square=lambda v, dw, b: AVERAGE(v, beta1 * m + (1 - beta1) * dw, b)
            )(w, dw, m, v, t, lr, beta1, beta2, eps),
            "first step .* w: expected",
        ),
        "no root": (adam(lambda m, v, lr, eps: lr * m / (v + eps)), "first step .* w: expected"),
        "eps inside the root": (adam(lambda m, v, lr, eps: lr * m / np.sqrt(v + eps)), "eps = 0.5.*outside of it"),
        "no eps": (adam(lambda m, v, lr, eps: lr * m / np.sqrt(v)), "eps = 0.5, w: expected"),
        "uphill": (adam(lambda m, v, lr, eps: -lr * m / (np.sqrt(v) + eps)), "first step .* w: expected"),
        "forgets lr": (adam(lambda m, v, lr, eps: m / (np.sqrt(v) + eps)), "first step .* w: expected"),
        "steps with the old averages": (adam_old_moments, "first step .* w: expected"),
        "m and v exchanged in the return": (adam(returns=lambda w, m, v, c: (w, v, m)), "first step .* m: expected"),
        "returns t too": (adam(returns=lambda w, m, v, c: (w, m, v, 1)), r"a tuple \(w, m, v\), got tuple of 4"),
        "writes into m and v": (adam_in_place, "argument 3 as it was"),
        "the old defaults 0.9 and 0.99": (
            lambda w, dw, m, v, t, lr, beta1=0.9, beta2=0.99, eps=1e-8: adam()(w, dw, m, v, t, lr, beta1, beta2, eps),
            "expected",
        ),
        "the gradient instead of m": (
            lambda w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8: (
                w - lr * dw / (np.sqrt(AVERAGE(v, dw, beta2) / (1 - beta2**t)) + eps),
                beta1 * m + (1 - beta1) * dw,
                AVERAGE(v, dw, beta2),
            ),
            "step t = 3 .* w: expected",
        ),
    },
)

# ---- Newton --------------------------------------------------------------------------------------------------------


def newton_in_place(gradient, hessian):
    gradient *= -1
    return np.linalg.solve(hessian, gradient)


def descend(g, h):
    values, vectors = np.linalg.eigh(h)
    return -vectors @ ((vectors.T @ g) / np.abs(values))


enter(
    "newton_direction",
    {
        "forgets the minus": (lambda g, h: np.linalg.solve(h, g), "gradient \\+ H step, has to be 0"),
        "multiplies by H": (lambda g, h: -h @ g, "axes: expected"),
        "divides by the diagonal": (lambda g, h: -g / np.diag(h), "turned at random: expected"),
        "divides by every entry": (lambda g, h: -g / (h + 1e-12), "axes: expected shape"),
        "the steepest curvature for all": (lambda g, h: -g / np.linalg.eigvalsh(h)[-1], "axes: expected"),
        "steepest descent": (lambda g, h: -g, "axes: expected"),
        "half a step": (lambda g, h: -0.5 * np.linalg.solve(h, g), "axes: expected"),
        "damped by an identity": (lambda g, h: -np.linalg.solve(h + np.eye(len(g)), g), "axes: expected"),
        "downhill at all costs": (descend, "saddle.*downhill or not"),
        "the root of the curvature": (
            lambda g, h: -g / np.sqrt(np.abs(np.linalg.eigvalsh(h))),
            "axes: expected",
        ),
        "a unit vector": (
            lambda g, h: -np.linalg.solve(h, g) / np.linalg.norm(np.linalg.solve(h, g)),
            "axes: expected",
        ),
        "a column": (lambda g, h: -np.linalg.solve(h, g[:, None]), r"expected shape \(2,\), got shape \(2, 1\)"),
        "the matrix": (lambda g, h: -np.linalg.inv(h), "expected shape"),
        "the inverse entry by entry": (lambda g, h: -np.linalg.inv(h) * g, "expected shape"),
        "writes into the gradient": (newton_in_place, "argument 1 as it was"),
        "no return": (lambda g, h: None, "got None"),
        "only for positive definite ones": (
            lambda g, h: -np.linalg.solve(np.linalg.cholesky(h) @ np.linalg.cholesky(h).T, g),
            "LinAlgError",
        ),
    },
)

# ---- L-BFGS --------------------------------------------------------------------------------------------------------


def lbfgs(**change):
    """The two loops with one thing changed; `change` names it."""

    def direction(gradient, pairs, scale=None):
        q = np.array(gradient, dtype=float)
        first = pairs if change.get("first_oldest") else pairs[::-1]
        second = pairs[::-1] if change.get("second_newest") else pairs
        shares = []
        for s, u in first:
            share = ((u if change.get("u_in_first") else s) @ q) / (s @ u)
            share = share * (s @ u) / (u @ u) if change.get("over_u_u") else share
            if not change.get("keeps_q"):
                q = q - share * (s if change.get("takes_s") else u)
            shares.append(share)
        if change.get("ignores_scale"):
            scale = None
        if scale is None and pairs:
            s, u = pairs[0] if change.get("oldest_scale") else pairs[-1]
            scale = (u @ u) / (s @ u) if change.get("inverted_scale") else (s @ u) / (u @ u)
        scale = 1.0 if scale is None or change.get("no_scale") else scale
        q = q * scale
        order = shares if change.get("shares_forwards") else shares[::-1]
        for (s, u), share in zip(second, order, strict=True):
            again = ((s if change.get("s_in_second") else u) @ q) / (s @ u)
            if change.get("forgets_share"):
                share = 0
            q = q + (share + again if change.get("plus") else share - again) * (u if change.get("adds_u") else s)
        return q if change.get("uphill") else -q

    return direction


def lbfgs_in_place(gradient, pairs, scale=None):
    q = np.asarray(gradient)
    for s, u in pairs[::-1]:
        q -= (s @ q) / (s @ u) * u
    return lbfgs()(gradient, pairs, scale)


def lbfgs_pops(gradient, pairs, scale=None):
    result = lbfgs()(gradient, list(pairs), scale)
    while pairs:
        pairs.pop()
    return result


LBFGS = {
    "forgets the minus": ("uphill", "no pairs: expected"),
    "the first loop begins with the oldest pair": (
        "first_oldest",
        "three pairs, scale = 1: .*newest pair to the oldest",
    ),
    "the second loop begins with the newest pair": ("second_newest", "three pairs, scale = 1"),
    "shares of the wrong pairs": ("shares_forwards", "three pairs, scale = 1.*shares of the first"),
    "u in the first product": ("u_in_first", "one pair"),
    "divides by u @ u": ("over_u_u", "one pair"),
    "takes s away instead of u": ("takes_s", "one pair"),
    "leaves q alone in the first loop": ("keeps_q", "one pair"),
    "s in the second product": ("s_in_second", "one pair"),
    "forgets the share in the second loop": ("forgets_share", "one pair"),
    "adds in the second loop": ("plus", "one pair, scale = 1"),
    "adds u instead of s": ("adds_u", "one pair"),
    "the scale of the oldest pair": ("oldest_scale", "no scale given.*newest pair"),
    "the scale upside down": ("inverted_scale", "no scale given.*s @ u / .u @ u."),
    "no scale": ("no_scale", "no pairs, scale = 3: .*between the two loops"),
    "ignores the scale that is given": ("ignores_scale", "scale = 1: expected|scale = 3: expected"),
}
for name, (change, says) in LBFGS.items():
    wrong("lbfgs_direction", name, says=says)(lbfgs(**{change: True}))
enter(
    "lbfgs_direction",
    {
        "only the newest pair": (lambda g, p, scale=None: lbfgs()(g, p[-1:], scale), "three pairs, scale = 1"),
        "writes into the gradient": (lbfgs_in_place, "argument 1 as it was"),
        "empties the list": (lbfgs_pops, "argument 2 as it was"),
        "steepest descent": (lambda g, p, scale=None: -g * (scale or 1), "one pair, gradient = u.*quasi-Newton"),
        "stops without pairs": (lambda g, p, scale=None: -g * p[-1][0] / p[-1][1], "IndexError"),
    },
)

# ---- schedules -----------------------------------------------------------------------------------------------------

PI = math.pi
enter(
    "half_cosine",
    {
        "a line": (lambda a, b, x: a + (b - a) * x, "share 1/4: expected 0.853"),
        "without the half": (lambda a, b, x: b + (a - b) * (1 + math.cos(PI * x)), "share 0: expected 1, got 2"),
        "without the 1": (lambda a, b, x: b + (a - b) * math.cos(PI * x), "share 1: expected 0, got -1"),
        "a whole wave": (lambda a, b, x: b + (a - b) * (1 + math.cos(2 * PI * x)) / 2, "share 1: expected 0, got 1"),
        "a quarter wave": (lambda a, b, x: b + (a - b) * math.cos(PI * x / 2), "share 1/2: expected 0.5"),
        "without pi": (lambda a, b, x: b + (a - b) * (1 + math.cos(x)) / 2, "share 1: expected 0"),
        "degrees": (lambda a, b, x: b + (a - b) * (1 + math.cos(180 * x)) / 2, "share 1: expected 0"),
        "start and end exchanged": (lambda a, b, x: a + (b - a) * (1 + math.cos(PI * x)) / 2, "It begins at start"),
        "minus the cosine": (lambda a, b, x: b + (a - b) * (1 - math.cos(PI * x)) / 2, "It begins at start"),
        "a sine": (lambda a, b, x: b + (a - b) * (1 + math.sin(PI * x)) / 2, "share 0: expected 1"),
        "forgets end": (lambda a, b, x: a * (1 + math.cos(PI * x)) / 2, "from 0.1 to 0.02.*ends at end"),
        "the way as long as start": (lambda a, b, x: b + a * (1 + math.cos(PI * x)) / 2, "from 0.1 to 0.02"),
        "only the weight": (lambda a, b, x: (1 + math.cos(PI * x)) / 2, "from 0.1 to 0.02"),
        "never upwards": (
            lambda a, b, x: min(a, b) + abs(a - b) * (1 + math.cos(PI * x)) / 2,
            "end is above start",
        ),
        "brackets": (lambda a, b, x: b + (a - b) * 1 + math.cos(PI * x) / 2, "share 0: expected 1, got 1.5"),
    },
)


def wave(a, b, x):
    return b + (a - b) * (1 + math.cos(PI * x)) / 2


def cycle(**change):
    """The cycle with one thing changed."""

    def lr_at(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
        between = wave if change.get("own_wave") else between
        pct_start = change.get("pct", pct_start)
        first = change.get("first", lambda top, div: top / div)(lr_max, div_factor)
        low = change.get("low", lambda top, a, b: top / a / b)(lr_max, div_factor, final_div_factor)
        top = pct_start * num_steps - change.get("one", 1)
        last = num_steps - change.get("last", 1)
        if (step <= top) if change.get("divides") else (0 < top >= step):
            return between(first, lr_max, step / top)
        share = step / last if change.get("from_0") else (step - top) / (last - top)
        return between(lr_max, low, share if change.get("endless") else min(share, 1))

    return lr_at


def two_waves(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    return lr_max / div_factor + (lr_max - lr_max / div_factor) * (1 - math.cos(2 * PI * step / (num_steps - 1))) / 2


def only_down(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    return wave(lr_max, lr_max / div_factor / final_div_factor, min(step / (num_steps - 1), 1))


CYCLES = {
    "the top one step late": ({"one": 0}, "step 4 of 20.*top is at step|step 1 of 20"),
    "the end one step late": ({"last": 0}, "step 19 of 20.*num_steps - 1"),
    "starts at 0": ({"first": lambda top, div: 0.0}, "step 0 of 20.*div_factor"),
    "starts at the top": ({"first": lambda top, div: top}, "step 0 of 20"),
    "ends at lr_max / final_div_factor": ({"low": lambda top, a, b: top / b}, "step 19 of 20"),
    "ends where it began": ({"low": lambda top, a, b: top / a}, "step 19 of 20"),
    "ends at 0": ({"low": lambda top, a, b: 0.0}, "step 19 of 20"),
    "the fall counts from step 0": ({"from_0": True}, "step 12 of 20.*counts from the top"),
    "comes up again beyond the end": ({"endless": True}, "step 30 of 20.*stays where it is"),
    "half up, half down": ({"pct": 0.5}, "step 4 of 20|step 1 of 20"),
    "always 30 per cent": ({"pct": 0.3}, "step 4 of 20|step 1 of 20"),
    "divides by a top of 0": ({"divides": True}, "pct_start = 0.1|ZeroDivisionError"),
    "ignores between": ({"own_wave": True}, "between = a line.*curve that is given"),
}
for name, (change, says) in CYCLES.items():
    wrong("one_cycle", name, says=says)(cycle(**change))


@wrong("one_cycle", "a line whatever between is", says="step 1 of 20.*The way up: between")
def straight(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    return cycle()(step, num_steps, lr_max, lambda a, b, x: a + (b - a) * x, pct_start, div_factor, final_div_factor)


wrong("one_cycle", "one whole wave", says="step 4 of 20")(two_waves)
wrong("one_cycle", "only the way down", says="step 0 of 20")(only_down)


# ---- the range test ------------------------------------------------------------------------------------------------


def range_test(
    rates=np.geomspace,
    stop=lambda loss, losses: not math.isfinite(loss) or (losses and loss > 4 * min(losses)),
    keep_last=False,
    returns=lambda lrs, losses: (lrs, losses),
):
    def run(train_step, lr_min, lr_max, num_steps):
        lrs, losses = [], []
        for lr in rates(lr_min, lr_max, num_steps):
            loss = train_step(lr)
            stopped = bool(stop(loss, losses))
            if not stopped or keep_last:
                lrs.append(lr)
                losses.append(loss)
            if stopped:
                break
        return returns(lrs, losses)

    return run


def stops_after_another(train_step, lr_min, lr_max, num_steps):
    lrs, losses = [], []
    for lr in np.geomspace(lr_min, lr_max, num_steps):
        loss = train_step(lr)
        if losses and not losses[-1] < math.inf:
            break
        lrs.append(lr)
        losses.append(loss)
    return lrs, losses


def skips(train_step, lr_min, lr_max, num_steps):
    lrs, losses = [], []
    for lr in np.geomspace(lr_min, lr_max, num_steps):
        loss = train_step(lr)
        if math.isfinite(loss) and not (losses and loss > 4 * min(losses)):
            lrs.append(lr)
            losses.append(loss)
    return lrs, losses


TRIED = "learning rates that were tried: .*same factor"
enter(
    "range_test",
    {
        "as it was found": (range_test(lambda a, b, n: [a] * n), TRIED),
        "equal differences": (range_test(np.linspace), TRIED),
        "downwards": (range_test(lambda a, b, n: np.geomspace(b, a, n)), TRIED),
        "never reaches lr_max": (range_test(lambda a, b, n: a * (b / a) ** (np.arange(n) / n)), TRIED),
        "raised before the first step": (range_test(lambda a, b, n: a * (b / a) ** (np.arange(1, n + 1) / n)), TRIED),
        "factor 10 every step": (range_test(lambda a, b, n: a * 10.0 ** np.arange(n)), TRIED),
        "doubled every step": (range_test(lambda a, b, n: a * 2.0 ** np.arange(n)), TRIED),
        "np.logspace of the rates themselves": (range_test(np.logspace), TRIED),
        "one step too few": (
            range_test(lambda a, b, n: np.geomspace(a, b, n)[:-1]),
            "expected 9 training steps, got 8",
        ),
        "one step too many": (range_test(lambda a, b, n: [*np.geomspace(a, b, n), b]), "at most 9 training steps"),
        "never stops": (range_test(stop=lambda loss, losses: False), "nan.*expected 3 training steps|leave it out"),
        "stops at nan only": (range_test(stop=lambda loss, losses: loss != loss), "inf: expected 4 training steps"),
        "nan compares as small": (
            range_test(stop=lambda loss, losses: bool(losses) and loss > 4 * min(losses)),
            "nan: expected 3 training steps",
        ),
        "stops only when not finite": (
            range_test(stop=lambda loss, losses: not math.isfinite(loss)),
            "loss 4, 1, 2, 3.9, 4.1: expected 5 training steps",
        ),
        "4 times the first loss": (
            range_test(stop=lambda loss, losses: not math.isfinite(loss) or (losses and loss > 4 * losses[0])),
            "4.1.*lowest one",
        ),
        "4 times the loss before": (
            range_test(stop=lambda loss, losses: not math.isfinite(loss) or (losses and loss > 4 * losses[-1])),
            "4.1.*lowest one",
        ),
        "as soon as it rises": (
            range_test(stop=lambda loss, losses: not math.isfinite(loss) or (losses and loss > min(losses))),
            "expected 5 training steps, got 3",
        ),
        "keeps the loss that blew up": (range_test(keep_last=True), "expected shape .*leave it out|shape"),
        "leaves it out and goes on": (skips, "training steps"),
        "stops one step late": (stops_after_another, "expected 3 training steps"),
        "only the best rate": (
            range_test(returns=lambda lrs, losses: lrs[int(np.argmin(losses))]),
            r"a pair \(lrs, losses\)",
        ),
        "the other order": (range_test(returns=lambda lrs, losses: (losses, lrs)), "lrs: expected"),
        "only the losses": (range_test(returns=lambda lrs, losses: losses), r"a pair \(lrs, losses\)|pair"),
    },
)
