"""Hyper-parameter and model search: spaces, searchers, and one loop that runs trials in parallel and records them.

- the slides' calls: `grid_search`, `random_search`, `find_best_config` (`network_search`)
- any objective: `tune(objective, space, searcher, budget, seed, workers, engine)` (`tuner`)
- what to search: `Space`, `Float`, `Int`, `Choice` (`space`, `parameters`); how: `Searcher` and its children (`searcher`)
- the searchers: `CoarseToFine`, `SuccessiveHalving`, `Hyperband`, `TPESearcher`, `GaussianProcessSearcher`, `HyperoptSearcher`,
  `ReinforceController`; whether two configurations differ: `compare` (`significance`); figures: `plots_search`, `plots_methods`
- when to give a trial up: `MedianStopping` (`scheduler`); what is kept: `TuneResult` (`outcome`) and the log (`record`)
- objectives written for hyperopt or Optuna: `adapters`
"""

from typing import Any

from exercise_code.cross_validation import cross_validate
from exercise_code.hyperparameter_tuning import sampling
from exercise_code.hyperparameter_tuning.adapters import for_hyperopt, for_optuna, from_hyperopt, from_optuna
from exercise_code.hyperparameter_tuning.budget import Budget
from exercise_code.hyperparameter_tuning.coarse_to_fine import CoarseToFine
from exercise_code.hyperparameter_tuning.gaussian_process import GaussianProcessSearcher
from exercise_code.hyperparameter_tuning.hyperband import Hyperband
from exercise_code.hyperparameter_tuning.hyperopt_searcher import HyperoptSearcher
from exercise_code.hyperparameter_tuning.network_search import (
    SOLVER_SETTINGS,
    SearchResult,
    Trial,
    check_names,
    find_best_config,
    grid_search,
    random_search,
)
from exercise_code.hyperparameter_tuning.outcome import TuneResult, as_rows, read_results
from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int, Normal
from exercise_code.hyperparameter_tuning.record import LogError
from exercise_code.hyperparameter_tuning.reinforce import ReinforceController
from exercise_code.hyperparameter_tuning.sampling import check_random_spaces, check_spaces
from exercise_code.hyperparameter_tuning.scheduler import MedianStopping, Scheduler
from exercise_code.hyperparameter_tuning.searcher import (
    GridSearcher,
    ListSearcher,
    Proposal,
    RandomSearcher,
    Result,
    Searcher,
)
from exercise_code.hyperparameter_tuning.significance import (
    compare,
    compare_predictions,
    seed_spread,
    spread_over_seeds,
)
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.successive_halving import SuccessiveHalving
from exercise_code.hyperparameter_tuning.tpe import TPESearcher
from exercise_code.hyperparameter_tuning.trial import TrialContext
from exercise_code.hyperparameter_tuning.tuner import tune

__all__ = [
    "Budget",
    "Choice",
    "CoarseToFine",
    "Float",
    "GaussianProcessSearcher",
    "GridSearcher",
    "Hyperband",
    "HyperoptSearcher",
    "Int",
    "ListSearcher",
    "LogError",
    "MedianStopping",
    "Normal",
    "Proposal",
    "RandomSearcher",
    "ReinforceController",
    "Result",
    "SOLVER_SETTINGS",
    "Scheduler",
    "SearchResult",
    "Searcher",
    "Space",
    "SuccessiveHalving",
    "TPESearcher",
    "Trial",
    "TrialContext",
    "TuneResult",
    "as_rows",
    "check_names",
    "check_random_spaces",
    "check_spaces",
    "compare",
    "compare_predictions",
    "cross_validate",
    "find_best_config",
    "for_hyperopt",
    "for_optuna",
    "from_hyperopt",
    "from_optuna",
    "grid_search",
    "random_search",
    "read_results",
    "seed_spread",
    "spread_over_seeds",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Functions of exercise 04, looked up on every use: a right answer takes the place of the one in `sampling`."""
    if name in ("grid_configs", "sample_config", "narrow_space"):
        return getattr(sampling, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
