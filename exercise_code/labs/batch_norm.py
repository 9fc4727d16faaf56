"""Batch norm in torch networks (exercise 08): running statistics, folding, an injected covariate shift.

Shapes: N samples, D features.  Ioffe and Szegedy (2015), *Batch normalization*; Santurkar, Tsipras, Ilyas and Madry (2018),
*How does batch normalization help optimization?*; lecture 003.  The formulas by hand are in
`exercise_code.networks.batchnorm`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exercise_code.labs.seeding import seeded


def running_statistics(mean: Tensor, var: Tensor, batch: Tensor, momentum: float = 0.1) -> tuple[Tensor, Tensor]:
    """Move the running mean and variance (D,) towards those of a batch (N, D), by torch's rules.

        running = (1 - momentum) * running + momentum * batch statistic

    `momentum` is the weight of the **new** value, and what is stored is the **unbiased** variance of the batch, sum of squared
    deviations divided by N - 1 (the batch itself is normalised with N).

    Args:
        mean, var: (D,) so far; not changed.
        batch: (N, D), N >= 2.
        momentum: 0 to 1.

    Returns:
        The new (mean, var), (D,) each, without a graph for gradients.

    >>> running_statistics(torch.zeros(1), torch.ones(1), torch.tensor([[1.0], [3.0]]), momentum=0.5)
    (tensor([1.]), tensor([1.5000]))
    """
    ### BEGIN SOLUTION 08_batch_norm
    batch = batch.detach()
    new_mean = torch.lerp(mean, batch.mean(dim=0), momentum)
    new_var = torch.lerp(var, batch.var(dim=0, unbiased=True), momentum)
    return new_mean, new_var
    ### END SOLUTION


def fold_batch_norm(linear: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    """Return one linear layer that does what linear followed by norm does at test time.

    At test time batch norm is `gamma * (z - mean) / sqrt(var + eps) + beta` with four constants per feature: a multiplication
    and an addition, which the layer before it can do along with its own.

    Args:
        linear: with or without a bias; not changed.
        norm: of as many features as linear has outputs, with running statistics; not changed.

    Returns:
        A new layer with a bias.

    >>> with seeded(0):
    ...     linear, norm, x = nn.Linear(2, 3), nn.BatchNorm1d(3), torch.randn(5, 2)
    >>> moved = norm(linear(x))  # and with it the running statistics
    >>> torch.allclose(fold_batch_norm(linear, norm)(x), norm.eval()(linear(x)), atol=1e-5)
    True
    """
    ### BEGIN SOLUTION 08_batch_norm
    folded = nn.Linear(linear.in_features, linear.out_features)
    with torch.no_grad():
        statistics = norm.state_dict()
        factor = norm.weight / torch.sqrt(statistics["running_var"] + norm.eps)  # (D,) of the outputs
        before = 0 if linear.bias is None else linear.bias
        folded.weight.data = linear.weight * factor[:, None]
        folded.bias.data = norm.bias + (before - statistics["running_mean"]) * factor
    return folded
    ### END SOLUTION


class ShiftedNorm(nn.Module):
    """Batch norm, and behind it the covariate shift that it is said to take away (Santurkar et al. 2018).

    In training, every call draws one factor and one shift per feature, the same for all samples of the batch, and returns
    `factor * norm(x) + shift`: the next layer gets another distribution at each step.  The factors are uniform in
    [1, 1 + strength], the shifts uniform in [-strength, strength].  In evaluation mode it returns `norm(x)`.

    Args:
        features: D.
        strength: >= 0; 0 is plain batch norm.

    Attributes:
        norm: the `nn.BatchNorm1d`.
        strength: as given.

    >>> layer, x = ShiftedNorm(1), torch.tensor([[1.0], [3.0]])
    >>> with seeded(0):
    ...     torch.equal(layer(x), layer(x))  # another shift in every call
    False
    >>> torch.equal(layer.eval()(x), layer.norm(x))
    True
    """

    def __init__(self, features: int, strength: float = 1.0):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, D) for x (N, D)."""
        ### BEGIN SOLUTION 08_batch_norm
        normal = self.norm(x)
        if not self.training:
            return normal
        factor, shift = torch.rand(2, x.shape[1], dtype=x.dtype, device=x.device)
        return (1 + self.strength * factor) * normal + self.strength * (2 * shift - 1)
        ### END SOLUTION


Norm = Callable[[int], nn.Module]


def sigmoid_net(
    norm: Norm | None = None,
    *,
    after: bool = False,
    bias: bool = True,
    width: int = 100,
    depth: int = 3,
    std: float | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """784-100-100-100-10 with sigmoids, the network of Ioffe and Szegedy's first figure; logits (N, 10).

    Args:
        norm: makes the layer that normalises `width` features, such as `nn.BatchNorm1d`; None leaves it out.
        after: put it behind the sigmoid instead of before it.
        bias: whether the hidden linear layers have one.
        width, depth: of the hidden layers.
        std: standard deviation of the first weights; None is 1 / sqrt(inputs of the layer), which keeps signals alive.
        seed: of the first weights, which are normal and the same with and without norm.

    >>> sigmoid_net(nn.BatchNorm1d)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    layers: list[nn.Module] = [nn.Flatten()]
    linears: list[nn.Linear] = []
    inputs = 784
    for _ in range(depth):
        linears.append(nn.Linear(inputs, width, bias=bias))
        pieces: list[nn.Module] = [] if norm is None else [norm(width)]
        pieces.insert(0 if after else len(pieces), nn.Sigmoid())
        layers += [linears[-1], *pieces]
        inputs = width
    linears.append(nn.Linear(inputs, 10))
    with seeded(seed), torch.no_grad():
        for linear in linears:
            linear.weight.normal_(0, linear.in_features**-0.5 if std is None else std)
            if linear.bias is not None:
                linear.bias.zero_()
    return nn.Sequential(*layers, linears[-1])
