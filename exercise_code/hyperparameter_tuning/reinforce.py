"""Architecture search as reinforcement learning: a controller that learns which choices pay off (lecture 001).

The controller samples an architecture, a network of it is trained, and its validation result is the reward.  Zoph and Le (2017)
use a recurrent network as controller; here it is a table, one softmax per choice, so that every number can be looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.searcher import Proposal, Result, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube


def policy(logits: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of the options, `softmax(logits)`: (n,) -> (n,).

    >>> policy([0.0, 0.0, 0.0, 0.0]).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    weights = np.exp(np.asarray(logits, dtype=float) - np.max(logits))
    return weights / weights.sum()


def policy_gradient(logits: ArrayLike, action: int, advantage: float) -> NDArray[np.float64]:
    """Gradient of `advantage * log softmax(logits)[action]`, which is `advantage * (onehot(action) - softmax(logits))`.

    With actions drawn from the softmax and advantage = reward - baseline its mean is the gradient of the expected reward,
    for any baseline that does not depend on the action (Williams 1992).

    Args:
        logits: (n,).  action: the option that was drawn, 0 to n - 1.
        advantage: how much better than expected the reward was.

    Returns:
        (n,) float64; its sum is 0.

    >>> policy_gradient([0.0, 0.0], action=0, advantage=2.0).tolist()
    [1.0, -1.0]
    """
    ### BEGIN SOLUTION 05_model_search
    gradient = -policy(logits)
    gradient[action] += 1.0
    return advantage * gradient
    ### END SOLUTION


def moving_baseline(baseline: float | None, rewards: ArrayLike, decay: float) -> float:
    """The expected reward after a round: `decay * baseline + (1 - decay) * mean(rewards)`; the mean alone after the first.

    >>> moving_baseline(None, [1.0, 3.0], 0.9), moving_baseline(2.0, [4.0], 0.5)
    (2.0, 3.0)
    """
    mean = float(np.mean(np.asarray(rewards, dtype=float)))
    return mean if baseline is None else decay * baseline + (1 - decay) * mean


class ReinforceController(Searcher):
    """REINFORCE with a softmax per choice and a moving baseline, for spaces of choices and short integer ranges.

    After every round `logits += learning_rate * mean_i policy_gradient(logits, action_i, advantage_i)` for each choice that
    trial i had.  The reward is minus the value; advantages are divided by the moving mean of their size, so the learning
    rate does not depend on the unit of the objective.  A trial that failed has the lowest reward of the search so far.

    Args:
        space: a `Space` or what `Space.read` understands, without real-valued parameters.
        trials: how many in all.
        seed: of the actions.
        batch: trials per round, which share one policy.
        epochs: per trial.
        learning_rate: of the logits.
        baseline_decay: share of the old baseline, in [0, 1); see `moving_baseline`.

    Attributes: logits, dimension name -> (n,); policy_history, one dict name -> probabilities (n,) per round, the uniform
    policy first; baseline_history.

    Raises:
        ValueError: a parameter with uncountable values, two dimensions of one name, a number out of range.

    >>> from exercise_code.hyperparameter_tuning.tuner import tune
    >>> controller = ReinforceController({"act": ["relu", "elu"]}, trials=40)
    >>> found = tune(lambda config, _: len(config["act"]), None, controller, engine="serial", progress=False)
    >>> len(found.results), controller.most_likely()
    (40, {'act': 'elu'})
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        trials: int = 100,
        seed: int = 0,
        batch: int = 5,
        epochs: int = 1,
        *,
        learning_rate: float = 1.0,
        baseline_decay: float = 0.8,
    ):
        self.space = Space.read(space)
        self.cube = UnitCube(self.space)
        for name, edges in zip(self.space.names, self.cube.edges, strict=True):
            if edges is None:
                raise ValueError(f"the controller chooses from a list: expected a Choice or a short Int for {name!r}")
        if len(set(self.space.names)) < len(self.space.names):
            raise ValueError(f"expected dimensions with different names, got {', '.join(self.space.names)}")
        self.expected_trials = self.trials = positive_int("trials", trials)
        self.batch, self.epochs = positive_int("batch", batch), positive_int("epochs", epochs)
        if not learning_rate > 0 or not 0 <= baseline_decay < 1:
            raise ValueError(
                f"expected learning_rate > 0 and baseline_decay in [0, 1), got {learning_rate!r} and {baseline_decay!r}"
            )
        self.learning_rate, self.baseline_decay = learning_rate, baseline_decay
        self._edges = [np.asarray(edges) for edges in self.cube.edges]
        self.logits = {
            name: np.zeros(len(edges) - 1) for name, edges in zip(self.space.names, self._edges, strict=True)
        }
        self.policy_history = [self.policy()]
        self.baseline_history: list[float] = []
        self._scale: float | None = None
        self._lowest = np.inf
        self._rng = np.random.default_rng(seed)
        self._proposed = 0

    def policy(self) -> dict[str, NDArray[np.float64]]:
        """Probability of every option now, by dimension."""
        return {name: policy(logits) for name, logits in self.logits.items()}

    def most_likely(self) -> dict[str, Any]:
        """The configuration of the most probable option of every choice."""
        return self._config([int(np.argmax(logits)) for logits in self.logits.values()])

    def ask(self) -> list[Proposal]:
        """The next `batch` proposals, drawn from the policy; nothing when `trials` have been proposed."""
        count = min(self.batch, self.trials - self._proposed)
        first, self._proposed = self._proposed, self._proposed + count
        probabilities = list(self.policy().values())
        draws = [[int(self._rng.choice(len(p), p=p)) for p in probabilities] for _ in range(count)]
        return [Proposal(first + i, self._config(actions), self.epochs) for i, actions in enumerate(draws)]

    def tell(self, results: Sequence[Result]) -> None:
        """One step of gradient ascent on the expected reward."""
        rewards = np.array([-result.value for result in results])
        if np.isfinite(rewards).any():
            self._lowest = min(self._lowest, float(rewards[np.isfinite(rewards)].min()))
        if not np.isfinite(self._lowest):
            return  # nothing has worked yet: nothing to learn from
        rewards = np.where(np.isfinite(rewards), rewards, self._lowest)
        baseline = self.baseline_history[-1] if self.baseline_history else float(np.mean(rewards))
        advantages = rewards - baseline
        self._scale = moving_baseline(self._scale, np.abs(advantages), self.baseline_decay)
        units = np.array([self.space.to_unit(result.config) for result in results])
        active = self.cube.active(units)
        for d, (name, logits) in enumerate(list(self.logits.items())):
            actions = self.cube.cells(units[:, d], d)
            step = np.zeros_like(logits)
            for action, advantage in zip(actions[active[:, d]], advantages[active[:, d]], strict=True):
                step += policy_gradient(logits, action, advantage / (self._scale or 1.0))
            self.logits[name] = logits + self.learning_rate * step / len(results)
        self.baseline_history.append(moving_baseline(baseline, rewards, self.baseline_decay))
        self.policy_history.append(self.policy())

    def _config(self, actions: Sequence[int]) -> dict[str, Any]:
        return self.space.from_unit([(e[a] + e[a + 1]) / 2 for e, a in zip(self._edges, actions, strict=True)])
