"""A resumed run equals one that never stopped, and a wrong file changes nothing."""

import numpy as np
import pytest

from exercise_code.callbacks import Checkpoint
from exercise_code.checkpoint import resume, save
from exercise_code.data import ArrayDataset, ComposeTransform, DataLoader, FlattenTransform, RandomHorizontalFlip
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.networks.optimizer import SGD, Adam, SGDMomentum
from exercise_code.solver import Solver


def _solver(*callbacks, optimizer=Adam, hidden_size=6, net_settings=None, **settings):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((40, 2, 3, 1)).astype(np.float32), rng.integers(3, size=40)
    chain = ComposeTransform([RandomHorizontalFlip(0.5, np.random.default_rng(7)), FlattenTransform()])
    train = DataLoader(ArrayDataset(images[:30], labels[:30], chain), 8, shuffle=True)
    val = DataLoader(ArrayDataset(images[30:], labels[30:], FlattenTransform()), 8)
    net = ClassificationNet(Relu(), 2, 6, hidden_size, "he", 3, **(net_settings or {}))
    return Solver(
        net, train, val, learning_rate=0.05, optimizer=optimizer, verbose=False, callbacks=callbacks, **settings
    )


@pytest.mark.parametrize(
    "net_settings", [{}, {"batch_norm": True, "dropout": 0.3}], ids=["plain", "batch_norm_and_dropout"]
)
@pytest.mark.parametrize("optimizer", [SGD, SGDMomentum, Adam])
def test_a_resumed_run_equals_one_that_never_stopped_bit_for_bit(tmp_path, optimizer, net_settings):
    whole = _solver(optimizer=optimizer, lr_decay=0.9, net_settings=net_settings)
    whole.train(epochs=7)
    _solver(Checkpoint(tmp_path / "run.npz"), optimizer=optimizer, lr_decay=0.9, net_settings=net_settings).train(
        epochs=3
    )

    second = _solver(optimizer=optimizer, lr_decay=0.9, net_settings=net_settings)
    resume(second, tmp_path / "run.npz")
    second.train(epochs=4)

    assert second.val_loss_history == whole.val_loss_history
    assert second.train_batch_loss == whole.train_batch_loss
    assert second.lr_history == whole.lr_history
    assert second.best_model_stats == whole.best_model_stats
    for name, w in whole.model.params.items():
        np.testing.assert_array_equal(second.model.params[name], w)


def test_patience_counts_on_across_a_resume(tmp_path):
    whole = _solver()
    whole.train(epochs=60, patience=5)
    assert whole.stop_reason == "patience", "the case must stop early, or it proves nothing"
    stop = len(whole.val_loss_history)
    _solver(Checkpoint(tmp_path / "run.npz")).train(epochs=stop - 2, patience=5)

    second = _solver()
    resume(second, tmp_path / "run.npz")
    second.train(epochs=60, patience=5)

    assert len(second.val_loss_history) == stop


def test_a_checkpoint_is_readable_without_pickle_and_leaves_no_temporary_file(tmp_path):
    solver = _solver()
    solver.train(epochs=1)

    path = save(solver, tmp_path / "deep" / "run.npz")

    with np.load(path, allow_pickle=False) as stored:
        assert all(stored[name].dtype.kind in "fiuU" for name in stored.files)
    assert [file.name for file in path.parent.iterdir()] == ["run.npz"]


def test_checkpoints_come_every_so_many_epochs(tmp_path):
    class Counting(Checkpoint):
        written = 0

        def epoch_end(self, solver):
            before = self.path.exists() and self.path.stat().st_mtime_ns
            super().epoch_end(solver)
            self.written += (self.path.exists() and self.path.stat().st_mtime_ns) != before

    counting = Counting(tmp_path / "run.npz", every=2)
    _solver(counting).train(epochs=5)

    assert counting.written == 2


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"optimizer": SGD}, "expected the optimizer SGD, got Adam"),
        ({"hidden_size": 9}, "expected weights of shapes"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, other, message):
    first = _solver()
    first.train(epochs=1)
    path = save(first, tmp_path / "run.npz")
    solver = _solver(**other)
    before = {name: w.copy() for name, w in solver.model.params.items()}

    with pytest.raises(ValueError, match=message):
        resume(solver, path)

    for name, w in before.items():
        np.testing.assert_array_equal(solver.model.params[name], w)
    assert solver.val_loss_history == []


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(2))

    with pytest.raises(ValueError, match="expected a checkpoint"):
        resume(_solver(), tmp_path / "other.npz")
