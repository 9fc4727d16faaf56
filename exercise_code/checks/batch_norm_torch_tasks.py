"""Checks of exercise 08 about torch layers and tensors: moving averages, folding, an injected shift, turned leaves."""

from typing import Any

import numpy as np

from exercise_code.checks.core import expect, expect_close


def running_statistics(answer: Any, rng: np.random.Generator) -> None:
    import torch

    old = [torch.tensor([0.0]), torch.tensor([1.0])]
    hand = "mean 0, variance 1 so far, batch [[8], [12]], momentum 0.1"
    got = answer(*(part.clone() for part in old), torch.tensor([[8.0], [12.0]]), 0.1)
    is_pair = isinstance(got, tuple | list) and len(got) == 2
    expect(is_pair, hand, "a pair (mean, var)", type(got).__name__, "Return both.")
    look = "A tenth of the way from the old value to the new one: which of the two does momentum belong to?"
    expect_close(f"{hand}: mean", got[0], torch.tensor([1.0]), look)  # 0.1 * 10
    look = "What is stored is the unbiased variance: it divides by N - 1."
    expect_close(f"{hand}: var", got[1], torch.tensor([1.7]), look)  # 0.9 * 1 + 0.1 * 8
    for n, momentum in ((5, 0.1), (2, 0.3), (9, 1.0), (4, 0.0)):
        norm: Any = torch.nn.BatchNorm1d(3, momentum=momentum).double().train()
        norm.running_mean.copy_(torch.from_numpy(rng.normal(0, 2, 3)))
        norm.running_var.copy_(torch.from_numpy(rng.uniform(0.5, 3, 3)))
        batch = torch.from_numpy(rng.normal(3, 2, (n, 3))).requires_grad_()
        given = [norm.running_mean.clone(), norm.running_var.clone(), batch]
        before = [part.detach().clone() for part in given]
        options = () if momentum == 0.1 else (momentum,)
        got = answer(*given, *options)
        norm(batch.detach())
        what = f"batch ({n}, 3), momentum {momentum if options else 'not given (0.1)'}"
        same = all(torch.equal(part.detach(), kept) for part, kept in zip(given, before, strict=True))
        expect(same, what, "arguments as they were", "changed ones", "Return new tensors; mul_ and += change old ones.")
        for name, part, expected in zip(("mean", "var"), got, (norm.running_mean, norm.running_var), strict=True):
            graph = "Statistics are not trained: detach the batch, or work under torch.no_grad()."
            expect(not part.requires_grad, f"{what}: {name}", "no graph for gradients", "one", graph)
            look = "(1 - momentum) times the old plus momentum times the new; momentum 1 forgets the old one."
            expect_close(f"{what}: {name}", part, expected, look)


def fold_batch_norm(answer: Any, rng: np.random.Generator) -> None:
    import torch

    for bias, eps in ((True, 1e-5), (False, 1e-5), (True, 0.5)):
        linear, norm = _layers(rng, bias, eps)
        before = {**linear.state_dict(prefix="linear."), **norm.state_dict(prefix="norm.")}
        before = {name: value.clone() for name, value in before.items()}
        norm.train()  # as it comes out of training
        folded = answer(linear, norm)
        what = f"a linear layer {'with' if bias else 'without'} bias, eps {eps:g}"
        is_linear = isinstance(folded, torch.nn.Linear)
        expect(is_linear, what, "a new nn.Linear", type(folded).__name__, "One layer: weights and a bias.")
        expect(folded.bias is not None, what, "a layer with a bias", "one without", "Where else could beta go?")
        after = {**linear.state_dict(prefix="linear."), **norm.state_dict(prefix="norm.")}
        same = norm.training and all(torch.equal(after[name], value) for name, value in before.items())
        expect(
            same, what, "the two layers as they were", "changed ones", "Copy weights; do not run or switch the norm."
        )
        x = torch.from_numpy(rng.normal(0, 1, (6, 4)).astype(np.float32))
        norm.eval()
        with torch.no_grad():
            look = "Write gamma * (W x + b - mean) / sqrt(var + eps) + beta as W' x + b'; no bias is a bias of 0."
            zero = torch.zeros(1, 4)
            expect_close(
                f"{what}: on x = 0, the new bias", folded(zero), norm(linear(zero)), look, rtol=1e-3, atol=1e-4
            )
            expect_close(what, folded(x), norm(linear(x)), look, rtol=1e-3, atol=1e-4)
            folded.weight.zero_()
            folded.bias.zero_()
        after = {**linear.state_dict(prefix="linear."), **norm.state_dict(prefix="norm.")}
        apart = all(torch.equal(after[name], value) for name, value in before.items())
        expect(apart, f"{what}: after zeroing the new one", "the old layers as they were", "zeros", "Make new tensors.")


