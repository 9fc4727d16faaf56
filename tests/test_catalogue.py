"""Every entry of the catalogues: typical mistakes lose with a message that points at them, honest variants pass."""

from collections import Counter

import pytest

from exercise_code.checks.core import table
from tests import catalogue

ENTRIES = {number: catalogue.load(number) for number in catalogue.exercises()}
LEAST = {"wrong": 10, "right": 5}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=f"{number}-{entry.task}-{entry.kind}-{entry.name}")
        for number, entries in ENTRIES.items()
        for entry in entries
    ],
)
def test_an_entry_comes_out_as_the_catalogue_says(entry):
    outcome = catalogue.run_entry(entry)

    assert not outcome.problem, f"{outcome.problem}; the student reads: {outcome.message}"


@pytest.mark.parametrize("number", ENTRIES)
def test_every_task_has_ten_mistakes_and_five_variants(number):
    counts = Counter((entry.task, entry.kind) for entry in ENTRIES[number])
    tasks = [task for task, check in table().items() if check.exercise.startswith(f"{number}_")]

    few = {
        f"{task}, {kind}": counts[task, kind]
        for task in tasks
        for kind, least in LEAST.items()
        if counts[task, kind] < least
    }
    assert tasks and not few
    assert {task for task, _ in counts} == set(tasks)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", ENTRIES)
def test_a_hundred_draws_of_cases_never_fail_an_honest_answer(number):
    """One variant of each task, with a hundred seeds: no check fails by chance."""
    firsts = {entry.task: entry for entry in reversed(ENTRIES[number]) if entry.kind == "right"}

    failed = [catalogue.run_entry(entry, range(100)) for entry in firsts.values()]
    assert [outcome for outcome in failed if outcome.problem] == []
