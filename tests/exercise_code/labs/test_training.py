"""Training runs: repeatable, resumable, best weights back, ends for the right reason, leaves torch's generator alone."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from exercise_code.labs.batches import Batches
from exercise_code.labs.evaluation import accuracy, evaluate, evaluating, predict_logits, predictions
from exercise_code.labs.networks import MLP, parameter_count
from exercise_code.labs.training import fit
from exercise_code.schedules import Exponential, OneCycle


def _data(n=120):
    """(n, 1, 4, 4) images whose class is the brightest quarter."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (n,), generator=random)
    images = 0.6 * torch.randn(n, 4, 4, generator=random)
    images[torch.arange(n), labels] += 2
    return images[:, None], labels


def _net(**options):
    return MLP(12, inputs=16, classes=4, **{"seed": 1, **options})


def _fit(model, epochs=4, **options):
    images, labels = _data()
    train = options.pop("train", None) or Batches(images[:90], labels[:90], batch_size=16, shuffle=True, seed=5)
    return fit(model, train, Batches(images[90:], labels[90:]), epochs, **{"progress": False, **options})


def _same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_learns_and_reports_what_an_independent_count_finds():
    model = _net()
    history = _fit(model, 20)

    images, labels = _data()
    with torch.no_grad():
        logits = model(images[90:])
    assert history.best_accuracy > 0.9
    assert math.isclose(history.best_accuracy, (logits.argmax(1) == labels[90:]).float().mean().item(), rel_tol=1e-6)
    best = history.val_loss[history.best_epoch - 1]
    assert math.isclose(best, functional.cross_entropy(logits, labels[90:]).item(), rel_tol=1e-5)


def test_the_weights_of_the_best_epoch_are_put_back_not_those_of_the_last():
    def explode_later(model):
        if explode_later.steps > 12:
            for weight in model.parameters():
                weight.mul_(-1)
        explode_later.steps += 1

    explode_later.steps = 0
    model = _net()
    history = _fit(model, 6, after_step=explode_later)

    images, labels = _data()
    assert history.best_epoch < history.epochs == 6
    assert accuracy(model, Batches(images[90:], labels[90:])) == max(history.val_accuracy)


def test_the_same_seed_gives_the_same_weights_with_dropout_and_leaves_the_shared_generator_alone():
    torch.manual_seed(77)
    state = torch.get_rng_state()
    runs = [_net(dropout=0.4) for _ in range(3)]
    for model, seed in zip(runs, [1, 1, 2], strict=True):
        _fit(model, 3, seed=seed)

    assert torch.equal(torch.get_rng_state(), state)
    assert _same(runs[0], runs[1])
    assert not _same(runs[0], runs[2])


def test_a_run_resumed_from_its_checkpoint_equals_one_that_was_never_interrupted(tmp_path):
    options = {"optimizer": lambda w: torch.optim.SGD(w, 0.1, momentum=0.9), "schedule": Exponential(0.1, 0.9)}
    whole, parts = _net(dropout=0.4), _net(dropout=0.4)
    expected = _fit(whole, 6, **options)

    class PowerCut(Exception):
        pass

    def cut(epoch, history):
        if epoch == 3:
            raise PowerCut

    with pytest.raises(PowerCut):
        _fit(parts, 6, checkpoint=tmp_path / "run.pt", on_epoch=cut, **options)
    fresh = _net(dropout=0.4, seed=9)
    history = _fit(fresh, 6, checkpoint=tmp_path / "run.pt", **options)

    assert _same(fresh, whole)
    assert history == expected
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_patience_counts_epochs_without_a_new_best():
    history = _fit(_net(), 50, optimizer=lambda w: torch.optim.SGD(w, lr=1e-12), patience=3)

    assert (history.epochs, history.best_epoch, history.stopped) == (4, 1, "patience")


def test_the_monitor_can_be_the_loss():
    def overshoot(w):
        return torch.optim.SGD(w, lr=3.0)

    history = _fit(_net(), 8, optimizer=overshoot, monitor="loss")

    assert history.best_epoch == 1 + min(range(8), key=lambda epoch: history.val_loss[epoch])


