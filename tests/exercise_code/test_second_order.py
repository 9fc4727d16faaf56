"""Newton, BFGS and L-BFGS against scipy, torch and one another, and the conditions their line searches promise."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exercise_code.networks.line_search import ARMIJO, CURVATURE, Point, backtracking, strong_wolfe
from exercise_code.networks.second_order import bfgs_inverse_update, lbfgs_direction, minimize, newton_direction


def rosen_value(x):
    return float(scipy.optimize.rosen(x))


def quadratic(condition, dimension, seed=0):
    """f, gradient, Hessian and minimum of a rotated quadratic with curvatures from 1 to `condition`."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    H = rotation @ np.diag(np.geomspace(1, condition, dimension)) @ rotation.T
    H, best = (H + H.T) / 2, rng.standard_normal(dimension)
    return lambda x: 0.5 * float((x - best) @ H @ (x - best)), lambda x: H @ (x - best), lambda x: H, best


def random_pairs(rng, count, dimension):
    """Steps and gradient changes of a positive definite quadratic."""
    A = rng.standard_normal((dimension, dimension))
    H = A @ A.T + np.eye(dimension)
    steps = rng.standard_normal((count, dimension))
    return [(s, H @ s) for s in steps]


# The formulas --------------------------------------------------------------------------------------------------------

SIZES = st.tuples(st.integers(1, 8), st.integers(1, 6), st.integers(0, 10_000))


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_the_bfgs_update_of_the_inverse_is_the_inverse_of_the_direct_update(sizes):
    dimension, _, seed = sizes
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((dimension, dimension))
    B = A @ A.T + np.eye(dimension)
    ((s, u),) = random_pairs(rng, 1, dimension)

    ours = bfgs_inverse_update(np.linalg.inv(B), s, u)
    direct = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(u, u) / (u @ s)

    np.testing.assert_allclose(ours @ direct, np.eye(dimension), atol=1e-7)
    np.testing.assert_allclose(ours @ u, s, rtol=1e-7, atol=1e-9)  # the quasi-Newton condition
    np.testing.assert_allclose(ours, ours.T, rtol=1e-10, atol=1e-12)


def test_the_bfgs_update_equals_scipys():
    rng = np.random.default_rng(1)
    reference = scipy.optimize.BFGS(init_scale=1.0)
    reference.initialize(5, "inv_hess")
    inverse = np.eye(5)

    for s, u in random_pairs(rng, 6, 5):
        inverse = bfgs_inverse_update(inverse, s, u)
        reference.update(s, u)
        np.testing.assert_allclose(inverse, reference.get_matrix(), rtol=1e-10, atol=1e-12)


def test_the_slides_last_term_and_a_missing_transpose_violate_the_quasi_newton_condition():
    rng = np.random.default_rng(2)
    ((s, u),) = random_pairs(rng, 1, 4)
    factor = np.eye(4) - np.outer(s, u) / (s @ u)
    slide = factor @ factor.T + np.outer(u, s) / (s @ u)
    untransposed = factor @ factor + np.outer(s, s) / (s @ u)

    np.testing.assert_allclose(bfgs_inverse_update(np.eye(4), s, u), factor @ factor.T + np.outer(s, s) / (s @ u))
    assert np.abs(slide @ u - s).max() > 0.5
    assert np.abs(slide - slide.T).max() > 0.5
    assert np.abs(untransposed - untransposed.T).max() > 0.1


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_the_two_loops_equal_scipys_and_the_dense_matrix_of_bfgs(sizes):
    dimension, count, seed = sizes
    rng = np.random.default_rng(seed)
    pairs, gradient = random_pairs(rng, count, dimension), rng.standard_normal(dimension)
    inverse = 0.3 * np.eye(dimension)
    for s, u in pairs:
        inverse = bfgs_inverse_update(inverse, s, u)
    product = scipy.optimize.LbfgsInvHessProduct(np.array([s for s, _ in pairs]), np.array([u for _, u in pairs]))

    size = np.abs(inverse).max() * 1e-9
    np.testing.assert_allclose(lbfgs_direction(gradient, pairs, 0.3), -inverse @ gradient, rtol=1e-7, atol=size)
    np.testing.assert_allclose(lbfgs_direction(gradient, pairs, 1.0), -product.matvec(gradient), rtol=1e-8, atol=size)


