# SPDX-License-Identifier: MIT
"""Write the report and the short summary.

Inputs: metrics, summary, comparisons, within (a replicate), fidelity (if there are generators),
roles and tables (one per dataset; of a table only its footer is read), figures
(SVG below results/figures), history (of the generators that chose among candidates: for each
dataset, scenario and generator one per replicate), groups (rows by table and group, for each
dataset and scenario one per replicate). Outputs: report, summary. Settings: see
`mcrage.report.page.render_report`, ``generators``, in order, ``rare_groups``, and ``selecting``,
the order of the histories and groups. Local: ``benchmarks``, the folder with run times;
``published``, files of resources/published, whose content is among the settings.
"""

from pathlib import Path

from mcrage.config.published import read_published
from mcrage.datasets.roles import read_roles
from mcrage.report import summary_text
from mcrage.report.across import across_sections
from mcrage.report.chain import Chain
from mcrage.report.columns import columns_table
from mcrage.report.costs import files_of_run
from mcrage.report.downloads import downloads
from mcrage.report.joint import joint_sections, shown_of
from mcrage.report.page import FigureFile, render_report
from mcrage.report.rare import rare_tables
from mcrage.report.results import split_results
from mcrage.report.selection import COLUMNS, selection_tables
from mcrage.report.signed import signed_frame
from mcrage.report.synthetic import synthetic_sections
from mcrage.stage import run_stage
from mcrage.statistics.joint import all_remedies, compare_remedies
from mcrage.statistics.summary import Margins
from mcrage.tables import atomic_output, read_json, read_table


def read_history(path: str) -> dict:
    """Return the columns that tell of the selection."""
    table = read_table(path)
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in COLUMNS}


def selections(paths: list[str], selecting: dict) -> dict:
    """Return the tables of every dataset and scenario."""
    files = iter(paths)
    return {
        (dataset, scenario): selection_tables(
            {
                name: [read_history(next(files)) for _ in range(selecting["n_replicates"])]
                for name in selecting["generators"]
            }
        )
        for dataset in selecting["datasets"]
        for scenario in selecting["scenarios"]
    }


def joint_of(metrics, summary, roles: dict, settings: dict) -> tuple:
    """Return the tables of all remedies and what they show, if classifiers or rules are several."""
    told = settings["remedies"]
    if not told or len(told["classifiers"]) == len(told["thresholds"]) == 1:
        return [], None
    remedies = all_remedies(**told)
    margins = Margins(**settings["margins"])
    compared = shown_of(
        compare_remedies(
            metrics, remedies, settings["test_to_train"], settings["controls"], margins
        )
    )
    return joint_sections(summary, compared, remedies, roles), compared


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = params["settings"]
    by_dataset = {roles.dataset: roles for roles in map(read_roles, input.roles)}
    comparisons, summary, within, *fidelity = (
        read_table(path).to_pandas()
        for path in (input.comparisons, input.summary, input.within, *input.fidelity)
    )
    metrics = read_table(input.metrics).to_pandas()
    sections = split_results(
        metrics,
        comparisons,
        by_dataset,
        list(settings["treatments"]),
    )
    folder = Path(output.report).parent / "figures"
    synthetic = [
        section
        for table in fidelity
        for section in synthetic_sections(table, by_dataset, settings["generators"])
    ]
    selecting = settings["selecting"]
    rare = rare_tables(
        map(read_json, input.groups if settings["generators"] else []),
        {name: by_dataset[name] for name in selecting["datasets"]},
        selecting["scenarios"] if settings["generators"] else [],
        selecting["n_replicates"],
        settings["rare_groups"],
    )
    joint, remedies = joint_of(metrics, summary, by_dataset, settings)
    page = render_report(
        sections,
        synthetic=synthetic,
        settings=settings,
        figures=[FigureFile.of(path, folder) for path in input.figures],
        published=[read_published(path) for path in params["local"]["published"]],
        benchmarks=files_of_run(params["local"]["benchmarks"], settings["names"]),
        origin=origin,
        selections=selections(list(input.history), selecting),
        rare=rare,
        columns=[
            columns_table(read_roles(roles), table)
            for roles, table in zip(input.roles, input.tables, strict=True)
        ],
        chain=Chain.of(
            Path.cwd(),
            [input.metrics, input.summary, input.comparisons, input.within],
            list(input.figures),
        ),
        within=within,
        joint=joint,
        across=across_sections(summary, settings["ranked"]),
        tables=downloads(
            {
                "summary": summary,
                "comparisons": comparisons,
                "within_replicate": within,
                **({"fidelity": fidelity[0]} if fidelity else {}),
            },
            computed={
                "signed_gaps": signed_frame(sections, settings["test_to_train"]),
                **({} if remedies is None else {"remedies": remedies}),
            },
        ),
    )
    with atomic_output(output.report) as path:
        path.write_text(page, encoding="utf-8")
    with atomic_output(output.summary) as path:
        path.write_text(summary_text(sections, output.report), encoding="utf-8")


if __name__ == "__main__":
    run_stage(snakemake, main)
