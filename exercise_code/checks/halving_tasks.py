"""Verifiers of exercise 05's tasks on early stopping: who survives a rung, how many rounds, and Hyperband's table."""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from exercise_code.checks.core import expect
from exercise_code.checks.verifiers import call_unchanged

NAN, INF = float("nan"), float("inf")


def _whole(values: Any) -> bool:
    return all(isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_) for value in values)


def halving_survivors(answer: Any, rng: np.random.Generator) -> None:
    shuffled = rng.permutation(np.linspace(0.2, 2.0, 12))
    by_value = {float(value): position for position, value in enumerate(shuffled)}
    order = [by_value[value] for value in sorted(by_value)]
    floor = "floor(n / eta) go on: round down."
    for what, values, eta, wanted, look in (
        ("values 0.5, 0.2, 0.9, 0.1, 0.7, 0.3, eta 3", [0.5, 0.2, 0.9, 0.1, 0.7, 0.3], 3, [3, 1],
         "Positions of the lowest values, the best one first; 1 / eta of them go on."),
        ("12 values, eta 4", shuffled, 4, order[:3], "1 / eta of them go on, not all but eta."),
        ("12 values, eta 2", shuffled, 2, order[:6], "1 / eta of them go on, not all but eta."),
        ("10 values, eta 3", shuffled[:10], 3, [i for i in order if i < 10][:3], floor),
        ("11 values, eta 4", shuffled[:11], 4, [i for i in order if i < 11][:2], floor),
        ("2 values, eta 3", [0.4, 0.3], 3, [1], "At least one goes on."),
        ("1 value, eta 2", [0.4], 2, [0], "At least one goes on."),
        ("three times 0.1", [0.3, 0.1, 0.1, 0.5, 0.1, 0.9], 3, [1, 2],
         "Of equal values the earlier one first: the sort has to be stable."),
        ("many equal values", [1.0, 0.5] * 20, 4, list(range(1, 20, 2)),
         "Of equal values the earlier one first: the sort has to be stable."),
        ("negative values", [-0.3, -0.6, -0.1, -0.5], 2, [1, 3], "Lower is better, below 0 too."),
        ("a first value of nan", [NAN, 0.4, 0.2, 0.3, 0.9, 0.8], 3, [2, 3],
         "A run that diverged is never among the best: every comparison with nan is False."),
        ("two finite values of six, eta 2", [NAN, 0.4, INF, NAN, 0.1, INF], 2, [4, 1],
         "A value that is not finite never goes on, even when places are left."),
        ("nothing but nan and inf", [NAN, INF, NAN], 3, [], "A value that is not finite never goes on."),
    ):  # fmt: skip
        got = call_unchanged(what, answer, np.asarray(values, dtype=float), eta)
        is_list = isinstance(got, list | tuple) or (isinstance(got, np.ndarray) and got.ndim == 1)
        kind = "None (is there a return?)" if got is None else type(got).__name__
        expect(is_list, what, "a list of positions", kind, "Return the positions in a list.")
        found = list(got)
        expect(_whole(found), what, "a list of whole numbers", found, "Positions, not the values.")
        expect(found == wanted, what, wanted, [int(i) for i in found], look)
    got = [int(i) for i in answer(np.array([0.4, -INF, 0.2, 0.3]), 2)]  # whether -inf takes a place is left open
    expect(got in ([2], [2, 3]), "0.4, -inf, 0.2, 0.3", "only finite values", got, "-inf is not finite either.")
    given = answer([0.5, 0.25, 0.75, 1.0], 2)
    expect([int(i) for i in given] == [1, 0], "values in a list", [1, 0], given, "Make an array of them first.")


def elimination_rounds(answer: Any, rng: np.random.Generator) -> None:
    last = "The winner is trained alone, too, with the whole budget of a round."
    share = "eta is a ratio: 1 / eta of the configurations go on."
    epochs = "The budget is for a whole round; the configurations of the round share it, in whole epochs."
    cases: list[tuple[tuple[int, int, int], list[tuple[int, int]], str]] = [
        ((27, 27, 3), [(27, 1), (9, 3), (3, 9), (1, 27)], f"{share} {last}"),
        ((16, 32, 2), [(16, 2), (8, 4), (4, 8), (2, 16), (1, 32)], f"{share} {last}"),
        ((64, 64, 4), [(64, 1), (16, 4), (4, 16), (1, 64)], f"{share} {last}"),
        ((10, 36, 3), [(10, 3), (3, 12), (1, 36)], f"Round down: floor(n / eta) go on. {epochs}"),
        ((7, 27, 2), [(7, 3), (3, 9), (1, 27)], f"Round down: floor(n / eta) go on. {epochs}"),
        ((2, 9, 3), [(2, 4), (1, 9)], "When eta is larger than what is left, one still goes on."),
        ((1, 5, 3), [(1, 5)], "One configuration: one round."),
    ]
    eta, depth = int(rng.integers(2, 6)), int(rng.integers(2, 4))
    top = eta**depth
    cases.append(((top, 2 * top, eta), [(eta**i, 2 * eta ** (depth - i)) for i in range(depth, -1, -1)], share))
    for arguments, wanted, look in cases:
        what = "{} configurations, {} epochs per round, eta {}".format(*arguments)
        got = answer(*arguments)
        expect(_are_rungs(got), what, "a list of pairs (configurations, epochs each)", got,
               "One pair of whole numbers per round: `//` keeps them whole.")  # fmt: skip
        found = [tuple(int(number) for number in pair) for pair in got]
        expect(len(found) == len(wanted), what, f"{len(wanted)} rounds", f"{len(found)}: {found}", look)
        expect(found == wanted, what, wanted, found, look)