def test_the_two_loops_write_into_none_of_their_arguments():
    rng = np.random.default_rng(3)
    pairs, gradient = random_pairs(rng, 3, 4), rng.standard_normal(4)
    copies = [(s.copy(), u.copy()) for s, u in pairs], gradient.copy()

    lbfgs_direction(gradient, pairs)

    np.testing.assert_array_equal(gradient, copies[1])
    np.testing.assert_array_equal(pairs, copies[0])


def test_a_step_along_which_the_gradient_does_not_grow_is_refused():
    with pytest.raises(ValueError, match="a step along which the gradient grows"):
        bfgs_inverse_update(np.eye(2), np.array([1.0, 0.0]), np.array([-1.0, 0.0]))


# Newton --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 7, 50])
def test_newton_needs_one_step_on_a_positive_definite_quadratic(dimension):
    f, g, h, best = quadratic(1e3, dimension)

    for line_search in (None, "backtracking", "wolfe"):
        result = minimize(f, np.zeros(dimension), "newton", grad=g, hess=h, line_search=line_search)
        assert result.iterations == 1
        assert result.message == "grad_norm <= tol, at a minimum"
        np.testing.assert_allclose(result.x, best, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("start", [[-1.2, 1.0], [2.0, 2.0], [0.5, -0.5]])
def test_newton_reaches_the_minimum_of_rosenbrock_in_a_few_steps(start):
    rosen, rosen_der, rosen_hess = scipy.optimize.rosen, scipy.optimize.rosen_der, scipy.optimize.rosen_hess

    result = minimize(rosen, start, "newton", grad=rosen_der, hess=rosen_hess, tol=1e-9)

    assert result.converged and result.iterations < 20
    np.testing.assert_allclose(result.x, [1, 1], atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize("matrix", [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1 + 1e-16]]])
def test_newton_refuses_a_singular_hessian_whatever_its_scale(matrix, scale):
    with pytest.raises(ValueError, match="needs an invertible Hessian; this one is singular .*use bfgs"):
        newton_direction(np.ones(2), scale * np.array(matrix))


