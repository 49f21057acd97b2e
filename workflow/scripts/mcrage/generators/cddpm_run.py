# SPDX-License-Identifier: MIT
"""A training run of the diffusion generator: ensembles in turn, of one or several replicates."""

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Member, Trainer, TrainingSettings
from mcrage.generators.base import Checkpoint
from mcrage.generators.cddpm_grid import CURVE, Grid
from mcrage.generators.checkpoint import Cadence, unlike
from mcrage.generators.costs import Costs
from mcrage.interruption import Interrupted, Interruption
from mcrage.progress import Progress

logger = logging.getLogger(__name__)

MakeTrainer = Callable[[list[tuple[int, Member]], TrainingSettings], Trainer]
"""(Which grid, member) of each member, and what they share -> their trainer."""
Partition = Callable[[list[Member]], list[list[int]]]
"""Members -> places of those that are trained at once, for each ensemble in turn."""


class Run:
    """Trains the members of grids, as many at once as fit, and keeps what was chosen of each.

    Parameters
    ----------
    make_trainer : callable
        Makes the trainer of an ensemble.
    grids : sequence of Grid
        Which choose by themselves and train together. They have the same batch sizes, what
        `mcrage.generators.cddpm_schedule.Schedule.training` says, and the same way to choose.
    partition : callable
        Divides members into ensembles that are trained one after the other, each of one batch
        size.
    averaged : bool
        Keep and score the moving average of the parameters instead of the last ones.
    checkpoint : Checkpoint, optional
        To continue from, and to write now and then and when the process is told to end.
    started : float, optional
        When the fit began, by ``time.perf_counter``; now if left out.
    label : str
        For the progress.

    Attributes
    ----------
    grids : list of Grid
    trainer : Trainer
        Of the present ensemble.
    costs : Costs
    """

    def __init__(
        self,
        make_trainer: MakeTrainer,
        grids: Sequence[Grid],
        partition: Partition,
        *,
        averaged: bool,
        checkpoint: Checkpoint | None = None,
        started: float | None = None,
        label: str = "training cddpm",
    ) -> None:
        self._make_trainer, self._partition, self._label = make_trainer, partition, label
        self.grids, self.averaged, self._checkpoint = list(grids), averaged, checkpoint
        # Which grid, and the number there, of each member.
        self._owned = [
            (place, number)
            for place, grid in enumerate(self.grids)
            for number in range(len(grid.members))
        ]
        self._n_grid = len(self._owned)
        self._grid_parts = partition([self._member(*owner) for owner in self._owned])
        self._begin()
        began = time.perf_counter() if started is None else started
        self.costs = Costs(began, on_gpu=self.trainer.average.is_cuda)
        # Parameters, their average and two moments make up nearly all of it.
        self._cadence = Cadence(4 * self.trainer.average.nbytes)
        # The place of the state that the checkpoint holds.
        self._noted_place: tuple[int, ...] | None = None
        # Weights of the members that are kept, of the ensembles before the present one.
        self._done: dict[tuple[int, int], Tensor] = {}

    def _member(self, place: int, number: int) -> Member:
        return self.grids[place].members[number]

    @property
    def _refits(self) -> bool:
        return self.grids[0].refit is not None

    @property
    def _in_grid(self) -> bool:
        return self._part < len(self._grid_parts)

    @property
    def _place(self) -> tuple[int, ...]:
        return (self._part, self.trainer.n_steps, *(grid.noted for grid in self.grids))

    def _begin(self) -> None:
        """Begin with the first ensemble of the grids, and nothing known."""
        for grid in self.grids:
            grid.begin()
        self._owned, self._parts = self._owned[: self._n_grid], list(self._grid_parts)
        self._enter(0)

    def _enter(self, part: int) -> None:
        """Begin with an ensemble."""
        self._part = part
        self._training = [self._owned[member] for member in self._parts[part]]
        # Of each grid that has some of them: their places in the ensemble.
        self._places: dict[int, list[int]] = {}
        for row, (place, _) in enumerate(self._training):
            self._places.setdefault(place, []).append(row)
        for place, rows in self._places.items():
            schedule = self.grids[place].enter([self._training[row][1] for row in rows])
        members = [(owner[0], self._member(*owner)) for owner in self._training]
        self.trainer = self._make_trainer(members, schedule.training)

    def _choose(self) -> None:
        """Let each grid choose, and add the members that are trained with its choice."""
        if not self._refits or len(self._owned) > self._n_grid:
            return
        for grid in self.grids:
            grid.choose()
        added = [(place, n) for place, grid in enumerate(self.grids) for n in grid.kept]
        self._owned = [*self._owned, *added]
        parts = self._partition([self._member(*owner) for owner in added])
        self._parts = [*self._grid_parts, *([self._n_grid + n for n in part] for part in parts)]

    def run(self) -> None:
        """Train to the last step, from a checkpoint when there is one, and keep the final state.

        Raises
        ------
        Interrupted
            If there is a checkpoint to write and the process was told to end, after writing it.
        """
        self._resume()
        with Interruption(enabled=self._checkpoint is not None) as interruption:
            try:
                self._run_part(interruption)
                while self._advance_part():
                    self._run_part(interruption)
                if self._checkpoint is not None:
                    self._keep()
                interruption.check()
            except Interrupted as stop:
                stop.where = f" at step {self.trainer.n_steps} of {self.trainer.last_step}"
                if len(self._parts) > 1 or self._refits:
                    stop.where += f" of {self._told_part()}"
                if self._keep():
                    stop.where += "; the next run continues from there"
                raise

    def _told_part(self) -> str:
        if self._refits and not self._in_grid:
            return "the refit"
        if len(self._grid_parts) == 1:
            return "the grid"
        return f"ensemble {self._part + 1} of {len(self._grid_parts)}"

    def _advance_part(self) -> bool:
        """Go on to the next ensemble; return whether there is one."""
        if self._part + 1 == len(self._grid_parts):
            self._choose()
        if self._part + 1 == len(self._parts):
            return False
        self._done |= {owner: row.cpu().clone() for owner, row in self._ended().items()}
        self._enter(self._part + 1)
        return True

    def _ended(self) -> dict[tuple[int, int], Tensor]:
        """Return the present weights of the members in training that are kept as they end."""
        kept = self._kept_of(self._training)
        if not kept:
            return {}
        rows = self.trainer.weights(averaged=self.averaged)
        return {
            owner: row for owner, row in zip(self._training, rows, strict=True) if owner in kept
        }

    def _kept_of(self, owners: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        return {owner for owner in owners if owner[1] in self.grids[owner[0]].kept}

    def _run_part(self, interruption: Interruption) -> None:
        last = self.trainer.last_step
        self._cadence.start(self.trainer.n_steps)
        label = self._label
        if len(self._parts) > 1 or self._refits:
            label += f", {self._told_part()}"
        with Progress(last, label, start=self.trainer.n_steps) as progress:
            while stops := self._stops():
                before, stop = self.trainer.n_steps, min(stops.values())
                self._advance(stop, interruption)
                noted = [self._note(place, interruption) for place in stops if stops[place] == stop]
                progress.update(
                    self.trainer.n_steps - before, loss=float(np.nanmean(np.concatenate(noted)))
                )
                if self._is_due():
                    self._save()
                interruption.check()

    def _stops(self) -> dict[int, int]:
        """Return the step of the next point of the curve of each grid that goes on."""
        stops = {place: self.grids[place].next_stop() for place in self._places}
        return {place: stop for place, stop in stops.items() if stop is not None}

    def _note(self, place: int, interruption: Interruption) -> list[float]:
        """Add the present step to a grid's curve; return the losses."""
        grid, rows, step = self.grids[place], self._places[place], self.trainer.n_steps
        # Scoring takes long and changes nothing, so it is left at once and done again.
        with interruption.at_once():
            scores = grid.score(lambda: self._weights_of(rows), step)
        losses = self.trainer.read_losses(rows)
        grid.note(step, losses, scores, self.trainer.rate_factor(step - 1))
        return losses

    def _weights_of(self, rows: list[int]) -> Tensor:
        weights = self.trainer.weights(averaged=self.averaged)
        return weights if len(rows) == len(weights) else weights[rows]

    def _advance(self, stop: int, interruption: Interruption) -> None:
        """Take the steps up to a point of the curve, which may be none after a kill."""
        while self.trainer.n_steps < stop:
            started, before = time.perf_counter(), self.trainer.n_steps
            try:
                while self.trainer.n_steps < stop:
                    self.trainer.step()
                    interruption.check()
                    if self._is_due():
                        break
            finally:
                if self.trainer.average.is_cuda:
                    torch.cuda.synchronize(self.trainer.average.device)
                self.costs.step_seconds += time.perf_counter() - started
                self.costs.steps_timed += self.trainer.n_steps - before
            if self._is_due():
                self._save()

    def _is_due(self) -> bool:
        return self._checkpoint is not None and self._cadence.due(self.trainer.n_steps)

    def _keep(self) -> bool:
        """Return whether the checkpoint holds the present state, after writing it if need be."""
        return self._noted_place == self._place or self._save()

    def _save(self) -> bool:
        started = time.perf_counter()
        saved = self._checkpoint.save(self.state())
        if saved:
            self._noted_place = self._place
        seconds = time.perf_counter() - started
        self.costs.checkpoint_seconds += seconds
        self._cadence.wrote(self.trainer.n_steps, seconds, self.costs.seconds_per_step)
        return saved

    def _resume(self) -> None:
        if self._checkpoint is None:
            return
        arrays = self._checkpoint.load(self.misfit)
        if arrays is None:
            # Looking at one that was refused may have gone to another ensemble.
            self._begin()
            return
        self.restore(arrays)
        self._noted_place = self._place
        self.costs.resumptions += 1
        logger.info("continuing from step %d of %d", self.trainer.n_steps, self.trainer.last_step)

    def weights(self, place: int = 0) -> Tensor:
        """Return what a grid keeps: its best member's parameters (1, P), or several (M, P)."""
        grid = self.grids[place]
        if grid.best.weights is not None:
            return grid.best.weights
        rows = self._done | self._ended()
        device = self.trainer.device
        return torch.stack([rows[place, number].to(device) for number in grid.kept])

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is needed to go on, as named arrays."""
        arrays = {f"trainer.{k}": v.numpy() for k, v in self.trainer.state().items()}
        for place, grid in enumerate(self.grids):
            arrays |= {f"{place}.{name}": array for name, array in grid.state().items()}
        noted = [grid.noted for grid in self.grids]
        arrays["place"] = np.array([self._part, self._n_grid, *noted])
        arrays["costs"] = self.costs.array()
        if self._done:
            arrays["done"] = torch.stack([*self._done.values()]).numpy()
        return arrays

    def misfit(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Return why arrays cannot be a state of this run, or None if they can."""
        names = {f"{place}.history.{n}" for place in range(len(self.grids)) for n in CURVE}
        if missing := {"place", *names} - set(arrays):
            return f"lacks arrays of this run ({', '.join(sorted(missing))})"
        part, n_grid, *noted = arrays["place"].tolist()
        if n_grid != self._n_grid:
            return f"of a grid of {n_grid} members, and this run's has {self._n_grid}"
        if len(noted) != len(self.grids):
            return f"of {len(noted)} replicates, and this run has {len(self.grids)}"
        if part >= len(self._grid_parts) and self._refits:
            for grid, own in zip(self.grids, self._of_grids(arrays), strict=True):
                grid.take_curve(own)
            self._choose()
        if not 0 <= part < len(self._parts):
            return f"of ensemble {part + 1}, and this run has {len(self._parts)}"
        if part != self._part:
            self._enter(part)
        if reason := unlike(arrays, self._expected(arrays)):
            return reason
        step = int(arrays["trainer.counts"][0])
        last = self.trainer.last_step
        for place in self._places:
            stop = self.grids[place].next_stop(noted[place])
            if not 0 <= noted[place] <= step <= last or (stop is not None and step > stop):
                return (
                    f"at step {step} with a curve up to {noted[place]}, which a run of {last} "
                    "steps never is"
                )
        return None

    def _expected(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return arrays of the names, types and shapes that a state of the present part has."""
        expected = {name: array for name, array in self.state().items() if name != "done"}
        width = self.trainer.average.shape[1]
        for place, own in enumerate(self._of_grids(arrays)):
            shapes = self.grids[place].expected(own, width)
            expected |= {f"{place}.{name}": array for name, array in shapes.items()}
        if before := self._before():
            expected["done"] = np.empty((len(before), width), np.float32)
        return expected

    def _of_grids(self, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Return what of a state is each grid's."""
        prefixes = [f"{place}." for place in range(len(self.grids))]
        return [
            {name.removeprefix(p): array for name, array in arrays.items() if name.startswith(p)}
            for p in prefixes
        ]

    def _before(self) -> list[tuple[int, int]]:
        """Return the members that are kept of the ensembles before the present one."""
        owners = [self._owned[n] for part in self._parts[: self._part] for n in part]
        kept = self._kept_of(owners)
        return [owner for owner in owners if owner in kept]

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from the result of `state`, which `misfit` has found to be one of this run."""
        state = {
            name.removeprefix("trainer."): torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if name.startswith("trainer.")
        }
        self.trainer.restore(state)
        for place, own in enumerate(self._of_grids(arrays)):
            self.grids[place].restore(own, self.trainer.device)
            self.grids[place].noted = int(arrays["place"][2 + place])
        if "done" in arrays:
            rows = torch.from_numpy(arrays["done"].copy())
            self._done = dict(zip(self._before(), rows, strict=True))
        self.costs.add(arrays["costs"])
