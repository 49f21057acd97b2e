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
  network. The moving average is kept up to date but not used, as in the notebook.
- The scaler is fitted on the training rows once; the notebook refits it on three sets.
- Checkpoints are chosen by F1 of the positive level; the notebook uses the weighted F1.
- The loss has no constant "KL" term: it has no gradient.
- Labels of shape (n, 1) + (n,), which made an n × n matrix in the notebook, are plain vectors.
- Drawn rows are rounded as recorded and clipped to the training range.

`tuned` keeps the algorithm (one conditional model, the filling plan) and changes the rest:
derived columns are recomputed, the condition is additive, EDM preconditioning, no guidance, a
batch mix that favours small groups, small networks trained for few steps (longer training copies
the accidents of small groups), and rows drawn evenly from the moving averages of several seeds.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mcrage.encoding import NumericEncoding
from mcrage.errors import UserError
from mcrage.generators.base import Criterion, TrainingData
from mcrage.generators.storage import load_model, save_model, schema_facts, schema_from
from mcrage.groups import filling_plan, plan_rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)

KIND = "cddpm"


class CddpmGenerator:
    """A conditional diffusion model of the features given the group.

    Parameters
    ----------
    settings : dict
        ``CddpmSettings.resolved()``.

    Attributes
    ----------
    history : dict of str to list
        The columns `mcrage.generators.cddpm_run.CURVE`.
    facts : dict
        device, seconds, steps_per_second, n_parameters, n_members, steps, timesteps,
        peak_memory_bytes (None on the CPU) and what selection chose.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.history: dict[str, list] = {}
        self.facts: dict[str, Any] = {}

    def fit(
        self,
        train: TrainingData,
        *,
        criterion: Criterion | None = None,
        seed: int,
        device: str = "cpu",
        threads: int = 1,
        checkpoint: str | os.PathLike | None = None,
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
        checkpoint : path-like, optional
            File that a killed run continues from; deleted at the end. Its name should follow from
            the settings and the data, which are not checked.

        Raises
        ------
        UserError
            If the device is not there, a group is empty or the criterion is missing.
        """
        import torch

        from mcrage.diffusion.training import Trainer
        from mcrage.generators import cddpm_parts as parts
        from mcrage.generators.cddpm_run import Run

        settings = self.settings
        place = parts.check_device(device)
        self._check(train, criterion)
        torch.set_num_threads(threads)
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats(place)
        started = time.perf_counter()
        self._schema = train.schema
        self._encoding = NumericEncoding.fit(
            train.features,
            train.roles.features,
            scaling=settings["scaling"],
            derive=settings["derive"],
            seed=seed,
        )
        rows = self._encoding.transform(
            train.features, jitter_seed=seed if settings["jitter"] else None
        )
        self._timesteps = parts.count_timesteps(settings, rows)
        self._build(place)
        trainer = Trainer(
            self._network,
            self._condition,
            self._process,
            torch.from_numpy(rows),
            torch.from_numpy(np.asarray(train.groups, dtype=np.int64)),
            parts.make_members(settings, seed),
            parts.training_settings(settings, len(rows)),
            place,
        )
        logger.info(
            "%d members of %d parameters, %d steps on %s",
            len(trainer.members),
            trainer.parameters.flat.shape[1],
            trainer.settings.steps,
            parts.device_name(place),
        )
        judge = None
        if settings["selection"] == "criterion":
            plan = plan_rows(filling_plan(train.counts))
            if len(plan) == 0:
                # A table that another treatment has filled lacks nothing; judge a copy of it.
                plan = np.sort(train.groups)
            judge = self._judge(criterion, plan, len(trainer.members), seed)
        epoch = parts.steps_per_epoch(settings, len(rows))
        run = Run(
            trainer,
            epoch,
            averaged=settings["use_ema"],
            judge=judge,
            judge_every=settings["select_every_epochs"] * epoch,
            checkpoint=checkpoint,
        )
        run.run()
        self._weights = run.weights()
        self.history = run.history
        self.facts = {
            "device": parts.device_name(place),
            "seconds": time.perf_counter() - started,
            "steps_per_second": run.steps_timed / max(run.seconds, 1e-9),
            "n_parameters": trainer.parameters.flat.shape[1],
            "n_members": len(trainer.members),
            "steps": trainer.n_steps,
            "timesteps": self._timesteps,
            "peak_memory_bytes": (
                torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
            ),
            **run.choice(),
        }
        if checkpoint is not None:
            Path(checkpoint).unlink(missing_ok=True)
        return self

    def _check(self, train: TrainingData, criterion: Criterion | None) -> None:
        if self.settings["selection"] == "criterion" and criterion is None:
            raise UserError(
                "selection 'criterion' needs a validation set: set a validation share above 0, "
                "or selection 'last'."
            )
        empty = np.flatnonzero(train.counts == 0)
        if len(empty):
            raise UserError(
                f"group {train.schema.label(int(empty[0]))} has no training rows, so nothing can "
                "be learnt about it. Keep more rows in the scenario, or merge levels in the "
                "dataset card."
            )

    def _build(self, place: "torch.device") -> None:
        """Make condition, process and network: shapes that follow from settings and encoding."""
        from mcrage.generators import cddpm_parts as parts

        self._condition = parts.make_condition(self.settings, self._schema, place)
        self._process = parts.make_process(self.settings, self._timesteps, place)
        self._network = parts.make_network(
            self.settings, self._encoding.n_modelled, self._condition
        )

    def _judge(
        self, criterion: Criterion, plan: np.ndarray, n_members: int, seed: int
    ) -> "Callable[[Tensor], list[float]]":
        """Return a function that scores every member by the rows it draws for the plan."""

        def judge(weights: "Tensor") -> list[float]:
            requests = np.broadcast_to(plan, (n_members, len(plan)))
            drawn = self._draw(weights, requests, seed)
            return [float(criterion(self._encoding.inverse(rows), plan)) for rows in drawn]

        return judge

    def _draw(self, weights: "Tensor", groups: np.ndarray, seed: int) -> np.ndarray:
        """Return encoded rows (M, n, d) of groups (M, n), drawn by members (M, P)."""
        import torch

        from mcrage.diffusion.network import StackedParameters
        from mcrage.diffusion.sampling import draw

        device = weights.device
        stacked = StackedParameters(self._network.parameters, len(weights), device)
        drawn = draw(
            self._network,
            self._condition,
            self._process,
            stacked.views(weights),
            torch.from_numpy(np.array(groups, dtype=np.int64)).to(device),
            generator=torch.Generator(device).manual_seed(seed),
            sampler=self.settings["sampler"],
            n_steps=self.settings["sampling_steps"],
            guidance=self.settings["guidance"],
            variance=self.settings["sampling_variance"],
        )
        return drawn.cpu().numpy()

    def sample(self, groups: np.ndarray, *, seed: int, device: str = "cpu") -> np.ndarray:
        """Draw one row for each entry of `groups`, from the members in turn.

        See `mcrage.generators.base.Generator`.
        """
        from mcrage.generators import cddpm_parts as parts

        place = parts.check_device(device)
        self._build(place)
        groups = np.asarray(groups, dtype=np.int64)
        if len(groups) == 0:
            return np.empty((0, len(self._encoding.features)))
        n_members = len(self._weights)
        # Sorted by group and dealt in turn, so that every group is shared evenly by the members.
        order = np.argsort(groups, kind="stable")
        requests = np.resize(groups[order], (-(-len(groups) // n_members), n_members)).T
        drawn = self._draw(self._weights.to(place), requests, seed)
        rows = np.empty((len(groups), drawn.shape[-1]))
        rows[order] = drawn.swapaxes(0, 1).reshape(-1, drawn.shape[-1])[: len(groups)]
        return self._encoding.inverse(rows)

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``model.safetensors`` and ``model.json``; equal seeds give equal bytes."""
        from mcrage.diffusion.network import StackedParameters

        arrays, encoding = self._encoding.state()
        weights = self._weights.cpu()
        stacked = StackedParameters(self._network.parameters, len(weights))
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
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Read what `save` wrote."""
        import torch

        arrays, facts = load_model(folder, KIND)
        self = cls(facts["settings"])
        self._schema = schema_from(facts["schema"])
        self._timesteps = facts["timesteps"]
        prefix = "encoding."
        self._encoding = NumericEncoding.from_state(
            {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)},
            facts["encoding"],
        )
        self._build(torch.device("cpu"))
        names = [f"network.{parameter.name}" for parameter in self._network.parameters]
        parts = [torch.from_numpy(arrays[name].copy()).flatten(1) for name in names]
        self._weights = torch.cat(parts, dim=1)
        return self
