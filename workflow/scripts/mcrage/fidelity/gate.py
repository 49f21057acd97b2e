# SPDX-License-Identifier: MIT
"""The gate against memorising: drawn rows that lie too near to a training row are drawn anew.

Too near is nearer to a training row of the group than all but 1 % of the group's training rows are
to each other. An honest generator draws as if from the same people, and a new patient lies as near
to n training rows as one of them to the other n - 1: the leave-one-out distances have the
distribution of a held-out row's, all but one row in n. So no held-out row is needed. It may not be
used either: a threshold taken from validation rows would hand the generator a fact about them, and
the smallest groups have hardly any.

Drawing anew is rejection sampling: what is left has the generator's distribution given the group
and given that it is not too near; nothing else changes. (The alternative, an earlier and less
trained network, changes all rows for the sake of a few.) About 1 % of honest rows are dropped, too.

Measured on patient treatment, 20 replicates each. Of held-out rows 1.1 to 1.3 % a group are too
near (``nearest_1_percent`` in results/fidelity.parquet of ``experiments/mcrage.yaml``), so the
argument above holds; of the tuned diffusion's .1 to 1.2 %, and of SMOTE's 49 to 65 %. Without them
women's AUROC with the diffusion's rows is .749 instead of .750, and with SMOTE's .733 either way
(``benchmarks/ablation.py --configfile benchmarks/gate.yaml``). So it is off by default: it costs a
classifier nothing and gives it nothing, and where it would matter, the generator is the trouble.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.encoding.usual import completed, usual_values
from mcrage.errors import UserError
from mcrage.fidelity.nearest import Nearest, quantiles, typical
from mcrage.groups import GroupSchema
from mcrage.seeds import derive

LEVEL = 0.01
"""Share of a group's training rows that lie nearer to each other than the gate allows."""
ROUNDS = 50
"""How often a row is drawn anew; a generator that needs more does little but copy."""
_SURE = 0.999

Draw = Callable[[np.ndarray, int], np.ndarray]
"""(groups (m,), seed) -> features (m, d) in raw units."""

Chunks = Iterable[tuple[np.ndarray, np.ndarray]]
"""Features (m, d) in raw units and groups (m,), of one part of the rows after another."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gate:
    """What lies too near to the training rows.

    Attributes
    ----------
    nearest : Nearest
    schema : GroupSchema
    limits : dict of int to (float, float, int)
        By group: the distance below which a row is too near, the share of training rows that are,
        and how many rows that rests on. Groups that are not in it have too few training rows, or
        too many equal ones, to tell; their rows pass.
    """

    nearest: Nearest
    schema: GroupSchema
    limits: dict[int, tuple[float, float, int]]

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        groups: np.ndarray,
        schema: GroupSchema,
        features: Sequence[Feature],
    ) -> "Gate":
        """Learn from training rows, and from nothing else.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, d)
            Raw units, of real training rows.
        groups : ndarray of int64, shape (n,)
        schema : GroupSchema
        features : sequence of Feature
        """
        rows = completed(rows, features, usual_values(rows, features))
        nearest = Nearest.of(rows, groups, features)
        own = nearest.own()
        return cls(nearest, schema, quantiles(own, groups, LEVEL, typical(own, groups)))

    def keep(self, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Say of each row whether it may stay.

        Parameters
        ----------
        features : ndarray of float64, shape (m, d)
            Raw units.
        groups : ndarray of int64, shape (m,)

        Returns
        -------
        ndarray of bool, shape (m,)
        """
        limit = np.array([self.limits.get(int(group), (-np.inf,))[0] for group in groups])
        # A hair's breadth, since equal distances are not equal to the last bit.
        return self.nearest.distances(features, groups)[:, 0] >= limit * (1 - 1e-9)

    def passed(self, chunks: Chunks, draw: Draw, seed: int, dropped: np.ndarray) -> Chunks:
        """Yield drawn rows chunk by chunk, those that are too near drawn anew until none is.

        Parameters
        ----------
        chunks : iterable of (ndarray of float64, shape (m, d), ndarray of int64, shape (m,))
            Drawn rows and their groups; the rows are written to.
        draw : callable
        seed : int
            The rows' own; those of rows drawn anew are derived from it.
        dropped : ndarray of int64, shape (n_groups,)
            Rows of each group that were drawn and left out are added to it.

        Raises
        ------
        UserError
            If a row is still too near after `ROUNDS` rounds.
        """
        for place, (features, groups) in enumerate(chunks):
            own = derive(seed, "chunk", place) if place else seed
            todo = np.flatnonzero(~self.keep(features, groups))
            for number in range(1, ROUNDS + 1):
                if not len(todo):
                    break
                dropped += self.schema.counts(groups[todo])
                features[todo] = draw(groups[todo], derive(own, "drawn anew", number))
                todo = todo[~self.keep(features[todo], groups[todo])]
            if len(todo):
                told = self.schema.counts_by_label(groups[todo])
                raise UserError(
                    f"memorising: drop: after {ROUNDS} rounds of drawing anew, rows still lie "
                    f"nearer to a training row than all but 1 % of training rows do to each "
                    f"other: {told}. The generator does little but copy this group; train it for "
                    "fewer steps, or set memorising: keep."
                )
            yield features, groups

    def honest(self, chunks: Chunks) -> Chunks:
        """Yield drawn rows chunk by chunk, and `refuse` them after the last if need be.

        Parameters
        ----------
        chunks
            See `passed`.
        """
        near, drawn = np.zeros((2, self.schema.n_groups), dtype=np.int64)
        for features, groups in chunks:
            near += self.schema.counts(groups[~self.keep(features, groups)])
            drawn += self.schema.counts(groups)
            yield features, groups
        self.refuse(near, drawn)

    def refuse(self, near: np.ndarray, drawn: np.ndarray) -> None:
        """Stop if more rows of a group are too near than chance explains.

        Parameters
        ----------
        near, drawn : ndarray of int64, shape (n_groups,)
            Rows of each group that `keep` says no to, and all of them.

        Raises
        ------
        UserError
            If in a group an honest generator has so many in one run of a thousand: if the limit is
            a low order statistic of n/2 independent distances (training rows lie near to each
            other in pairs), the share below it has a beta distribution, and the number of rows a
            beta-binomial one.
        """
        from scipy.stats import betabinom

        problems = []
        for group, (_, _, n_real) in self.limits.items():
            pairs = n_real / 2
            allowed = betabinom.ppf(_SURE, drawn[group], LEVEL * pairs + 1, (1 - LEVEL) * pairs)
            told = f"{self.schema.label(group)}: {near[group]} of {drawn[group]} rows"
            logger.info("too near, %s; chance explains %d", told, allowed)
            if near[group] > allowed:
                problems.append(told)
        if problems:
            raise UserError(
                "memorising: stop: more rows than chance explains lie nearer to a training row "
                f"than all but 1 % of training rows do to each other: {'; '.join(problems)}. Set "
                "memorising: drop to draw them anew, train for fewer steps, or set memorising: "
                "keep."
            )
