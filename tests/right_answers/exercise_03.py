"""Honest variants of exercise 03's tasks: other algebra, loops, other names, other ways to the same numbers."""

import math

import numpy as np

from tests.catalogue import right


def enter(task, variants):
    for name, answer in variants.items():
        right(task, name)(answer)


def power_iteration(hessian):
    vector = np.random.default_rng(5).standard_normal(len(hessian))
    for _ in range(300):
        vector = hessian @ vector
        vector /= np.linalg.norm(vector)
    return 2 / (vector @ hessian @ vector)


enter(
    "largest_learning_rate",
    {
        "eigvalsh and max": lambda h: 2 / np.linalg.eigvalsh(h).max(),
        "eigvals, real parts": lambda h: 2 / max(np.linalg.eigvals(h).real),
        "the spectral norm": lambda h: 2 / np.linalg.norm(h, 2),
        "singular values": lambda h: 2 / np.linalg.svd(h)[1][0],
        "the smallest of all bounds": lambda h: min(2 / value for value in np.linalg.eigh(h)[0]),
        "power iteration": power_iteration,
        "a Python float": lambda h: float(2.0 / np.linalg.eigvalsh(h)[-1]),
    },
)


def momentum_long(w, dw, v, lr, momentum=0.9):
    v = v.copy()
    v *= momentum
    v -= lr * dw
    w = w.copy()
    w += v
    return w, v


def momentum_loop(w, dw, v, lr, momentum=0.9):
    new_w, new_v = np.empty_like(w), np.empty_like(v)
    for index in np.ndindex(w.shape):
        new_v[index] = momentum * v[index] - lr * dw[index]
        new_w[index] = w[index] + new_v[index]
    return new_w, new_v


def momentum_slide(w, dw, v, lr, momentum=0.9):
    u = momentum * -v + lr * dw  # the slide's sign inside
    return w - u, -u


def momentum_reassigned(w, dw, v, lr, momentum=0.9):
    v = momentum * v - lr * dw
    w = w + v
    return [w, v]


enter(
    "momentum_update",
    {
        "on copies": momentum_long,
        "a loop over all entries": momentum_loop,
        "the slide's sign inside": momentum_slide,
        "new values for the old names, as a list": momentum_reassigned,
        "one line": lambda w, dw, v, lr, momentum=0.9: (w + momentum * v - lr * dw, momentum * v - lr * dw),
        "np.add and np.multiply": lambda w, dw, v, lr, momentum=0.9: (
            np.add(w, np.subtract(np.multiply(v, momentum), np.multiply(dw, lr))),
            np.subtract(np.multiply(v, momentum), np.multiply(dw, lr)),
        ),
        "long doubles inside": lambda w, dw, v, lr, momentum=0.9: momentum_slide(
            w.astype(np.longdouble), dw, v, lr, momentum
        ),
    },
)


def nesterov_steps(w, dw, v, lr, momentum=0.9):
    behind = w - momentum * v
    v = momentum * v - lr * dw
    behind = behind + v
    return behind + momentum * v, v


def nesterov_loop(w, dw, v, lr, momentum=0.9):
    parts = [nesterov_steps(a, b, c, lr, momentum) for a, b, c in zip(w.flat, dw.flat, v.flat, strict=True)]
    return tuple(np.array(part).reshape(w.shape) for part in zip(*parts, strict=True))


def nesterov_torch(w, dw, v, lr, momentum=0.9):
    buffer = -v / lr * momentum + dw
    return w - lr * (dw + momentum * buffer), -lr * buffer


NEW_V = lambda dw, v, lr, momentum: momentum * v - lr * dw  # noqa: E731
enter(
    "nesterov_update",
    {
        "in three steps": nesterov_steps,
        "a loop over all entries": nesterov_loop,
        "the short form": lambda w, dw, v, lr, momentum=0.9: (
            w + momentum * NEW_V(dw, v, lr, momentum) - lr * dw,
            NEW_V(dw, v, lr, momentum),
        ),
        "the form with 1 + momentum": lambda w, dw, v, lr, momentum=0.9: (
            w - momentum * v + (1 + momentum) * NEW_V(dw, v, lr, momentum),
            NEW_V(dw, v, lr, momentum),
        ),
        "multiplied out": lambda w, dw, v, lr, momentum=0.9: (
            w + momentum**2 * v - (1 + momentum) * lr * dw,
            NEW_V(dw, v, lr, momentum),
        ),
        "torch's buffer": nesterov_torch,
    },
)