def _layers(rng: np.random.Generator, bias: bool, eps: float) -> tuple[Any, Any]:
    import torch

    linear: Any = torch.nn.Linear(4, 3, bias=bias)
    norm: Any = torch.nn.BatchNorm1d(3, eps=eps)
    with torch.no_grad():
        for tensor in (linear.weight, linear.bias, norm.weight, norm.bias, norm.running_mean):
            if tensor is not None:
                tensor.copy_(torch.from_numpy(rng.normal(0, 1.5, tuple(tensor.shape))))
        norm.running_var.copy_(torch.from_numpy(np.array([rng.uniform(0.5, 4), 1e-3, rng.uniform(0.5, 4)])))
    return linear, norm


def shifted_norm(answer: Any, rng: np.random.Generator) -> None:
    import torch

    x = torch.from_numpy(rng.normal(2, 3, (16, 8)).astype(np.float32))
    for strength in (1.0, 2.5):
        layer = answer(8, strength)
        with torch.no_grad():
            layer.norm.weight.copy_(torch.from_numpy(rng.uniform(0.5, 2, 8)))
            layer.norm.bias.copy_(torch.from_numpy(rng.normal(0, 1, 8)))
        twin = torch.nn.BatchNorm1d(8)
        twin.load_state_dict(layer.norm.state_dict())
        base = twin(x).detach().double()
        what = f"strength {strength:g}, training"
        factors, shifts = [], []
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            for call in range(200):
                out = layer(x.clone()).detach().double()
                factor = ((out - out.mean(0)) * (base - base.mean(0))).sum(0) / ((base - base.mean(0)) ** 2).sum(0)
                shift = out.mean(0) - factor * base.mean(0)
                rest = float((out - factor * base - shift).abs().max())
                look = "One factor and one shift per feature, the same for all samples of the batch."
                expect(rest < 1e-3, f"{what}, call {call + 1}", "factor * norm(x) + shift", f"off by {rest:.2g}", look)
                factors.append(factor.numpy())
                shifts.append(shift.numpy())
        calls = int(layer.norm.num_batches_tracked)
        expect(
            calls == 200, f"{what}: batches the norm saw in 200 calls", 200, calls, "Call self.norm once per forward."
        )
        _uniform(f"{what}: factors", np.array(factors), 1.0, 1.0 + strength)
        _uniform(f"{what}: shifts", np.array(shifts), -strength, strength)
        together = abs(float(np.corrcoef(np.ravel(factors), np.ravel(shifts))[0, 1]))
        look = "Factors and shifts are drawn apart from each other."
        expect(together < 0.2, f"{what}: correlation of factors and shifts", "about 0", f"{together:.2f}", look)
        trained = bool(layer(x).requires_grad)
        expect(trained, what, "an output that gamma and beta learn from", "no gradient", "Keep the graph: no detach().")
        layer.eval()
        layer.norm.load_state_dict(twin.state_dict())
        twin.eval()
        look = "In evaluation mode nothing is drawn: self.training tells."
        expect_close(
            f"strength {strength:g}, evaluation", layer(x).detach(), twin(x).detach(), look, rtol=1e-4, atol=1e-5
        )
    calm, twin = answer(8, 0.0), torch.nn.BatchNorm1d(8)
    expect_close("strength 0", calm(x).detach(), twin(x).detach(), "Plain batch norm.", rtol=1e-4, atol=1e-5)


