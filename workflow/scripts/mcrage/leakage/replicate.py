# SPDX-License-Identifier: MIT
"""All checks of one replicate: of its tables, treatments, generators and runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mcrage.classifiers.teacher import soft_labels
from mcrage.datasets.roles import Roles
from mcrage.generators.base import TrainingData
from mcrage.generators.storage import read_arrays
from mcrage.generators.thinning import THINNED, thinned
from mcrage.groups import GroupSchema
from mcrage.leakage.fitted import (
    check_ancestors,
    check_borrowed,
    check_learnt,
    check_model,
    check_scaler,
    check_stored_rows,
    forbidden_files,
)
from mcrage.leakage.judged import check_run
from mcrage.leakage.refitted import check_refitted
from mcrage.leakage.rows import check_treatment
from mcrage.leakage.stored import StoredModel
from mcrage.leakage.table_file import TableFile
from mcrage.leakage.treated import check_labels, check_made
from mcrage.lineage import Lineage
from mcrage.provenance import read_origin
from mcrage.rare_groups import settle
from mcrage.rebalancing import Labels
from mcrage.tables import ROW_ID, content_hash_of_file, read_json, read_table


@dataclass(frozen=True)
class Run:
    """A treatment and a classifier.

    Attributes
    ----------
    treatment : mapping
        See `Replicate.check_treatment`.
    classifier : str
    metrics, predictions : str
        The files.
    held_out : str or None
        The file of held-out scores, where a rule for decisions is fitted on them.
    """

    treatment: Mapping[str, Any]
    classifier: str
    metrics: str
    predictions: str
    held_out: str | None

    @property
    def name(self) -> str:
        """What the run is called in messages."""
        return f"{self.treatment['name']}, {self.classifier}"

    def held_out_scores(self) -> pa.Table | None:
        """Return the scores of held-out training rows, where there are any."""
        return read_table(self.held_out) if self.held_out else None


@dataclass(frozen=True)
class Replicate:
    """What one replicate's treatments, generators and runs are held against.

    Attributes
    ----------
    tables : mapping of str to TableFile
        ``train``, ``original``, ``validation`` and ``test``, each with row_id.
    held_out : mapping of str to str
        ``"validation"``, ``"test"``: the file.
    roles : Roles
    settings : mapping
        Of the rule check_leakage; see `mcrage.rule_params`.
    lineage : Lineage
    taught : dict
        Classifiers that label synthetic rows, fitted once for all treatments.
    """

    tables: Mapping[str, TableFile]
    held_out: Mapping[str, str]
    roles: Roles
    settings: Mapping[str, Any]
    lineage: Lineage
    taught: dict[str, Labels] = field(default_factory=dict)

    @property
    def schema(self) -> GroupSchema:
        """The groups of the dataset."""
        return GroupSchema.of(self.roles)

    def check_treatment(
        self, treatment: Mapping[str, Any], rebalanced: str, weights: str, synthetic: str | None
    ) -> tuple[list[str], dict[str, int]]:
        """Check one treatment's table and weights.

        Parameters
        ----------
        treatment : mapping
            Its name, train_on, generator and teacher; ``made``, what else is declared of it, and
            ``seed``.
        rebalanced, weights : str
            The files.
        synthetic : str or None
            That of its generator.

        Returns
        -------
        problems : list of str
        facts : dict of str to int
            See `mcrage.leakage.rows.check_treatment`.
        """
        name = treatment["name"]
        table, beside = TableFile(rebalanced), read_table(weights)
        problems, facts = check_treatment(
            name,
            table,
            beside,
            self.tables[treatment["train_on"]],
            [self.tables[held] for held in self.held_out],
            list(self.roles.columns),
            self.schema.columns,
        )
        if beside.num_rows == table.num_rows:
            problems += check_made(
                name,
                beside,
                table,
                self.tables[treatment["train_on"]],
                read_table(synthetic, list(self.schema.columns)) if synthetic else None,
                self.schema,
                treatment["made"],
                treatment["seed"],
                labelled=bool(treatment["teacher"]),
            )
        if beside.num_rows == table.num_rows and treatment["teacher"]:
            labels = self._taught(treatment, (read_origin(weights) or {}).get("seeds", {}))
            n_real = self.tables[treatment["train_on"]].num_rows
            problems += check_labels(
                name, beside, table.whole(), self.schema, n_real, labels, weighted=treatment["made"]
            )
        made = {f"{name}'s rebalanced table": rebalanced, f"{name}'s weights": weights}
        return problems + self._check_ancestors(made, treatment["generator"]), facts

    def check_generator(
        self, generator: str, trained_on: TableFile, model: str, arrays: str, synthetic: str
    ) -> list[str]:
        """Check what one generator learnt, and from what.

        Parameters
        ----------
        generator : str
        trained_on : TableFile
            The table it may learn from.
        model, arrays, synthetic : str
            The files.
        """
        facts = read_json(model)
        seed = (read_origin(model) or {"seeds": {"train": 0}})["seeds"]["train"]
        data, borrowed = settle(
            TrainingData.read(trained_on.path, self.roles),
            self.settings["rare_groups"],
            seed,
        )
        if facts["kind"] in THINNED:
            data = thinned(data, facts["settings"]["max_rows"], seed)
        stored = StoredModel(generator, read_arrays(arrays), facts, data, seed)
        made = {f"{generator}'s model": model, f"{generator}'s synthetic rows": synthetic}
        return [
            *check_model(
                generator,
                facts["trained_on"]["content"],
                content_hash_of_file(trained_on.path),
            ),
            *check_borrowed(generator, facts.get("rare_groups", []), borrowed),
            *check_scaler(stored),
            *check_stored_rows(stored),
            *check_learnt(stored),
            *self._check_ancestors(made, generator),
        ]

    def check_run(self, run: Run) -> list[str]:
        """Check how one run was judged."""
        facts = self.settings["classifiers"][run.classifier]
        return check_run(
            run.name,
            read_table(run.metrics),
            read_table(run.predictions),
            self._told_apart("test"),
            self.schema,
            self.settings["thresholds"],
            self.settings["references"],
            held_out=run.held_out_scores(),
            train=self._told_apart(run.treatment["train_on"]),
            seed=facts["seeds"].get("decisions", 0),
        )

    def _told_apart(self, name: str) -> pa.Table:
        """Return the numbers and the groups of a table's rows."""
        return self.tables[name].select([ROW_ID, *self.schema.columns])

    def check_refitted(self, run: Run, rebalanced: str, weights: str, threads: int) -> list[str]:
        """Fit one run's classifier anew on what its treatment made, which the files hold."""
        facts = self.settings["classifiers"][run.classifier]
        return check_refitted(
            run.name,
            facts["settings"],
            read_table(rebalanced),
            read_table(weights),
            self.tables["test"].whole(),
            self.roles,
            read_table(run.predictions),
            real=self._left_out_of(run.treatment),
            held_out=run.held_out_scores(),
            seed=facts["seeds"]["classifier"],
            threads=threads,
        )

    def _left_out_of(self, treatment: Mapping[str, Any]) -> pa.Table | None:
        """Return the real rows where a treatment leaves some of them out of its table."""
        left_out = treatment["made"].get("undersample")
        return self.tables[treatment["train_on"]].whole() if left_out else None

    def _taught(self, treatment: Mapping[str, Any], seeds: Mapping[str, int]) -> Labels:
        facts = treatment["teacher"], treatment["train_on"], seeds.get("teacher", 0)
        key = json.dumps(facts, sort_keys=True)
        if key not in self.taught:
            train = self.tables[treatment["train_on"]].whole()
            self.taught[key] = soft_labels(facts[0], train, self.roles, seed=facts[2])
        return self.taught[key]

    def _check_ancestors(self, made: Mapping[str, str], generator: str | None) -> list[str]:
        forbidden = forbidden_files(
            generator,
            self.held_out,
            self.settings["judged_on_validation"],
            self.settings["learns_from"],
        )
        return check_ancestors(made, forbidden, self.lineage)


