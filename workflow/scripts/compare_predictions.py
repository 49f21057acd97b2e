# SPDX-License-Identifier: MIT
"""Compare all treatments of a replicate on its test rows: bootstrap, DeLong, McNemar.

Inputs: test, roles, predictions (treatment by treatment, one per classifier). Output: within.
Settings: ``treatments``, ``classifiers``, in the order of the predictions; ``baselines``;
``thresholds``; ``references``; ``n_draws`` of the bootstrap. Seeds: ``bootstrap``.
"""

import pyarrow as pa

from mcrage.clusters import clusters_of
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.metrics.predictions import decisions_of, scores_of
from mcrage.stage import run_stage
from mcrage.statistics.within import Judged, compare_within
from mcrage.tables import ROW_ID, read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    test = read_table(input.test)
    settings = params["settings"]
    judged: dict[str, dict[str, Judged]] = {}
    runs = [(t, c) for t in settings["treatments"] for c in settings["classifiers"]]
    for (treatment, classifier), path in zip(runs, input.predictions, strict=True):
        predictions = read_table(path)
        if not predictions.column(ROW_ID).equals(test.column(ROW_ID)):
            raise ValueError(f"{path}: its rows are not those of the test set")
        judged.setdefault(classifier, {})[treatment] = Judged(
            scores_of(predictions), decisions_of(predictions, schema, settings["thresholds"])
        )
    tables = []
    for classifier, own in judged.items():
        found = compare_within(
            schema,
            schema.index(test),
            own,
            settings["baselines"],
            n_draws=settings["n_draws"],
            seed=params["seeds"]["bootstrap"],
            clusters=clusters_of(test, roles.cluster),
            references=settings["references"],
        )
        n = len(found["metric"])
        context = {
            "dataset": pa.array([wildcards.dataset] * n, pa.string()),
            "scenario": pa.array([wildcards.scenario] * n, pa.string()),
            "replicate": pa.array([int(wildcards.replicate)] * n, pa.int64()),
            "classifier": pa.array([classifier] * n, pa.string()),
        }
        tables.append(pa.table({**context, **found}))
    write_table(pa.concat_tables(tables), output.within, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
