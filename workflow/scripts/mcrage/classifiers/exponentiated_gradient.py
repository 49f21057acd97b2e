# SPDX-License-Identifier: MIT
"""ExponentiatedGradient (Agarwal et al. 2018) of fairlearn: a fair lottery over classifiers.

It fits the base classifier again and again to outcomes that are relabelled and weighted, so that a
mix of the fitted ones, drawn anew for each row, keeps a constraint between subgroups and errs
least. A fitted one's probabilities are of the relabelled outcomes, not of the real ones, so the
score of a row is the chance that the lottery predicts it positive: the weighted share of the
classifiers that do. The constraint holds, on training rows, for decisions drawn with that chance
(the rule `randomised`); a cut makes a majority vote of it. The share takes few different values, so
it ranks rows coarsely, and it is no probability of the outcome: a recalibration makes it one.

fairlearn's reductions take no weights of rows, since they set them: where a treatment has some, it
gets as many rows drawn with replacement, each as likely as it weighs, as nearest neighbours do.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mcrage.classifiers.fitted import TrainingRows, weight_name
from mcrage.errors import UserError

logger = logging.getLogger(__name__)


def learn(
    settings: dict[str, Any], rows: TrainingRows, base: Any, seed: int, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the lottery.

    Parameters
    ----------
    settings : dict
        ``constraint``, ``eps`` and ``max_iterations``.
    rows : TrainingRows
    base : object
        A classifier of scikit-learn that takes weights.
    seed, threads : int

    Returns
    -------
    callable
        Design matrix of shape (m, n_columns) to the chance of each level, shape (m, 2).

    Raises
    ------
    UserError
        If the target has more than two levels.
    """
    from fairlearn import reductions

    if rows.n_levels != 2:
        raise UserError(
            f"classifier kind exponentiated_gradient is for a target of two levels; this one has "
            f"{rows.n_levels}. Leave the classifier out."
        )
    constraints = {
        "demographic_parity": reductions.DemographicParity,
        "equalized_odds": reductions.EqualizedOdds,
        "true_positive_rate_parity": reductions.TruePositiveRateParity,
    }
    drawn = rows.resampled(seed)
    lottery = reductions.ExponentiatedGradient(
        base,
        constraints[settings["constraint"]](difference_bound=settings["eps"]),
        eps=settings["eps"],
        max_iter=settings["max_iterations"],
        sample_weight_name=weight_name(base),
    )
    with warnings.catch_warnings():
        # Perceptrons take as many passes as they are told to.
        warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")
        # fairlearn 0.15 is told by pandas 3 of what version 4 will not take.
        warnings.filterwarnings("ignore", "Setting a", DeprecationWarning, "fairlearn")
        lottery.fit(drawn.x, drawn.y, sensitive_features=drawn.subgroup)
    used = np.flatnonzero(lottery.weights_.sort_index().to_numpy() > 0)
    logger.info(
        "%s: %d of %d classifiers in the lottery after %d iterations, duality gap %.4g",
        settings["constraint"],
        len(used),
        len(lottery.predictors_),
        lottery.last_iter_ + 1,
        lottery.best_gap_,
    )
    weights = lottery.weights_.sort_index().to_numpy()[used]
    predictors = [lottery.predictors_[number] for number in used]

    def predict(x: np.ndarray) -> np.ndarray:
        votes = np.array([predictor.predict(x) for predictor in predictors], dtype=np.float64)
        chance = np.clip(weights @ votes / weights.sum(), 0.0, 1.0)
        return np.column_stack([1.0 - chance, chance])

    return predict
