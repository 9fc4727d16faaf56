"""Second-order methods of lecture 002 for functions of a few hundred variables: Newton, BFGS and L-BFGS.

`minimize` runs them, with f, its gradient and, for Newton, its Hessian given as functions of a vector; the formulas are
functions of their own.  Everything is float64: the methods live on differences of gradients, which lose half the digits.
Names: s = x_new - x_old is a step, u = gradient_new - gradient_old what the gradient did on it, D the number of variables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.networks.line_search import Point, backtracking, strong_wolfe

METHODS = ("gd", "newton", "bfgs", "lbfgs")


@dataclass(frozen=True)
class Result:
    """What `minimize` found.

    Attributes:
        x: (D,) float64, the last point.
        fun: value there.
        grad_norm: Euclidean norm of the gradient there.
        iterations: steps taken.
        path: (iterations + 1, D) all points from the start to x.
        converged: whether grad_norm <= tol.
        message: why it stopped, and for Newton what kind of point it is.

    >>> Result(np.zeros(2), 0.0, 0.0, 0, np.zeros((1, 2)), True, "grad_norm <= tol").converged
    True
    """

    x: NDArray
    fun: float
    grad_norm: float
    iterations: int
    path: NDArray = field(repr=False)
    converged: bool
    message: str


def newton_direction(gradient: NDArray, hessian: NDArray) -> NDArray:
    """Newton's step `-H^-1 gradient`, (D,): the stationary point of the quadratic that fits f here (lecture 002).

    Computed by solving H step = -gradient, without the inverse.  One step ends at the minimum if f is quadratic **and** H
    positive definite, which the slide leaves out: with a negative eigenvalue the stationary point is a saddle or a
    maximum, and the step leads there, uphill along that eigenvector.

    Args:
        gradient: (D,).
        hessian: (D, D), symmetric.

    Raises:
        ValueError: H is not finite, not symmetric or singular (smallest over largest eigenvalue <= D * 2.2e-16).

    >>> newton_direction(np.array([2.0, 4.0]), np.diag([1.0, -4.0])).tolist()   # a saddle: the second entry goes up
    [-2.0, 1.0]
    """
    hessian = np.asarray(hessian, dtype=np.float64)
    if hessian.shape != (len(gradient), len(gradient)):
        raise ValueError(f"expected a Hessian of shape {(len(gradient), len(gradient))}, got {hessian.shape}")
    scale = np.abs(hessian).max()
    if not (np.isfinite(scale) and np.abs(hessian - hessian.T).max() <= 1e-8 * scale):
        raise ValueError("expected a finite, symmetric Hessian: second derivatives can be taken in either order")
    sizes = np.abs(np.linalg.eigvalsh(hessian))
    if sizes.min() <= len(sizes) * np.finfo(np.float64).eps * sizes.max():
        raise ValueError(
            f"Newton's method needs an invertible Hessian; this one is singular (absolute eigenvalues from "
            f"{sizes.min():.2g} to {sizes.max():.2g}): start elsewhere, add an L2 term to f, or use bfgs"
        )
    ### BEGIN SOLUTION 03_optimizers
    return -np.linalg.solve(hessian, gradient)
    ### END SOLUTION


def bfgs_inverse_update(inverse: NDArray, s: NDArray, u: NDArray) -> NDArray:
    """New approximation (D, D) of the inverse Hessian, from the old one, a step s and the gradient's change u, both (D,).

    `H <- (I - s u^T / (s^T u)) H (I - s u^T / (s^T u))^T + s s^T / (s^T u)`, H being the inverse B^-1 of the slide; it is
    the exact inverse of the slide's (right) update of B, without inverting anything.  It fulfils the quasi-Newton condition
    H_new u = s.  The transposed second factor is I - u s^T / (s^T u); a frequent mistake leaves out the transpose.  The
    slide's last term, u s^T / (s^T u), should be s s^T / (s^T u): with it the result is not even symmetric.

    Raises:
        ValueError: s^T u <= 0, which would lose positive definiteness; the strong Wolfe conditions exclude it.

    >>> u = np.array([3.0, 1.0])
    >>> (bfgs_inverse_update(np.eye(2), np.array([1.0, 0.0]), u) @ u).round(12).tolist()
    [1.0, 0.0]
    """
    curvature = float(s @ u)
    if not curvature > 0:
        raise ValueError(f"expected a step along which the gradient grows (s @ u > 0), got {curvature:.3g}")
    hu = inverse @ u
    outer = np.outer(s, hu)
    return inverse - (outer + outer.T) / curvature + (1 + u @ hu / curvature) * np.outer(s, s) / curvature


def lbfgs_direction(gradient: NDArray, pairs: Sequence[tuple[NDArray, NDArray]], scale: float | None = None) -> NDArray:
    """`-H gradient`, (D,), where H is what BFGS would have built from the stored pairs, without ever forming H.

    Two loops over the p pairs (Nocedal 1980), 4 p D multiplications and 2 p D numbers of memory instead of D**2 each.

    Args:
        gradient: (D,).
        pairs: p pairs (s, u) of vectors (D,) with s @ u > 0, oldest first; none gives steepest descent.
        scale: BFGS starts from scale * I; None means s^T u / (u^T u) of the newest pair (Nocedal and Wright 2006,
            equation 7.20), or 1 without pairs.

    >>> s, u = np.array([1.0, 0.0]), np.array([3.0, 1.0])
    >>> np.allclose(lbfgs_direction(u, [(s, u)]), -s)
    True
    """
    ### BEGIN SOLUTION 03_optimizers
    q = np.array(gradient, dtype=np.float64)
    shares = []
    for s, u in reversed(pairs):
        shares.append((s @ q) / (s @ u))
        q -= shares[-1] * u
    if scale is None and pairs:
        s, u = pairs[-1]
        scale = float((s @ u) / (u @ u))  # the inverse curvature along the newest step
    q *= 1.0 if scale is None else scale
    for (s, u), share in zip(pairs, reversed(shares), strict=True):
        q += (share - (u @ q) / (s @ u)) * s
    return -q
    ### END SOLUTION


def minimize(
    fun: Callable[[NDArray], float],
    x0: ArrayLike,
    method: str = "lbfgs",
    *,
    grad: Callable[[NDArray], NDArray],
    hess: Callable[[NDArray], NDArray] | None = None,
    max_iter: int = 200,
    tol: float = 1e-6,
    line_search: str | None = None,
    memory: int = 10,
) -> Result:
    """Look for a minimum of fun from x0 until the norm of the gradient is at most tol.

    Args:
        fun: x (D,) float64 -> number.
        x0: (D,) start.
        method: "gd" (steepest descent with a line search), "newton" (needs hess), "bfgs" (starts from H = I) or "lbfgs".
        grad: x (D,) -> (D,), the gradient of fun.
        hess: x (D,) -> (D, D), its Hessian.
        max_iter: steps at most, >= 0.
        tol: > 0.
        line_search: "wolfe", "backtracking" or "none" (full steps); None means "none" for Newton, as in the lecture,
            and "wolfe" for the others.
        memory: the number p of pairs that L-BFGS keeps, >= 1.

    All methods find stationary points.  The line searches only accept steps that go down, so they end at a maximum or a
    saddle only by starting exactly there or on a line that leads into it.  Newton with full steps goes to the *nearest*
    stationary point of the fitted quadratic, be it minimum, maximum or saddle, and says in `Result.message` which it is.

    Raises:
        ValueError: an unknown method or line search, a missing hess, a start that is not a vector or where fun is not
            finite; a singular Hessian; for Newton with a line search, a direction that does not go down.

    >>> H = np.diag([1.0, 1000.0])
    >>> f, g = lambda x: 0.5 * x @ H @ x, lambda x: H @ x
    >>> minimize(f, [1.0, 1.0], "newton", grad=g, hess=lambda x: H).iterations
    1
    >>> saddle = minimize(lambda x: x[0]**2 - x[1]**2, [1.0, 1.0], "newton", grad=lambda x: np.array([2, -2]) * x,
    ...                   hess=lambda x: np.diag([2.0, -2.0]))
    >>> saddle.x.tolist(), saddle.message
    ([0.0, 0.0], 'grad_norm <= tol, at a saddle point')
    """
    search = line_search or ("none" if method == "newton" else "wolfe")
    _check(method, search, hess, max_iter, tol, memory)
    x = np.array(x0, dtype=np.float64)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"expected a start of shape (D,) with D >= 1, got {x.shape}")

    def gradient_at(x: NDArray) -> NDArray:
        gradient = np.array(grad(x), dtype=np.float64)
        if gradient.shape != x.shape:
            raise ValueError(f"expected grad to return shape {x.shape}, got {gradient.shape}")
        return gradient

    with np.errstate(over="ignore", invalid="ignore"):  # a trial step may go too far; values are checked instead
        point = Point(0.0, x, float(fun(x)), gradient_at(x))
        if not (np.isfinite(point.value) and np.isfinite(point.gradient).all()):
            raise ValueError(f"expected a start where fun and grad are finite, got fun(x0) = {point.value}")
        path, message = [x], "max_iter reached"
        model = _Model(method, memory, hess)
        while True:
            if np.linalg.norm(point.gradient) <= tol:
                message = "grad_norm <= tol" + model.kind_of_point(point.x)
                break
            if len(path) > max_iter:
                break
            direction = model.direction(point)
            after = _search(search, fun, gradient_at, point, direction, model.first_alpha(point))
            if after is None:
                message = (
                    "no lower point along the direction: as good as rounding allows, or grad does not belong to fun"
                )
                break
            if not (np.isfinite(after.value) and np.isfinite(after.gradient).all()):
                message = "diverged: the next point is not finite"
                break
            model.learn(after.x - point.x, after.gradient - point.gradient)
            point = after
            path.append(point.x)
    norm = float(np.linalg.norm(point.gradient))
    return Result(point.x.copy(), point.value, norm, len(path) - 1, np.array(path), norm <= tol, message)


class _Model:
    """What a method knows of the curvature: turns gradients into directions and learns from the steps taken."""

    def __init__(self, method: str, memory: int, hess: Callable | None):
        self.method, self.memory, self.hess = method, memory, hess
        self.inverse: NDArray | None = None
        self.pairs: list[tuple[NDArray, NDArray]] = []

    def direction(self, point: Point) -> NDArray:
        if self.method == "newton" and self.hess is not None:
            return newton_direction(point.gradient, self.hess(point.x))
        if self.inverse is not None:
            direction = -self.inverse @ point.gradient
        else:
            direction = lbfgs_direction(point.gradient, self.pairs)
        if not direction @ point.gradient < 0:  # rounding ate the positive definiteness: start afresh
            self.inverse, self.pairs, direction = None, [], -point.gradient
        return direction

    def first_alpha(self, point: Point) -> float:
        """1 where the direction has a natural length; steepest descent has none, so its first trial moves x by 1 at most."""
        scaled = self.method == "newton" or self.pairs or self.inverse is not None
        return 1.0 if scaled else min(1.0, 1 / float(np.linalg.norm(point.gradient)))

    def learn(self, s: NDArray, u: NDArray) -> None:
        if s @ u <= 1e-12 * np.linalg.norm(s) * np.linalg.norm(u):
            return  # only without the Wolfe conditions, or at the limit of rounding
        if self.method == "bfgs":
            self.inverse = bfgs_inverse_update(np.eye(len(s)) if self.inverse is None else self.inverse, s, u)
        elif self.method == "lbfgs":
            self.pairs = [*self.pairs, (s, u)][-self.memory :]

    def kind_of_point(self, x: NDArray) -> str:
        if self.method != "newton" or self.hess is None:
            return ""
        curvatures = np.linalg.eigvalsh(self.hess(x))
        if curvatures.min() < 0 < curvatures.max():
            return ", at a saddle point"
        if curvatures.min() > 0:
            return ", at a minimum"
        return ", at a maximum" if curvatures.max() < 0 else ", at a point with a flat direction"


def _search(
    search: str, fun: Callable, grad: Callable, point: Point, direction: NDArray, first_alpha: float
) -> Point | None:
    if search == "none":
        x = point.x + direction
        return Point(1.0, x, float(fun(x)), grad(x))
    if search == "backtracking":
        return backtracking(fun, grad, point, direction)
    return strong_wolfe(fun, grad, point, direction, first_alpha)


def _check(method: str, search: str, hess: Any, max_iter: int, tol: float, memory: int) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if search not in ("wolfe", "backtracking", "none"):
        raise ValueError(f"line_search must be wolfe, backtracking or none, got {search!r}")
    if (hess is None) == (method == "newton"):
        raise ValueError("expected hess for Newton's method and for no other: the others never look at it")
    if max_iter < 0 or memory < 1 or not tol > 0:
        raise ValueError(f"expected max_iter >= 0, memory >= 1 and tol > 0, got {max_iter}, {memory} and {tol}")
