# SPDX-License-Identifier: MIT
"""TabDDPM (Kotelnikov et al. 2023, arXiv 2209.15421), conditioned on the group.

`paper` has the published settings for Adult (``exp/adult/ddpm_cb_best`` of
yandex-research/tab-ddpm, MIT), which arXiv 2410.15470 took over. Where it deviates from the paper
or that code, it does so for the reason given:

- The condition is the group, sensitive attributes and target, where the code has the target alone.
  Rows of each group are asked for, where the code draws the target from training rows.
- Rows are drawn with the moving average of the weights (.999), which the code computes and then
  does not use; it is shorter in the first steps.
- Categories are normalised column by column. The code takes differences of one cumulative sum over
  all columns, off by a factor of 1.7 at a hundred columns, and NaN beyond; see
  `mcrage.diffusion.multinomial`.
- The network reads categories as indicators, not as their logarithms, which are 0 and -69.
- The loss has no constant "KL" term of the prior: it has no gradient.
- Batches are drawn evenly over the table sorted by group, and steps evenly over the chain, each
  still uniform; the code shuffles the table and draws every row's step by itself.
- The embedding of the group starts uniform, of the variance 1 that the code's normal one has.
- Missing values are modelled: those of a number have a category of their own beside it. The code
  drops or imputes such rows.
- Quantiles are not spread by noise before they are fitted. Numbers are rounded as recorded and
  clipped to the training range; the code maps columns of at most 32 values to the nearest seen.
- Only levels that training rows hold have a place, as in the code, and numbers that follow from
  others are modelled like any other.
- Batch size and steps are the same for any number of rows; the code tunes them by table, on
  validation rows that this generator does not see.

`small` is what a minute of two cores gives on Adult, found by measuring (``benchmarks/adult.py``);
see `mcrage.config.generators_tabddpm` for its values.
"""

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.encoding.mixed import MixedEncoding
from mcrage.generators.base import (
    Checkpoint,
    Criterion,
    Generator,
    TrainingData,
    standardised_within,
)
from mcrage.generators.storage import (
    load_model,
    save_model,
    schema_facts,
    schema_from,
)

if TYPE_CHECKING:
    import torch

    from mcrage.generators.tabddpm_parts import Parts

KIND = "tabddpm"


class TabddpmGenerator(Generator):
    """Gaussian and multinomial diffusion of the features given the group.

    Parameters
    ----------
    settings : dict
        ``TabddpmSettings.resolved()``; to fit, also without those that only sampling reads.

    Attributes
    ----------
    history : dict of str to list
        The columns `mcrage.generators.cddpm_grid.CURVE`.
    facts : dict
        As of `mcrage.generators.cddpm.CddpmGenerator`.
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
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Learn from training rows; see `mcrage.generators.base.Generator`.

        `criterion` is not used: the network is kept as it ends.

        Raises
        ------
        UserError
            If the device is not there, a group is empty or no feature differs between rows.
        Interrupted
            If there is a checkpoint and the process was told to end.
        """
        # By name, here and in `draw`, so that neither stage's digest has the other's code.
        fitted = import_module("mcrage.generators.tabddpm_fit").fit(
            self.settings, train, seed=seed, device=device, threads=threads, checkpoint=checkpoint
        )
        self._schema, self._encoding = train.schema, fitted.encoding
        self._weights = fitted.weights
        self.history, self.facts = fitted.history, fitted.facts
        return self

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group; see `mcrage.generators.base.Generator`."""
        from mcrage.generators.devices import check_device

        place = check_device(device)
        chunks = import_module("mcrage.generators.tabddpm_draw").draw_groups(
            self.settings, self._parts(place), self._weights.to(place), plan, seed
        )
        return (self._decoded(rows, groups) for rows, groups in chunks)

    def _decoded(self, rows: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers, codes = np.split(rows, [self._encoding.n_numbers], axis=1)
        within = standardised_within(self.settings["scaling"], groups, self._schema)
        return self._encoding.inverse(numbers, codes.astype(np.int64), within), groups

    def _parts(self, place: "torch.device") -> "Parts":
        from mcrage.generators.tabddpm_parts import make_parts

        return make_parts(self.settings, self._schema, self._encoding, place)

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``model.safetensors`` and ``model.json``; equal seeds give equal bytes."""
        import torch

        from mcrage.diffusion.network import StackedParameters

        arrays, encoding = self._encoding.state()
        weights = self._weights.cpu()
        stacked = StackedParameters(
            self._parts(torch.device("cpu")).network.parameters, len(weights), "meta"
        )
        tensors = {f"encoding.{name}": array for name, array in arrays.items()}
        for name, view in stacked.views(weights).items():
            tensors[f"network.{name}"] = view.numpy()
        facts = {
            "kind": KIND,
            "settings": self.settings,
            "schema": schema_facts(self._schema),
            "encoding": encoding,
        }
        save_model(folder, tensors, facts)

    @classmethod
    def load(cls, folder: str | os.PathLike, sampling: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; see `mcrage.generators.base.Generator`."""
        import torch

        arrays, facts = load_model(folder, KIND)
        self = cls({**facts["settings"], **sampling})
        self._schema = schema_from(facts["schema"])
        self._encoding = MixedEncoding.from_state(
            arrays_below("encoding.", arrays),
            facts["encoding"],
        )
        network = self._parts(torch.device("cpu")).network
        names = [f"network.{parameter.name}" for parameter in network.parameters]
        tensors = [torch.from_numpy(arrays[name].copy()).flatten(1) for name in names]
        self._weights = torch.cat(tensors, dim=1)
        return self