def test_a_loss_that_is_not_finite_ends_the_run_with_finite_weights():
    model = _net()
    history = _fit(model, 30, optimizer=lambda w: torch.optim.SGD(w, lr=1e12))

    assert history.stopped == "diverged"
    assert history.epochs < 30
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_an_interrupt_keeps_the_best_weights_so_far():
    def stop(epoch, history):
        if epoch == 2:
            raise KeyboardInterrupt

    model = _net()
    history = _fit(model, 9, on_epoch=stop)

    assert (history.epochs, history.stopped) == (2, "interrupted")
    images, labels = _data()
    assert accuracy(model, Batches(images[90:], labels[90:])) == max(history.val_accuracy)


@pytest.mark.parametrize("per", ["epoch", "step"])
def test_a_schedule_sets_the_rate_of_each_epoch_or_step(per):
    rates = []
    schedule = OneCycle(0.1, 24, per="step") if per == "step" else Exponential(0.1, 0.5)

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    history = _fit(_net(), 4, optimizer=lambda w: Watched(w, lr=9.0), schedule=schedule)

    steps = 6  # 90 images in batches of 16
    expected = [schedule(step if per == "step" else step // steps) for step in range(4 * steps)]
    assert rates == expected
    assert history.learning_rate == expected[steps - 1 :: steps]


def test_further_tensors_of_a_batch_reach_the_loss():
    images, labels = _data()
    seen = []

    def loss(logits, labels, weights):
        seen.append(weights.tolist())
        return (functional.cross_entropy(logits, labels, reduction="none") * weights).mean()

    _fit(_net(), 1, loss=loss, train=Batches(images, labels, torch.full((len(labels),), 0.5), batch_size=120))
    assert seen == [[0.5] * 120]


def test_torchs_own_loader_works_and_its_order_follows_the_seed():
    images, labels = _data()
    runs = [_net() for _ in range(2)]
    for model in runs:
        torch.rand(3)
        _fit(model, 2, train=DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=True), seed=4)

    assert _same(*runs)


def test_predictions_switch_dropout_off_and_every_layer_back():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.BatchNorm1d(16).eval(), nn.Linear(16, 4))
    images, labels = _data()

    assert torch.equal(predict_logits(model, images), predict_logits(model, images))
    assert not predict_logits(model, images).requires_grad
    assert [layer.training for layer in model] == [True, True, False, True]
    assert torch.equal(predictions(model, images), predict_logits(model, images).argmax(1))
    with evaluating(model), pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    assert model[1].training


def test_loss_and_accuracy_weigh_a_small_last_batch_by_its_size():
    images, labels = _data()
    model = _net()

    whole, pieces = (evaluate(model, Batches(images, labels, batch_size=size)) for size in (120, 50))
    assert math.isclose(whole[0], pieces[0], rel_tol=1e-5)
    assert whole[1] == pieces[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"patience": 0}, "at least 1"),
        ({"monitor": "f1"}, "monitor"),
        ({"train": []}, "at least one training batch"),
    ],
)
def test_nonsense_is_refused(options, message):
    images, labels = _data()
    options = {"train": Batches(images, labels), "epochs": 1, **options}
    train, epochs = options.pop("train"), options.pop("epochs")

    with pytest.raises(ValueError, match=message):
        fit(_net(), train, Batches(images, labels), epochs, progress=False, **options)


def test_networks_have_the_parameters_that_a_count_on_paper_gives():
    assert parameter_count(MLP(50)) == 784 * 50 + 50 + 50 * 10 + 10 == 39_760
    assert parameter_count(MLP((1200, 1200), dropout=0.5)) == 784 * 1200 + 1200 + 1200 * 1200 + 1200 + 12_010
    assert parameter_count(MLP((30, 20), batch_norm=True)) == 784 * 30 + 60 + 30 * 20 + 40 + 210
    assert parameter_count(MLP(())) == 7_850


def test_a_network_of_a_seed_is_always_the_same_one_and_leaves_the_shared_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()

    assert _same(MLP(5, seed=8), MLP(5, seed=8))
    assert not _same(MLP(5, seed=8), MLP(5, seed=9))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("wrong", [{"activation": "swoosh"}, {"hidden": 0}, {"dropout": 1.0}])
def test_a_network_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="expected|must be"):
        MLP(**wrong)