def divided(average, step):
    def update(w, dw, g, lr, beta=0.99, eps=1e-8):
        new = average(g, dw, beta)
        return w - step(dw, new, lr, eps), new

    return update


def looped(average):
    def update(w, dw, g, lr, beta=0.99, eps=1e-8):
        w, new = w.copy(), g.copy()
        for index in np.ndindex(w.shape):
            new[index] = average(g[index], dw[index], beta)
            w[index] -= lr * dw[index] / (math.sqrt(new[index]) + eps)
        return w, new

    return update


def in_place_on_copy(average):
    def update(w, dw, g, lr, beta=0.99, eps=1e-8):
        g, step = np.array(average(g, dw, beta)), lr * dw
        step /= np.sqrt(g) + eps
        return w - step, g

    return update


AVERAGES = {
    "adagrad_update": lambda g, dw, beta: g + dw**2,
    "rmsprop_update": lambda g, dw, beta: beta * g + (1 - beta) * dw**2,
}
STEPS = {
    "lr times the quotient": lambda dw, g, lr, eps: lr * (dw / (np.sqrt(g) + eps)),
    "a learning rate per weight": lambda dw, g, lr, eps: lr / (np.sqrt(g) + eps) * dw,
    "the power 1/2": lambda dw, g, lr, eps: lr * dw / (g**0.5 + eps),
    "np.divide": lambda dw, g, lr, eps: np.divide(lr * dw, np.add(np.sqrt(g), eps)),
    "the inverse root": lambda dw, g, lr, eps: lr * dw * (np.sqrt(g) + eps) ** -1,
}
for task, average in AVERAGES.items():
    for name, step in STEPS.items():
        right(task, name)(divided(average, step))
    right(task, "a loop over all entries")(looped(average))
    right(task, "in place, on a copy")(in_place_on_copy(average))
right("rmsprop_update", "the average as a correction of the old one")(
    divided(lambda g, dw, beta: g + (1 - beta) * (dw * dw - g), STEPS["lr times the quotient"])
)
right("adagrad_update", "np.square")(divided(lambda g, dw, beta: np.square(dw) + g, STEPS["np.divide"]))


def adadelta(step, length=lambda step: step**2):
    def update(w, dw, g, p, beta=0.9, eps=1e-6):
        g = beta * g + (1 - beta) * dw**2
        moved = step(dw, g, p, eps)
        return w + -moved, g, beta * p + (1 - beta) * length(moved)

    return update


def adadelta_loop(w, dw, g, p, beta=0.9, eps=1e-6):
    w, g, p = w.copy(), g.copy(), p.copy()
    for i in np.ndindex(w.shape):
        g[i] = beta * g[i] + (1 - beta) * dw[i] ** 2
        step = math.sqrt(p[i] + eps) / math.sqrt(g[i] + eps) * dw[i]
        p[i] = beta * p[i] + (1 - beta) * step**2
        w[i] -= step
    return w, g, p


def adadelta_rms(w, dw, g, p, beta=0.9, eps=1e-6):
    def rms(a):
        return np.sqrt(a + eps)

    g = g + (1 - beta) * (dw * dw - g)
    delta = -rms(p) / rms(g) * dw
    return w + delta, g, p + (1 - beta) * (delta * delta - p)


enter(
    "adadelta_update",
    {
        "a quotient of two roots": adadelta(lambda dw, g, p, eps: np.sqrt(p + eps) / np.sqrt(g + eps) * dw),
        "the root of a quotient": adadelta(lambda dw, g, p, eps: np.sqrt((p + eps) / (g + eps)) * dw),
        "the paper's RMS and delta": adadelta_rms,
        "a loop over all entries": adadelta_loop,
        "gradient first": adadelta(lambda dw, g, p, eps: dw * (eps + p) ** 0.5 / (eps + g) ** 0.5),
        "the square without its root": adadelta(
            lambda dw, g, p, eps: np.sign(dw) * np.sqrt(dw**2 * (p + eps) / (g + eps)), np.square
        ),
    },
)


