"""The tables of real runs that the benchmark searches: whole, small enough to keep, and used as the text says."""

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    """benchmarks/tabular.py and bench_searchers.py, which import each other as scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")  # as the scripts do on import; taken back afterwards
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        for name in ("tabular", "problems", "bench_searchers"):
            patch.delitem(sys.modules, name, raising=False)
        import bench_searchers
        import tabular

        yield tabular, bench_searchers
        for name in ("tabular", "problems", "bench_searchers"):
            sys.modules.pop(name, None)


def test_tables_are_whole_and_take_less_than_half_a_megabyte(modules):
    tabular, _ = modules
    for name, spec in tabular.SPECS.items():
        table = tabular.load(name)
        assert table.losses.shape == table.accuracies.shape == (len(tabular.configs_of(spec)), spec.epochs)
        errors = table.best_errors()
        assert (np.diff(errors, axis=1) <= 0).all() and errors.min() > 0 and errors.max() <= 1
        assert errors[:, -1].min() < (0.62 if spec.dataset == "cifar10" else 0.09)
    assert sum(file.stat().st_size for file in (FOLDER / "tabular").iterdir()) < 500_000


def test_a_table_that_stopped_half_way_goes_on_and_ends_the_same(modules, tmp_path, monkeypatch):
    tabular, _ = modules
    spec = tabular.TableSpec("made up", 40, 20, 2, "random")
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=(n, 6)).astype(np.float32), rng.integers(0, 10, n)) for n in (300, 20)]
    monkeypatch.setattr(tabular, "arrays", lambda spec: parts)
    monkeypatch.setattr(tabular, "random_configs", lambda count, real=tabular.random_configs: real(3))
    monkeypatch.setitem(tabular.SPECS, "toy", spec)
    monkeypatch.setattr(tabular, "FOLDER", tmp_path)

    tabular.grow("toy")
    whole = (tmp_path / "toy.csv").read_text()
    (tmp_path / "toy.csv").write_text(whole[: int(len(whole) * 0.7)])
    with pytest.raises(FileNotFoundError, match="expected 3 runs"):
        tabular.load("toy")
    tabular.grow("toy")

    assert (tmp_path / "toy.csv").read_text() == whole
    assert tabular.load("toy").losses.shape == (3, 2)


def test_halving_on_a_table_pays_what_the_brackets_say_and_sees_only_what_it_paid_for(modules):
    _, bench = modules
    errors = np.linspace(1, 0.5, 81)[None, :] + np.arange(81)[:, None]
    searcher = bench._Dealt(bench.SuccessiveHalving({"run": [0]}, 81, 81), np.arange(81)[::-1])
    history = list(bench.spend(searcher, errors))

    assert [paid for paid, _ in history] == [81, 135, 189, 243, 297]
    assert history[0][1] == errors[0, 0] and history[-1][1] == errors[0, 80]
