# SPDX-License-Identifier: MIT
"""The conditional diffusion generator of MCRAGE (arXiv 2310.18430), as `paper` and as `tuned`.

`paper` follows the text. Where it deviates from the text or from the authors' notebook
(CalebFikes/MCRAGE-Emory_Math_REU_2023), it does so for the reason given:

- Posterior mean and variance, the loss and φ⁻¹ are those of Ho et al. 2020 and of a mixed-radix
  number; the text prints them with bars, an index and cumulative products missing.
- Sampling uses the posterior variance, as the text does; the notebook uses β_t
  (``sampling_variance: beta``).
- T' = 35 as run; the text's own rule gives 50 for its numbers (``timesteps: auto``).
- No GELU and no dropout .5 on the network's output: with them ε cannot be predicted.
- The notebook's ``up0`` is called with one argument but needs two; it is read as Linear + GELU.
- The variances lie on the notebook's grid of T + 1 points, whose first, at t = 0, is not used.
- The time enters as t / T.
- Networks are evaluated without dropout; the notebook never leaves training mode.
- The learning rate falls by .97 every 100 steps as in the notebook; the text gives no interval.
- Batches are drawn evenly over the table sorted by group, not from a shuffled epoch.
- The best member at its best checkpoint is kept, as the text says; the notebook samples the last
  network. The moving average, which the notebook keeps up to date but never uses, is not kept.
- The scaler is fitted on the training rows once; the notebook refits it on three sets.
- Checkpoints are chosen by F1 of the positive level; the notebook uses the weighted F1.
- The loss has no constant "KL" term: it has no gradient.
- Labels of shape (n, 1) + (n,), which made an n × n matrix in the notebook, are plain vectors.
- Drawn rows are rounded as recorded and clipped to the training range.
- The text has numbers alone. A category, or whether a value is missing, becomes an indicator a
  level, standardised and learnt like a number; the largest tells the level of a drawn row.

`tuned` keeps the algorithm (one conditional model, a filling plan) and changes the rest: derived
columns are recomputed, features are standardised within the subgroup, the condition is additive,
EDM preconditioning, no guidance, a batch mix that favours small groups, small networks trained for
few steps (longer training copies the accidents of small groups), and rows drawn evenly from the
moving averages of several seeds.

What each way to share strength gave, as the difference in women's AUROC (Nadeau-Bengio interval of
95 %, 20 replicates of patient-treatment that judge nothing else, every group filled with rows that
keep their labels; ``benchmarks/ablation.py --configfile experiments/strength.yaml --transfer 1``):

- additive condition instead of the group's index: +.002 [-.012, +.017]
- a shrunken embedding of each group beside it: +.000 [-.014, +.014]
- batches with groups as often as they are, instead of the square root: +.001 [-.014, +.015]
- standardised within the subgroup instead of together: +.002 [-.008, +.012]
- standardised within the group: -.007 [-.019, +.004]
- rows that start from noised majority rows with the condition switched: +.006 [-.003, +.016]

None can be told from nothing, and none makes filled groups better than no filling at all: who
labels the rows decides (`mcrage.classifiers.teacher`). The last is left out, since a model would
have to keep real rows for it.

With categories, `tuned` first draws them, and what is missing or one of the values that stand out
(zeros among them: `mcrage.encoding.spikes`), by masked diffusion, one
after the other in random order, and then the numbers given them (`mcrage.diffusion.masked`).
`tuned_large` is the same for some ten thousand rows and more: quantiles, a wider network, one of
them, larger batches and more steps. What either gives on Adult is told in docs/generators.md.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.generators.base import (
    Checkpoint,
    Criterion,
    Generator,
    TrainingData,
    standardised_within,
)
from mcrage.generators.cddpm_rows import RowEncoding
from mcrage.generators.storage import (
    load_model,
    save_model,
    schema_facts,
    schema_from,
)

if TYPE_CHECKING:
    import torch

    from mcrage.generators.cddpm_parts import Parts

KIND = "cddpm"


class CddpmGenerator(Generator):
    """A conditional diffusion model of the features given the group.

    Parameters
    ----------
    settings : dict
        ``CddpmSettings.resolved()``; to fit without a criterion, also without those that only
        sampling reads.

    Attributes
    ----------
    history : dict of str to list
        The columns `mcrage.generators.cddpm_grid.CURVE`.
    choice : dict
        What selection chose, plain JSON values; also in the saved model.
    facts : dict
        device, seconds, gpu_seconds and steps_per_second (of all attempts), checkpoint_seconds,
        resumptions, n_parameters, n_members, steps, timesteps, peak_memory_bytes (None on the CPU)
        and `choice`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.history: dict[str, list] = {}
        self.choice: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def fit(
        self,
        train: TrainingData,
        *,
        criterion: Criterion | None = None,
        seed: int,
        device: str = "cpu",
        threads: int = 1,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Learn from training rows.

        Parameters
        ----------
        train : TrainingData
        criterion : callable, optional
            Judges the rows that a member draws for the filling plan; needed by
            ``selection: criterion``.
        seed : int
            Of weights, batches and noise.
        device : str
            As torch names it: "cpu", "cuda", "cuda:1".
        threads : int
            For torch on the CPU.
        checkpoint : Checkpoint, optional
            What a killed run continues from. With one, SIGTERM and SIGINT end the fit between two
            steps, after writing it.

        Raises
        ------
        UserError
            If the device is not there, a group is empty or the criterion is missing.
        Interrupted
            If there is a checkpoint and the process was told to end.
        """
        replicate = import_module("mcrage.generators.cddpm_learner").Replicate(
            train, seed, criterion, checkpoint
        )
        (fitted,) = self._fitted([replicate], device=device, threads=threads)
        return self._take(train, fitted)

    @classmethod
    def fit_together(
        cls,
        settings: dict[str, Any],
        replicates: Sequence[tuple],
        *,
        device: str = "cpu",
        threads: int = 1,
    ) -> list[Self]:
        """Learn from several replicates as one ensemble; each ends as `fit` would end it.

        Parameters
        ----------
        settings, device, threads
            As of the class and of `fit`.
        replicates : sequence of tuple
            Of each training rows and seed, and where there are such criterion, checkpoint and
            name; see `mcrage.generators.cddpm_learner.Replicate`, and
            `mcrage.generators.cddpm_fit.fit_together` for what becomes of them.
        """
        replicate = import_module("mcrage.generators.cddpm_learner").Replicate
        given = [replicate(*one) for one in replicates]
        generators = [cls(settings) for _ in given]
        fitted = generators[0]._fitted(given, device=device, threads=threads)
        return [
            generator._take(one.train, own)
            for generator, one, own in zip(generators, given, fitted, strict=True)
        ]

    def _fitted(self, replicates: Sequence[Any], *, device: str, threads: int) -> list[Any]:
        # By name, here and in `draw`, so that neither stage's digest has the other's code;
        # `mcrage.generators.registry` has the roots of each.
        fit_together = import_module("mcrage.generators.cddpm_fit").fit_together
        return fit_together(self.settings, replicates, device=device, threads=threads)

    def _take(self, train: TrainingData, fitted: Any) -> Self:
        self._schema, self._encoding = train.schema, fitted.encoding
        self._timesteps, self._weights = fitted.timesteps, fitted.weights
        self.history, self.choice, self.facts = fitted.history, fitted.choice, fitted.facts
        return self

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group, from the members in turn.

        See `mcrage.generators.base.Generator`.
        """
        from mcrage.generators.devices import check_device

        place = check_device(device)
        chunks = import_module("mcrage.generators.cddpm_draw").draw_groups(
            self.settings, self._parts(place), self._weights.to(place), plan, seed
        )
        scaling = self.settings["scaling"]
        return (
            (
                self._encoding.inverse(rows, standardised_within(scaling, groups, self._schema)),
                groups,
            )
            for rows, groups in chunks
        )

    def _parts(self, place: "torch.device") -> "Parts":
        from mcrage.generators.cddpm_parts import make_parts

        return make_parts(self.settings, self._schema, self._encoding, self._timesteps, place)

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``model.safetensors`` and ``model.json``; equal seeds give equal bytes."""
        import torch

        from mcrage.diffusion.network import StackedParameters

        arrays, encoding = self._encoding.state()
        weights = self._weights.cpu()
        network = self._parts(torch.device("cpu")).network
        stacked = StackedParameters(network.parameters, len(weights))
        tensors = {f"encoding.{name}": array for name, array in arrays.items()}
        for name, view in stacked.views(weights).items():
            tensors[f"network.{name}"] = view.numpy()
        save_model(
            folder,
            tensors,
            {
                "kind": KIND,
                "settings": self.settings,
                "schema": schema_facts(self._schema),
                "encoding": encoding,
                "timesteps": self._timesteps,
                "choice": self.choice,
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike, sampling: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; see `mcrage.generators.base.Generator`."""
        import torch

        arrays, facts = load_model(folder, KIND)
        self = cls({**facts["settings"], **sampling})
        self._schema = schema_from(facts["schema"])
        self._timesteps, self.choice = facts["timesteps"], facts["choice"]
        self._encoding = RowEncoding.from_state(
            arrays_below("encoding.", arrays),
            facts["encoding"],
            self.settings["categories"],
        )
        network = self._parts(torch.device("cpu")).network
        names = [f"network.{parameter.name}" for parameter in network.parameters]
        tensors = [torch.from_numpy(arrays[name].copy()).flatten(1) for name in names]
        self._weights = torch.cat(tensors, dim=1)
        return self
