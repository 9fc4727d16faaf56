"""The model of Bayesian optimisation: a Gaussian process on the unit cube, fitted to transformed results (lecture 002).

scikit-learn's GaussianProcessRegressor gives the same numbers (a test compares them) and takes a hundred Python calls for each
value of the likelihood; a search asks for thousands.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.unit_cube import UnitCube

FEWEST_TO_TRANSFORM = 6  # values; fewer say nothing about the shape of their distribution
POWERS = (-4.0, 4.0)
AMPLITUDES, LENGTHS, NOISES = (0.05, 20.0), (0.05, 10.0), (1e-6, 1.0)
START = (1.0, 0.5, 1e-3)  # amplitude, length scales, noise
MOST_STEPS = 20  # of the optimiser: the next fit goes on where this one ends
JITTER = 1e-10  # on the diagonal, against rounding


class GaussianProcess:
    """Regression with a Matern kernel (nu = 5/2), a length scale per feature, and white noise.

    `k(x, x') = amplitude (1 + r + r**2 / 3) exp(-r)`, `r**2 = 5 sum_d ((x_d - x'_d) / length_d)**2`; the settings maximise the
    marginal likelihood of the targets (Rasmussen and Williams 2006, algorithm 2.1 and equation 5.9).

    Args:
        features: (n, D) inputs.
        targets: (n,) outputs, with mean near 0.
        settings: (D + 2,) logarithms of amplitude, length scales and noise; None takes `START`.
        fit: start at the settings and improve them; False keeps them.

    Attributes: settings, as above.

    >>> process = GaussianProcess(np.array([[0.0], [0.5], [1.0]]), np.array([0.0, 1.0, 0.0]))
    >>> mean, std = process.predict(np.array([[0.5], [0.25]]))
    >>> bool(abs(mean[0] - 1) < 0.1), bool(std[1] > std[0])
    (True, True)
    """

    def __init__(self, features: NDArray, targets: NDArray, settings: NDArray | None = None, fit: bool = True):
        self._features, self._targets = features, targets
        dims = features.shape[1]
        start = np.log([START[0], *[START[1]] * dims, START[2]]) if settings is None else settings
        self.settings = self._fitted(start) if fit else np.asarray(start)
        amplitude, lengths, noise = _split(self.settings)
        self._scaled = features / lengths
        _, self._unroot = _roots(amplitude * _matern(_distances(self._scaled, self._scaled)), noise)
        self._weights = self._unroot.T @ (self._unroot @ targets)

    def predict(self, features: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (C,), noise included, at features (C, D)."""
        amplitude, lengths, noise = _split(self.settings)
        covariance = amplitude * _matern(_distances(features / lengths, self._scaled))  # (C, n)
        explained = covariance @ self._unroot.T
        variance = amplitude + noise - np.einsum("cn,cn->c", explained, explained)
        return covariance @ self._weights, np.sqrt(np.maximum(variance, 0.0))

    def loss(self, settings: NDArray) -> tuple[float, NDArray[np.float64]]:
        """Negative logarithm of the marginal likelihood at other settings, and its gradient (D + 2,)."""
        return self._loss(settings, self._squares())

    def _squares(self) -> NDArray:
        columns = self._features.T
        return ((columns[:, :, None] - columns[:, None, :]) ** 2).reshape(len(columns), -1)  # (D, n n)

    def _loss(self, settings: NDArray, squares: NDArray) -> tuple[float, NDArray]:
        amplitude, lengths, noise = _split(settings)
        count = len(self._targets)
        r = np.sqrt(5 * lengths**-2.0 @ squares).reshape(count, count)
        decay = amplitude * np.exp(-r)
        smooth = decay * (1 + r + r * r / 3)
        root, unroot = _roots(smooth, noise)
        inverse = unroot.T @ unroot
        weights = inverse @ self._targets
        loss = 0.5 * (self._targets @ weights + count * math.log(2 * math.pi)) + np.log(root.diagonal()).sum()
        pull = inverse - np.outer(weights, weights)  # half the trace of pull dK is the gradient
        by_length = squares @ (pull * decay * (1 + r)).ravel() * (5 / 3) / lengths**2
        return float(loss), 0.5 * np.array([np.vdot(pull, smooth), *by_length, noise * np.trace(pull)])

    def _fitted(self, start: NDArray) -> NDArray:
        from scipy.optimize import minimize

        bounds = np.log([AMPLITUDES, *[LENGTHS] * (len(start) - 2), NOISES])
        found = minimize(
            self._loss,
            np.clip(start, *bounds.T),
            (self._squares(),),
            "L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": MOST_STEPS},
        )
        return np.clip(found.x, *bounds.T)


def _split(settings: NDArray) -> tuple[float, NDArray, float]:
    exponentials = np.exp(settings)
    return float(exponentials[0]), exponentials[1:-1], float(exponentials[-1])


def _distances(a: NDArray, b: NDArray) -> NDArray:
    """r of the kernel between points (C, D) and (n, D) that are divided by the length scales: (C, n)."""
    from scipy.spatial.distance import cdist

    return math.sqrt(5) * cdist(a, b)


def _matern(r: NDArray) -> NDArray:
    return (1 + r + r * r / 3) * np.exp(-r)


def _roots(smooth: NDArray, noise: float) -> tuple[NDArray, NDArray]:
    """Lower Cholesky factor (n, n) of the kernel matrix with noise, and its inverse."""
    root = np.linalg.cholesky(smooth + (noise + JITTER) * np.eye(len(smooth)))
    return root, np.linalg.inv(root)