def test_newton_refuses_hessians_that_are_zero_or_not_symmetric_or_not_finite_or_of_another_shape():
    with pytest.raises(ValueError, match="singular"):
        newton_direction(np.ones(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="symmetric"):
        newton_direction(np.ones(2), np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="finite"):
        newton_direction(np.ones(2), np.array([[1.0, np.nan], [np.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"shape \(2, 2\), got \(3, 3\)"):
        newton_direction(np.ones(2), np.eye(3))


def _bowl_or_not(signs):
    H = np.diag(np.array(signs, dtype=float))
    return {"fun": lambda x: 0.5 * float(x @ H @ x), "grad": lambda x: H @ x, "hess": lambda x: H}


@pytest.mark.parametrize(
    ("signs", "kind"), [((1, 2), "a minimum"), ((1, -2), "a saddle point"), ((-1, -2), "a maximum")]
)
def test_full_newton_steps_go_to_any_stationary_point_and_the_message_says_which_it_is(signs, kind):
    result = minimize(**_bowl_or_not(signs), x0=[1.0, 1.0], method="newton")

    assert result.message == f"grad_norm <= tol, at {kind}"
    np.testing.assert_allclose(result.x, [0, 0], atol=1e-12)


def test_newton_with_a_line_search_refuses_to_climb():
    with pytest.raises(ValueError, match="expected a direction of descent"):
        minimize(**_bowl_or_not((-1, -2)), x0=[1.0, 1.0], method="newton", line_search="backtracking")


# Quasi-Newton against scipy ------------------------------------------------------------------------------------------

SCIPY = {"bfgs": ("BFGS", {}), "lbfgs": ("L-BFGS-B", {"ftol": 1e-15, "maxcor": 10})}


@pytest.mark.parametrize("line_search", ["wolfe", "backtracking"])
@pytest.mark.parametrize("method", SCIPY)
@pytest.mark.parametrize("dimension", [1, 2, 10, 40])
def test_a_quadratic_of_condition_1000_is_solved_with_no_more_work_than_scipys(method, dimension, line_search):
    f, g, _, best = quadratic(1e3, dimension)
    name, options = SCIPY[method]
    reference = scipy.optimize.minimize(f, np.zeros(dimension), jac=g, method=name, options=options | {"gtol": 1e-7})

    result = minimize(f, np.zeros(dimension), method, grad=g, tol=1e-7, line_search=line_search, max_iter=1000)

    assert result.converged and result.grad_norm <= 1e-7
    np.testing.assert_allclose(result.x, best, atol=1e-6)
    np.testing.assert_allclose(result.x, reference.x, atol=1e-5)
    assert result.iterations <= 2 * reference.nit + 5


@pytest.mark.parametrize("method", SCIPY)
@pytest.mark.parametrize("start", [[-1.2, 1.0], [2.0, 2.0], [1.3, 0.7, 0.8, 1.9, 1.2, 1.3, 0.7, 0.8, 1.9, 1.2]])
def test_rosenbrock_is_solved_like_scipy_does(method, start):
    name, options = SCIPY[method]
    rosen, rosen_der = scipy.optimize.rosen, scipy.optimize.rosen_der
    reference = scipy.optimize.minimize(rosen, start, jac=rosen_der, method=name, options=options | {"gtol": 1e-8})

    result = minimize(rosen, start, method, grad=rosen_der, tol=1e-7)

    assert result.converged
    np.testing.assert_allclose(result.x, reference.x, atol=1e-5)
    assert result.iterations <= 1.5 * reference.nit + 5


def test_lbfgs_ends_where_torchs_does():
    f, g, _, best = quadratic(1e3, 12, seed=5)
    x = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [x], max_iter=1000, line_search_fn="strong_wolfe", tolerance_grad=1e-9, tolerance_change=0
    )

    def closure():
        x.grad = torch.tensor(g(x.detach().numpy()))
        return torch.tensor(f(x.detach().numpy()))

    optimizer.step(closure)
    result = minimize(f, np.zeros(12), grad=g, tol=1e-8, max_iter=1000)

    np.testing.assert_allclose(result.x, x.detach().numpy(), atol=1e-7)
    np.testing.assert_allclose(result.x, best, atol=1e-7)


def test_with_memory_for_all_steps_lbfgs_is_nearly_bfgs_and_with_little_it_still_arrives():
    f, g, _, best = quadratic(1e3, 20)

    steps = {memory: minimize(f, np.zeros(20), grad=g, memory=memory, max_iter=2000) for memory in (1, 3, 10, 100)}

    for result in steps.values():
        np.testing.assert_allclose(result.x, best, atol=1e-5)
    assert steps[100].iterations < steps[10].iterations < steps[1].iterations


def test_bad_conditioning_slows_steepest_descent_down_and_not_bfgs():
    f, g, _, _ = quadratic(1e3, 5)

    descent = minimize(f, np.zeros(5), "gd", grad=g, max_iter=2000)
    bfgs = minimize(f, np.zeros(5), "bfgs", grad=g, max_iter=2000)

    assert bfgs.converged and bfgs.iterations < 60
    assert descent.iterations > 5 * bfgs.iterations


# The result ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gd", "newton", "bfgs", "lbfgs"])
def test_the_result_describes_the_last_point_of_the_path(method):
    f, g, h, _ = quadratic(10, 3)
    start = np.zeros(3, dtype=np.float32)

    result = minimize(f, start, method, grad=g, hess=h if method == "newton" else None)

    assert result.path.shape == (result.iterations + 1, 3)
    assert result.x.dtype == np.float64
    np.testing.assert_array_equal(result.path[0], start)
    np.testing.assert_array_equal(result.path[-1], result.x)
    assert result.fun == f(result.x)
    assert result.grad_norm == np.linalg.norm(g(result.x))
    assert not start.any()
    if method != "newton":
        assert (np.diff([f(x) for x in result.path]) < 0).all()


def test_a_run_that_is_cut_short_says_so():
    result = minimize(scipy.optimize.rosen, [-1.2, 1.0], grad=scipy.optimize.rosen_der, max_iter=3)

    assert (result.converged, result.iterations, result.message) == (False, 3, "max_iter reached")


def test_a_start_at_the_minimum_takes_no_step():
    result = minimize(scipy.optimize.rosen, [1.0, 1.0], grad=scipy.optimize.rosen_der)

    assert (result.converged, result.iterations) == (True, 0)


def test_a_function_that_is_not_finite_everywhere_is_minimised_without_a_warning():
    def f(x):
        return float(x.sum() - np.log(x).sum())  # NaN below 0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("gd", "bfgs", "lbfgs"):
            for line_search in ("wolfe", "backtracking"):
                result = minimize(f, [50.0, 0.01], method, grad=lambda x: 1 - 1 / x, line_search=line_search)
                np.testing.assert_allclose(result.x, [1, 1], atol=1e-4)


def test_full_steps_that_blow_up_are_reported_as_diverged():
    result = minimize(
        lambda x: float(x[0] ** 4), [1.0], "gd", grad=lambda x: 400 * x**3, line_search="none", max_iter=50
    )

    assert result.message.startswith("diverged")
    assert np.isfinite(result.path).all()


def test_a_gradient_of_another_function_is_noticed():
    result = minimize(lambda x: float(x @ x), [1.0, 1.0], grad=lambda x: -2 * x)

    assert not result.converged
    assert "grad does not belong to fun" in result.message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "adam"}, "method must be one of gd, newton, bfgs, lbfgs"),
        ({"line_search": "golden"}, "line_search must be wolfe, backtracking or none"),
        ({"method": "newton"}, "expected hess for Newton's method and for no other"),
        ({"hess": lambda x: np.eye(2)}, "expected hess for Newton's method and for no other"),
        ({"x0": [[1.0, 2.0]]}, r"start of shape \(D,\)"),
        ({"x0": []}, r"start of shape \(D,\)"),
        ({"x0": [np.inf, 0.0]}, "finite"),
        ({"grad": lambda x: x[:1]}, r"expected grad to return shape \(2,\), got \(1,\)"),
        ({"tol": 0.0}, "tol > 0"),
        ({"memory": 0}, "memory >= 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    usual = {"fun": lambda x: float(x @ x), "x0": [1.0, 2.0], "grad": lambda x: 2 * x}

    with pytest.raises(ValueError, match=message):
        minimize(**usual | settings)


# The line searches ---------------------------------------------------------------------------------------------------

LINES = {
    "parabola": (lambda a: (a - 3) ** 2, lambda a: 2 * (a - 3)),
    "far_away": (lambda a: (a - 3000) ** 2, lambda a: 2 * (a - 3000)),
    "close_by": (lambda a: (a - 1e-5) ** 2, lambda a: 2 * (a - 1e-5)),
    "flat_far_out": (lambda a: -a / (a * a + 2), lambda a: (a * a - 2) / (a * a + 2) ** 2),  # Moré and Thuente 1994
    "quartic": (
        lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
        lambda a: 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3,
    ),
}


@pytest.mark.parametrize("first_alpha", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("line", LINES)
def test_the_point_found_fulfils_both_wolfe_conditions(line, first_alpha):
    phi, slope = LINES[line]
    start = Point(0.0, np.zeros(1), float(phi(0.0)), np.array([slope(0.0)]))

    point = strong_wolfe(lambda x: phi(x[0]), lambda x: slope(x), start, np.ones(1), first_alpha)

    assert point is not None
    assert phi(point.alpha) <= phi(0.0) + ARMIJO * point.alpha * slope(0.0)
    assert abs(slope(point.alpha)) <= CURVATURE * abs(slope(0.0))
    assert (point.x.item(), point.value) == (point.alpha, phi(point.alpha))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), stretch=st.floats(-3, 3))
def test_both_searches_hold_their_promise_on_rosenbrock_from_anywhere(seed, stretch):
    rng = np.random.default_rng(seed)
    rosen, rosen_der = rosen_value, scipy.optimize.rosen_der
    x = rng.standard_normal(4)
    gradient = rosen_der(x)
    direction = -gradient * rng.uniform(0.1, 1, 4) * 10**stretch
    start, slope = Point(0.0, x, rosen(x), gradient), gradient @ direction

    far, near = strong_wolfe(rosen, rosen_der, start, direction), backtracking(rosen, rosen_der, start, direction)

    for point in (far, near):
        assert point is not None
        np.testing.assert_allclose(point.x, x + point.alpha * direction)
        assert point.value <= start.value + ARMIJO * point.alpha * slope
        np.testing.assert_array_equal(point.gradient, rosen_der(point.x))
    assert abs(far.gradient @ direction) <= CURVATURE * abs(slope)
    assert np.log2(near.alpha) == round(np.log2(near.alpha)) <= 0


@pytest.mark.parametrize("search", [backtracking, strong_wolfe])
def test_a_direction_that_does_not_go_down_is_refused(search):
    start = Point(0.0, np.ones(2), 2.0, np.full(2, 2.0))

    with pytest.raises(ValueError, match="expected a direction of descent"):
        search(lambda x: float(x @ x), lambda x: 2 * x, start, np.array([1.0, -1.0]))


@pytest.mark.parametrize("search", [backtracking, strong_wolfe])
def test_no_point_is_better_than_a_wrong_one_when_the_function_only_rises(search):
    start = Point(0.0, np.zeros(1), 0.0, np.array([-1.0]))

    assert search(lambda x: float(x[0]), lambda x: np.ones(1), start, np.ones(1)) is None