def _uniform(what: str, values: np.ndarray, low: float, high: float) -> None:
    """values (calls, features): inside the range, filling it, other ones for every call and every feature."""
    width = high - low
    inside = values.min() > low - 1e-3 * width and values.max() < high + 1e-3 * width
    got = f"{values.min():.3g} to {values.max():.3g}"
    expect(bool(inside), what, f"{low:g} to {high:g}", got, "See the ranges in the docstring.")
    expect(
        bool(values.std(axis=0).max() > 0.01 * width),
        what,
        "others at every call",
        "always the same",
        "Draw in forward.",
    )
    across = float(values.std(axis=1).mean())
    expect(across > 0.05 * width, what, "one for each feature", "the same for all features", "Draw D numbers of each.")
    full = values.min() < low + 0.03 * width and values.max() > high - 0.03 * width
    middle = abs(float(values.mean()) - (low + high) / 2) < 0.05 * width
    look = "Uniform: every value of the range as likely as any other. torch.rand fills [0, 1)."
    expect(
        bool(full and middle),
        what,
        f"{low:g} to {high:g}, mean {(low + high) / 2:g}",
        f"{got}, mean {values.mean():.3g}",
        look,
    )


def turned(answer: Any, rng: np.random.Generator) -> None:
    import torch

    count, side = 800, 4
    images = torch.from_numpy(rng.permutation(2 * side * side).astype(np.float32).reshape(1, 2, side, side))
    images = images.repeat(count, 1, 1, 1)
    start = int(rng.integers(2**31))

    def call(given: Any, seed: int) -> Any:
        return answer(given, torch.Generator().manual_seed(seed))

    given = images.clone()
    out = call(given, start)
    what = f"{count} copies of one image with two channels, {side} x {side}"
    shape = tuple(getattr(out, "shape", (type(out).__name__,)))
    expect(shape == tuple(images.shape), f"{what}: shape", tuple(images.shape), shape, "Only pixels change places.")
    expect(bool(torch.equal(given, images)), what, "images as they were", "changed ones", "Make a new tensor.")
    one = images[0].numpy()
    known: dict[bytes, int] = {}
    for mirrored in (one, one[:, :, ::-1]):
        for quarters in range(4):
            known[np.rot90(mirrored, quarters, axes=(1, 2)).tobytes()] = len(known)
    found = [known.get(np.ascontiguousarray(image).tobytes(), -1) for image in out.numpy()]
    look = "Every output is the image turned by 0, 90, 180 or 270 degrees, mirrored or not, with its channels in their order."
    expect(
        -1 not in found, what, "one of the eight symmetries of each", f"{found.count(-1)} images of another kind", look
    )
    counts = np.bincount(found, minlength=8)
    look = "Draw for every image apart. Three independent coins, or one number below 8, give eight equally likely outcomes."
    fair = counts.min() >= 50 and counts.max() <= 150  # 100 expected, standard deviation 9.4
    expect(bool(fair), f"{what}: how often each symmetry came", "about 100 times each", counts.tolist(), look)
    neighbours = np.mean(np.array(found[1:]) == np.array(found[:-1]))
    expect(neighbours < 0.25, f"{what}: neighbours turned alike", "about 1 in 8", f"{neighbours:.0%}", look)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        again = call(images.clone(), start)
    look = "All draws come from the generator that is given: torch.rand(..., generator=random)."
    expect(bool(torch.equal(out, again)), "the same generator twice", "the same images", "others", look)
    other = call(images.clone(), start + 1)
    expect(not torch.equal(out, other), "another generator", "other images", "the same", look)
    random = torch.Generator().manual_seed(start)
    first, second = answer(images.clone(), random), answer(images.clone(), random)
    expect(not torch.equal(first, second), "called twice with one generator", "other draws", "the same", look)
    kind = call(images.double()[:3], start).dtype
    expect(kind == torch.float64, "float64 images", "torch.float64", str(kind), "Keep the dtype.")