class Surrogate:
    """A Gaussian process of the results; options of a choice get a coordinate each, so none is nearer than another.

    The values are standardised after a Yeo-Johnson transform (Yeo and Johnson 2000), which pulls in a long tail of bad runs; a
    value that is not finite counts as the worst finite one.

    Args:
        units: (n, D) unit coordinates that have been tried.
        values: (n,) their results, lower is better, at least one finite.
        earlier: a surrogate of fewer trials, whose settings are where this one starts.
        fit: improve the settings of the process and of the transform; False keeps those of earlier.

    Attributes: best, the lowest value on the transformed scale.

    >>> from exercise_code.hyperparameter_tuning.space import Space
    >>> cube = UnitCube(Space({"x": ([0.0, 1.0], "float")}))
    >>> surrogate = Surrogate(cube, np.array([[0.0], [0.5], [1.0]]), np.array([3.0, 1.0, 2.0]))
    >>> mean, std = surrogate.predict(np.array([[0.5], [0.25]]))
    >>> round(float(surrogate.to_values(mean)[0]), 1), bool(std[0] < std[1])
    (1.0, True)
    """

    def __init__(
        self, cube: UnitCube, units: NDArray, values: NDArray, earlier: "Surrogate | None" = None, fit: bool = True
    ):
        self.cube = cube
        values = np.where(np.isfinite(values), values, np.max(values[np.isfinite(values)]))
        self._centre = float(np.median(values))
        self._spread = float(np.median(np.abs(values - self._centre))) or float(np.std(values)) or 1.0
        targets = (values - self._centre) / self._spread
        self._power: float | None = None if earlier is None else earlier._power
        if fit:
            self._power = fitted_power(targets) if len(np.unique(values)) >= FEWEST_TO_TRANSFORM else None
        self._mean, self._std = 0.0, 1.0
        if self._power is not None:
            targets = yeo_johnson(targets, self._power)
            self._mean, self._std = float(targets.mean()), float(targets.std()) or 1.0
            targets = (targets - self._mean) / self._std
        settings = None if earlier is None else earlier._process.settings
        self._process: GaussianProcess = GaussianProcess(self._features(units), targets, settings, fit)
        self.best = float(targets.min())

    def predict(self, units: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (C,) at unit coordinates (C, D), on the transformed scale."""
        return self._process.predict(self._features(units))

    def to_values(self, transformed: ArrayLike) -> NDArray[np.float64]:
        """Numbers of the transformed scale as values of the objective; inf or -inf beyond what the transform reaches."""
        scaled = np.asarray(transformed, dtype=float)
        if self._power is not None:
            scaled = inverse_yeo_johnson(scaled * self._std + self._mean, self._power)
        return scaled * self._spread + self._centre

    def _features(self, units: NDArray) -> NDArray:
        columns = []
        for d, is_choice in enumerate(self.cube.is_choice):
            if is_choice:
                options = len(self.cube.edges[d]) - 1  # type: ignore[arg-type]
                columns.append(np.eye(options)[self.cube.cells(units[:, d], d)] / np.sqrt(2))
            else:
                columns.append(units[:, d : d + 1])
        return np.hstack(columns)


def yeo_johnson(x: NDArray, power: float) -> NDArray[np.float64]:
    """`((1 + x)**power - 1) / power` for x >= 0, `-((1 - x)**(2 - power) - 1) / (2 - power)` below; logarithms for power 0.

    >>> yeo_johnson(np.array([-1.0, 0.0, 3.0]), 1.0).tolist(), yeo_johnson(np.array([np.e - 1]), 0.0).tolist()
    ([-1.0, 0.0, 3.0], [1.0])
    """
    from scipy.special import boxcox1p

    return np.where(x >= 0, boxcox1p(np.abs(x), power), -boxcox1p(np.abs(x), 2 - power))


def inverse_yeo_johnson(y: NDArray, power: float) -> NDArray[np.float64]:
    """What `yeo_johnson` maps to y; inf or -inf where nothing does.

    >>> inverse_yeo_johnson(np.array([0.5, 1.0]), -1.0).tolist()
    [1.0, inf]
    """
    from scipy.special import inv_boxcox1p

    exponent = np.where(y >= 0, power, 2 - power)
    reached = 1 + exponent * np.abs(y) > 0
    x = inv_boxcox1p(np.where(reached, np.abs(y), 0.0), exponent)
    return np.copysign(np.where(reached, x, np.inf), y)


def fitted_power(x: NDArray) -> float:
    """The power in `POWERS` under which the transformed x looks most like draws from a normal distribution.

    >>> round(fitted_power(np.linspace(-1, 1, 9)), 2)   # symmetric: stays as it is
    1.0
    """
    from scipy.optimize import minimize_scalar

    jacobian = float(np.sum(np.copysign(np.log1p(np.abs(x)), x)))

    def loss(power: float) -> float:
        variance = float(np.var(yeo_johnson(x, power)))
        if not 0 < variance < math.inf:
            return math.inf
        return 0.5 * len(x) * math.log(variance) - (power - 1) * jacobian

    with np.errstate(over="ignore", invalid="ignore"):
        return float(minimize_scalar(loss, bounds=POWERS, method="bounded", options={"xatol": 1e-3}).x)