def adam(step):
    def update(w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        m = beta1 * m + (1 - beta1) * dw
        v = beta2 * v + (1 - beta2) * np.square(dw)
        return w - step(m, v, 1 - beta1**t, 1 - beta2**t, lr, eps), m, v

    return update


def adam_loop(w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    out = [np.empty_like(w) for _ in range(3)]
    for i in np.ndindex(w.shape):
        mean = beta1 * m[i] + (1 - beta1) * dw[i]
        square = beta2 * v[i] + (1 - beta2) * dw[i] ** 2
        step = lr * mean / (1 - beta1**t) / (math.sqrt(square / (1 - beta2**t)) + eps)
        for array, value in zip(out, (w[i] - step, mean, square), strict=True):
            array[i] = value
    return tuple(out)


def adam_copies(w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, w = m.copy(), v.copy(), w.copy()
    m += (1 - beta1) * (dw - m)
    v += (1 - beta2) * (dw * dw - v)
    w -= lr * (m / (1 - np.power(beta1, t))) / (np.sqrt(v / (1 - np.power(beta2, t))) + eps)
    return w, m, v


enter(
    "adam_update",
    {
        "both averages corrected": adam(lambda m, v, a, b, lr, eps: lr * (m / a) / (np.sqrt(v / b) + eps)),
        "the corrections in lr and eps": adam(
            lambda m, v, a, b, lr, eps: lr * math.sqrt(b) / a * m / (np.sqrt(v) + eps * math.sqrt(b))
        ),
        "the root of the correction apart": adam(
            lambda m, v, a, b, lr, eps: lr * m / a / (np.sqrt(v) / np.sqrt(b) + eps)
        ),
        "the power 1/2": adam(lambda m, v, a, b, lr, eps: lr * m / (a * ((v / b) ** 0.5 + eps))),
        "a loop over all entries": adam_loop,
        "in place, on copies": adam_copies,
        "corrections by np.expm1": lambda w, dw, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8: adam(
            lambda m, v, a, b, lr, eps: (
                lr * m / -np.expm1(t * np.log(beta1)) / (np.sqrt(v / -np.expm1(t * np.log(beta2))) + eps)
            )
        )(w, dw, m, v, t, lr, beta1, beta2, eps),
    },
)


def by_eigenvectors(gradient, hessian):
    values, vectors = np.linalg.eigh(hessian)
    return -vectors @ ((vectors.T @ gradient) / values)


def by_elimination(gradient, hessian):
    table = np.hstack([hessian, -np.reshape(gradient, (-1, 1))])
    size = len(gradient)
    for row in range(size):
        pivot = row + int(np.argmax(np.abs(table[row:, row])))
        table[[row, pivot]] = table[[pivot, row]]
        table[row] /= table[row, row]
        for other in range(size):
            if other != row:
                table[other] -= table[other, row] * table[row]
    return table[:, -1]


enter(
    "newton_direction",
    {
        "solve with the negative gradient": lambda g, h: np.linalg.solve(h, -g),
        "the negative of the solution": lambda g, h: -1 * np.linalg.solve(h, g),
        "the inverse": lambda g, h: -np.linalg.inv(h) @ g,
        "the pseudo-inverse": lambda g, h: -np.linalg.pinv(h) @ g,
        "least squares": lambda g, h: np.linalg.lstsq(h, -g, rcond=None)[0],
        "eigenvectors": by_eigenvectors,
        "elimination by hand": by_elimination,
    },
)


def forwards_and_backwards(gradient, pairs, scale=None):
    q, shares = gradient.copy(), [0.0] * len(pairs)
    for i in range(len(pairs) - 1, -1, -1):
        s, u = pairs[i]
        shares[i] = np.dot(s, q) / np.dot(u, s)
        q = q - shares[i] * u
    if scale is None:
        scale = 1 if not pairs else np.dot(pairs[-1][0], pairs[-1][1]) / np.dot(pairs[-1][1], pairs[-1][1])
    r = scale * q
    for i, (s, u) in enumerate(pairs):
        r = r + s * (shares[i] - np.dot(u, r) / np.dot(u, s))
    return -r


def by_recursion(gradient, pairs, scale=None):
    if scale is None:
        scale = 1.0 if len(pairs) == 0 else (pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1])
    if not pairs:
        return -scale * gradient
    s, u = pairs[-1]
    share = (s @ gradient) / (s @ u)
    inner = -by_recursion(gradient - share * u, pairs[:-1], scale)
    return -(inner + (share - (u @ inner) / (s @ u)) * s)


def with_rho(gradient, pairs, scale=None):
    rho = [1 / (u @ s) for s, u in pairs]
    q, shares = np.copy(gradient), []
    for (s, u), r in zip(reversed(pairs), reversed(rho), strict=True):
        shares.insert(0, r * (s @ q))
        q -= shares[0] * u
    if pairs and scale is None:
        scale = 1 / (rho[-1] * sum(pairs[-1][1] ** 2))
    q *= 1 if scale is None else scale
    for (s, u), r, share in zip(pairs, rho, shares, strict=True):
        q += s * (share - r * (u @ q))
    return np.negative(q)


def with_matrix(gradient, pairs, scale=None):
    size = len(gradient)
    if scale is None:
        scale = pairs[-1][0] @ pairs[-1][1] / (pairs[-1][1] @ pairs[-1][1]) if pairs else 1.0
    inverse = np.eye(size) * scale
    for s, u in pairs:
        keep = np.eye(size) - np.outer(u, s) / (s @ u)
        inverse = keep.T @ inverse @ keep + np.outer(s, s) / (s @ u)
    return inverse @ -gradient


def with_pops(gradient, pairs, scale=None):
    q, kept = -np.asarray(gradient), []  # the sign first: everything is linear in the gradient
    for s, u in pairs[::-1]:
        kept.append((s, u, (s @ q) / (s @ u)))
        q = q - kept[-1][2] * u
    if scale is None:
        scale = (kept[0][0] @ kept[0][1]) / (kept[0][1] @ kept[0][1]) if kept else 1.0
    q = q * scale
    while kept:
        s, u, share = kept.pop()
        q = q + (share - (u @ q) / (s @ u)) * s
    return q


enter(
    "lbfgs_direction",
    {
        "indices instead of reversed": forwards_and_backwards,
        "recursion": by_recursion,
        "rho kept, shares inserted at the front": with_rho,
        "the matrix written out": with_matrix,
        "a stack, and the sign at the beginning": with_pops,
    },
)

enter(
    "half_cosine",
    {
        "the formula": lambda start, end, share: end + (start - end) * (1 + math.cos(math.pi * share)) / 2,
        "NumPy": lambda start, end, share: end + 0.5 * (start - end) * (1 + np.cos(np.pi * share)),
        "mean and half the difference": lambda start, end, share: (
            (start + end) / 2 + (start - end) / 2 * math.cos(math.pi * share)
        ),
        "squares of half the angle": lambda start, end, share: (
            start * math.cos(math.pi * share / 2) ** 2 + end * math.sin(math.pi * share / 2) ** 2
        ),
        "from the start": lambda start, end, share: start + (end - start) * (1 - math.cos(math.pi * share)) / 2,
        "two shares": lambda start, end, share: (
            start * (1 + math.cos(math.pi * share)) / 2 + end * (1 - math.cos(math.pi * share)) / 2
        ),
        "a sine": lambda start, end, share: end + (start - end) * (1 + math.sin(math.pi * (0.5 - share))) / 2,
    },
)


def clipped(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    step, start = min(step, num_steps - 1), lr_max / div_factor
    top = pct_start * num_steps - 1
    if top > 0 and step < top:
        return between(start, lr_max, step / top)
    return between(lr_max, start / final_div_factor, (step - top) / (num_steps - 1 - top))


def three_cases(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    low = lr_max / (div_factor * final_div_factor)
    if step >= num_steps - 1:
        return low
    top = num_steps * pct_start - 1
    if top <= 0 or step > top:
        return between(lr_max, low, (step - top) / (num_steps - top - 1))
    return between(lr_max / div_factor, lr_max, step / top)


def counted_from_the_end(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    rise = pct_start * num_steps - 1
    left, fall = max(num_steps - 1 - step, 0), num_steps - 1 - rise
    if left <= fall or rise <= 0:
        return between(lr_max, lr_max / div_factor / final_div_factor, 1 - left / fall)
    return between(lr_max / div_factor, lr_max, step / rise)


def with_interp(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    top = pct_start * num_steps - 1
    if step <= top and top > 0:
        return between(lr_max / div_factor, lr_max, np.interp(step, [0, top], [0, 1]))
    return between(lr_max, lr_max / div_factor / final_div_factor, np.interp(step, [top, num_steps - 1], [0, 1]))


def with_corners(step, num_steps, lr_max, between, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    first = lr_max / div_factor
    corners = [(0, first), (pct_start * num_steps - 1, lr_max), (num_steps - 1, first / final_div_factor)]
    if corners[1][0] <= 0:
        corners = corners[1:]
    for (x0, y0), (x1, y1) in zip(corners, corners[1:], strict=False):
        if step <= x1:
            return between(y0, y1, (step - x0) / (x1 - x0))
    return corners[-1][1]


enter(
    "one_cycle",
    {
        "the step clipped first": clipped,
        "three cases": three_cases,
        "counted from the end": counted_from_the_end,
        "shares by np.interp": with_interp,
        "a list of corners": with_corners,
    },
)


def with_factor(train_step, lr_min, lr_max, num_steps):
    factor = (lr_max / lr_min) ** (1 / (num_steps - 1))
    lr, lrs, losses = lr_min, [], []
    for _ in range(num_steps):
        loss = train_step(lr)
        if not np.isfinite(loss) or loss > 4 * min([loss, *losses]):
            break
        lrs.append(lr)
        losses.append(loss)
        lr *= factor
    return lrs, losses


def with_formula(train_step, lr_min, lr_max, num_steps):
    lrs, losses, lowest = [], [], math.inf
    for i in range(num_steps):
        lr = lr_min * (lr_max / lr_min) ** (i / (num_steps - 1))
        loss = train_step(lr)
        lowest = min(lowest, loss) if loss == loss else lowest
        if not (loss <= 4 * lowest and loss < math.inf):
            return lrs, losses
        lrs.append(lr)
        losses.append(loss)
    return lrs, losses


def with_logs(train_step, lr_min, lr_max, num_steps):
    rates, losses = np.exp(np.linspace(np.log(lr_min), np.log(lr_max), num_steps)), []
    for lr in rates:
        losses.append(train_step(lr))
        if not math.isfinite(losses[-1]) or losses[-1] > 4 * min(losses):
            losses.pop()
            break
    return rates[: len(losses)], np.array(losses)


def with_logspace(train_step, lr_min, lr_max, num_steps):
    record = []
    for lr in np.logspace(np.log10(lr_min), np.log10(lr_max), num_steps):
        loss = train_step(float(lr))
        if math.isnan(loss) or math.isinf(loss) or any(loss > 4 * old for _, old in record):
            break
        record.append((lr, loss))
    return [lr for lr, _ in record], [loss for _, loss in record]


def with_while(train_step, lr_min, lr_max, num_steps):
    rates = list(np.geomspace(lr_min, lr_max, num_steps))
    lrs, losses = [], []
    while rates:
        lrs.append(rates.pop(0))
        losses.append(train_step(lrs[-1]))
        if not (math.isfinite(losses[-1]) and losses[-1] <= 4 * min(losses)):
            return tuple(lrs[:-1]), tuple(losses[:-1])
    return tuple(lrs), tuple(losses)


enter(
    "range_test",
    {
        "a factor per step": with_factor,
        "the formula with an exponent": with_formula,
        "logarithms, arrays returned": with_logs,
        "np.logspace of the exponents": with_logspace,
        "a while loop, tuples returned": with_while,
    },
)
