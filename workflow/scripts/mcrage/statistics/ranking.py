# SPDX-License-Identifier: MIT
"""Treatments ranked over datasets: for five or more, fewer say nothing about others."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mcrage.statistics.paired import holm

FEWEST_DATASETS = 5


@dataclass(frozen=True)
class Ranking:
    """What a critical-difference figure shows.

    Attributes
    ----------
    names : tuple of str
        Treatments.
    mean_ranks : ndarray of float64, shape (T,)
        1 is best; ties share their ranks.
    p_value : float
        Friedman's test that all treatments are alike.
    control : str
    p_values, p_adjusted : ndarray of float64, shape (T,)
        Wilcoxon's signed-rank test of each treatment against the control, and after Holm's
        correction; NaN for the control itself, 1 where no dataset differs.
    different : ndarray of bool, shape (T,)
        Whether a treatment differs from the control at 5 %, and Friedman's test allows to ask.
    """

    names: tuple[str, ...]
    mean_ranks: np.ndarray
    p_value: float
    control: str
    p_values: np.ndarray
    p_adjusted: np.ndarray
    different: np.ndarray


def rank(
    values: np.ndarray, names: tuple[str, ...], control: str, *, lower_is_better: bool = False
) -> Ranking | None:
    """Rank treatments by their values on several datasets (Demšar 2006).

    Parameters
    ----------
    values : ndarray of float64, shape (n_datasets, T)
        Means over replicates; datasets with a NaN are left out.
    names : tuple of str
    control : str
        One of `names`.
    lower_is_better : bool

    Returns
    -------
    Ranking or None
        None with fewer than `FEWEST_DATASETS` datasets or three treatments.
    """
    known = values[~np.isnan(values).any(axis=1)]
    if len(known) < FEWEST_DATASETS or len(names) < 3:
        return None
    better = known if lower_is_better else -known
    ranks = stats.rankdata(better, axis=1)
    alike = (ranks == ranks[:, :1]).all()
    p_value = 1.0 if alike else float(stats.friedmanchisquare(*known.T).pvalue)
    place = names.index(control)
    p_values = np.full(len(names), np.nan)
    for number in range(len(names)):
        if number != place:
            difference = known[:, number] - known[:, place]
            p_values[number] = (
                stats.wilcoxon(difference, zero_method="pratt").pvalue if difference.any() else 1.0
            )
    adjusted = holm(p_values)
    with np.errstate(invalid="ignore"):
        different = (adjusted < 0.05) & (p_value < 0.05)
    return Ranking(names, ranks.mean(axis=0), p_value, control, p_values, adjusted, different)