def _are_rungs(got: Any) -> bool:
    if isinstance(got, np.ndarray):
        return got.ndim == 2 and got.shape[1] == 2 and got.dtype.kind in "iu"
    pairs = isinstance(got, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in got)
    return pairs and all(_whole(pair) for pair in got)


# lecture 002's table for 81 epochs, and the one of Li et al. (2018)
_LECTURE = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(27, 3), (9, 9), (3, 27), (1, 81)],
    [(9, 9), (3, 27), (1, 81)],
    [(6, 27), (2, 81)],
    [(5, 81)],
]
_PUBLISHED_STARTS = [81, 34, 15, 8, 5]


def _by_fractions(longest: int, eta: int, variant: str) -> list[list[tuple[int, int]]]:
    """The same table with exact fractions, filled from the long end."""
    lengths = [1]
    while lengths[-1] * eta <= longest:
        lengths.append(lengths[-1] * eta)
    columns: list[list[tuple[int, int]]] = []
    for s, power in enumerate(lengths):
        share = Fraction(len(lengths), s + 1)
        start = math.floor(share) * power if variant == "lecture" else math.ceil(share * power)
        columns.insert(
            0,
            [
                (math.floor(Fraction(start, lengths[i])), math.floor(Fraction(longest, lengths[s - i])))
                for i in range(s + 1)
            ],
        )
    return columns


def hyperband_table(answer: Any, rng: np.random.Generator) -> None:
    _compare_table(answer, 81, 3, "lecture", _LECTURE)
    starts = [(rungs[0] if rungs else (0, 0))[0] for rungs in _as_table(answer, 81, 3, "published")]
    expect(starts == _PUBLISHED_STARTS, "R = 81, published, configurations that start", _PUBLISHED_STARTS, starts,
           "Here n = ceil((s_max + 1) * eta**s / (s + 1)): multiply first, divide last, round up.")  # fmt: skip
    pairs = [(9, 3), (27, 3), (16, 2), (1, 3), (2, 3), (243, 3), (1000, 10), (100, 3), (int(rng.integers(30, 400)), 4)]
    for variant in ("lecture", "published"):
        for longest, eta in pairs:
            _compare_table(answer, longest, eta, variant, _by_fractions(longest, eta, variant))
    expect(_as_table(answer, 9) == _by_fractions(9, 3, "lecture"), "R = 9, eta and variant left out", "eta 3, lecture",
           "another table", "Keep the defaults of the arguments.")  # fmt: skip


def _as_table(answer: Any, *arguments: Any) -> list[list[tuple[int, int]]]:
    what = f"R = {arguments[0]}"
    got = answer(*arguments)
    is_list = isinstance(got, list | tuple)
    kind = "None (is there a return?)" if got is None else type(got).__name__
    expect(is_list, what, "a list of brackets", kind, "One list of pairs (n_i, r_i) per bracket.")
    for rungs in got:
        expect(_are_rungs(rungs), what, "brackets that are lists of pairs of whole numbers", rungs,
               "Use `//`: n_i and r_i are counted in whole configurations and epochs.")  # fmt: skip
    return [[(int(n), int(r)) for n, r in rungs] for rungs in got]


def _compare_table(answer: Any, longest: int, eta: int, variant: str, wanted: list[list[tuple[int, int]]]) -> None:
    what = f"R = {longest}, eta = {eta}, {variant}"
    table = _as_table(answer, longest, eta, variant)
    brackets = f"{len(wanted)} brackets, s = {len(wanted) - 1}, ..., 0"
    look = "s_max is the largest s with eta**s <= R. Logarithms of floats are a little too small now and then: count."
    expect(len(table) == len(wanted), what, brackets, f"{len(table)} brackets", look)
    for rungs, want in zip(table, wanted, strict=True):
        s = len(want) - 1
        look = "The bracket of most configurations comes first, s = s_max; the last one, s = 0, has one rung."
        expect(len(rungs) == s + 1, f"{what}, bracket s = {s}", f"{s + 1} rungs", f"{len(rungs)} rungs", look)
        for i, (got, pair) in enumerate(zip(rungs, want, strict=True)):
            where = f"{what}, bracket s = {s}, rung {i}"
            rule = (
                "first the floor of the quotient, then times eta**s"
                if variant == "lecture"
                else "one ceil at the very end"
            )
            look = (
                f"n comes from the rule of the variant: {rule}."
                if i == 0
                else "n_i = floor(n / eta**i), of the bracket's n."
            )
            expect(got[0] == pair[0], f"{where}, n_i", pair[0], got[0], look)
            look = "r_i = floor(R / eta**(s - i)): rung s of bracket s trains for all R epochs."
            expect(got[1] == pair[1], f"{where}, r_i", pair[1], got[1], look)
