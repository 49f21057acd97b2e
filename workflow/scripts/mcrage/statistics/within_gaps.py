# SPDX-License-Identifier: MIT
"""Gaps between the subgroups of an attribute, in every draw of the test rows at once.

Their definitions are those of `mcrage.metrics.fairness`, on counts that are sums of weights.
"""

import numpy as np

from mcrage.metrics.fairness import WORST_OF_COUNTS, signed, signed_of_counts, spread, worst
from mcrage.metrics.names import AGAINST, ALL
from mcrage.metrics.sufficient import Parts, Sufficient

OF_ALL = (*WORST_OF_COUNTS, "worst_auroc_difference", "worst_group_auroc")
"""What compares all subgroups of an attribute."""


class Gaps:
    """The gaps of one attribute.

    Parameters
    ----------
    split : Parts
        The test rows by their subgroup.
    truths : ndarray of int64, shape (L, K)
        Test rows of each subgroup by their level of the target.

    Attributes
    ----------
    cells : list of (str, str, int)
        Subgroup, metric and support of each gap: all subgroups together, then each against the
        reference.
    """

    def __init__(self, split: Parts, truths: np.ndarray) -> None:
        self.truths = truths
        rest = [k for k in range(len(split.subgroups)) if k != split.reference]
        self.pairs = np.array([[k, split.reference] for k in rest], dtype=np.int64).reshape(-1, 2)
        # Supports go by who there is, whatever is decided and scored.
        counts = np.zeros((*truths.shape, truths.shape[1]), dtype=np.int64)
        counts[..., 0] = truths
        known = np.where((truths > 0).all(axis=1), 0.5, np.nan)
        whole = Sufficient(split, counts, {"auroc": known, "brier": np.zeros(len(truths))})
        found = worst(whole)
        self.cells = [(ALL, name, found[name][1]) for name in OF_ALL]
        reference = split.subgroups[split.reference]
        self._names = [*signed_of_counts(counts[[0, 0]]), "signed_auroc_difference"]
        # The same with the other sign tells nothing more.
        self._names = [name for name in self._names if not name.startswith("btgan_")]
        for subgroup in rest:
            own = signed(whole, subgroup)
            label = f"{split.subgroups[subgroup]}{AGAINST}{reference}"
            self.cells += [(label, name, own[name][1]) for name in self._names]

    def values(self, counts: np.ndarray, auroc: np.ndarray, undecided: np.ndarray) -> np.ndarray:
        """Return the gaps of each draw.

        Parameters
        ----------
        counts : ndarray of float64, shape (rules, m, L, K, K)
            Weights by subgroup, true and predicted level.
        auroc : ndarray of float64, shape (m, L)
        undecided : ndarray of bool, shape (rules,)
            Whether a rule left any row undecided, so that gaps of its decisions are undefined.

        Returns
        -------
        ndarray of float64, shape (rules, n_gaps, m)
            In the order of `cells`. Gaps between all subgroups are undefined in a draw of clusters
            that holds none of a subgroup's rows of some level: the gap would be another one.
        """
        worst_of_counts = [of(counts) for of in WORST_OF_COUNTS.values()]
        defined = np.isfinite(auroc)
        least = np.min(np.where(defined, auroc, np.inf), axis=-1)
        of_scores = [spread(auroc), np.where(defined.any(axis=-1), least, np.nan)]
        by_rule = [np.broadcast_to(values, counts.shape[:2]) for values in of_scores]
        lost = ((counts[0].sum(axis=-1) == 0) & (self.truths > 0)).any(axis=(-1, -2))
        of_all = np.where(lost, np.nan, np.stack([*worst_of_counts, *by_rule]))
        pairs = signed_of_counts(counts[:, :, self.pairs])  # (rules, m, pairs)
        two = auroc[:, self.pairs]
        pairs["signed_auroc_difference"] = np.broadcast_to(
            two[..., 0] - two[..., 1], (len(counts), *two.shape[:-1])
        )
        of_pairs = np.stack([pairs[name] for name in self._names])  # (names, rules, m, pairs)
        for part in (of_all[: len(WORST_OF_COUNTS)], of_pairs[:-1]):
            part[:, undecided] = np.nan
        # Pairs one after another, each with all its gaps.
        shape = len(counts), len(self.pairs) * len(self._names), counts.shape[1]
        flat = np.moveaxis(of_pairs, (3, 0), (1, 2)).reshape(shape)
        return np.concatenate([np.moveaxis(of_all, 0, 1), flat], axis=1)