def check_all(
    replicate: Replicate,
    *,
    rebalanced: Sequence[str],
    weights: Sequence[str],
    models: Sequence[str],
    arrays: Sequence[str],
    synthetic: Sequence[str],
    metrics: Sequence[str],
    predictions: Sequence[str],
    held_out: Sequence[str] = (),
    threads: int = 1,
) -> tuple[list[str], dict[str, dict[str, int]]]:
    """Check all that was made of a replicate.

    Parameters
    ----------
    replicate : Replicate
    rebalanced, weights : sequence of str
        The files of every treatment of the settings, in their order.
    models, arrays, synthetic : sequence of str
        Of every generator.
    metrics, predictions, held_out : sequence of str
        Of every run; the last is empty where no rule for decisions is fitted.
    threads : int

    Returns
    -------
    problems : list of str
        One line for each; empty when all is well.
    facts : dict of str to dict of str to int
        By treatment.
    """
    settings = replicate.settings
    problems: list[str] = []
    tables, facts = {}, {}
    trained_on = settings["trained_on"].items()
    drawn = dict(zip(settings["trained_on"], synthetic, strict=True))
    for treatment, *files in zip(settings["treatments"], rebalanced, weights, strict=True):
        name, rows = treatment["name"], drawn.get(treatment["generator"])
        found, facts[name] = replicate.check_treatment(treatment, *files, rows)
        problems += found
        tables[name] = TableFile(files[0])
    for (name, source), *files in zip(trained_on, models, arrays, synthetic, strict=True):
        table = tables[source] if source else replicate.tables["train"]
        problems += replicate.check_generator(name, table, *files)
    by_name = {treatment["name"]: treatment for treatment in settings["treatments"]}
    runs = [
        Run(by_name[treatment], classifier, *files)
        for (treatment, classifier), *files in zip(
            settings["runs"], metrics, predictions, held_out or [None] * len(metrics), strict=True
        )
    ]
    for run in runs:
        problems += replicate.check_run(run)
    if problems:
        # What is dear would tell nothing more.
        return problems, facts
    made = dict(zip(by_name, zip(rebalanced, weights, strict=True), strict=True))
    for run in runs:
        if settings["refitted"][run.classifier] == run.treatment["name"]:
            problems += replicate.check_refitted(run, *made[run.treatment["name"]], threads)
    return problems, facts
