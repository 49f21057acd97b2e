# SPDX-License-Identifier: MIT
"""Write the report and the short summary.

Inputs: metrics, comparisons, fidelity (if there are generators), roles (one per dataset), figures
(SVG below results/figures). Outputs: report, summary. Settings: see
`mcrage.report.page.render_report`, and ``generators``, in order. Local: ``benchmarks``, the folder
with run times; ``published``, files of resources/published, whose content is among the settings.
"""

from pathlib import Path

from mcrage.datasets.roles import read_roles
from mcrage.report import summary_text
from mcrage.report.chain import Chain
from mcrage.report.costs import files_of_run
from mcrage.report.page import FigureFile, render_report
from mcrage.report.published import read_published
from mcrage.report.results import split_results
from mcrage.report.synthetic import synthetic_sections
from mcrage.stage import run_stage
from mcrage.tables import atomic_output, read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = params["settings"]
    by_dataset = {roles.dataset: roles for roles in map(read_roles, input.roles)}
    sections = split_results(
        read_table(input.metrics).to_pandas(),
        read_table(input.comparisons).to_pandas(),
        by_dataset,
        list(settings["treatments"]),
    )
    folder = Path(output.report).parent / "figures"
    synthetic = [
        section
        for path in input.fidelity
        for section in synthetic_sections(
            read_table(path).to_pandas(), by_dataset, settings["generators"]
        )
    ]
    page = render_report(
        sections,
        synthetic=synthetic,
        settings=settings,
        figures=[FigureFile.of(path, folder) for path in input.figures],
        published=[read_published(path) for path in params["local"]["published"]],
        benchmarks=files_of_run(params["local"]["benchmarks"], settings["names"]),
        origin=origin,
        chain=Chain.of(Path.cwd(), [input.metrics, input.comparisons], list(input.figures)),
    )
    with atomic_output(output.report) as path:
        path.write_text(page, encoding="utf-8")
    with atomic_output(output.summary) as path:
        path.write_text(summary_text(sections, output.report), encoding="utf-8")


if __name__ == "__main__":
    run_stage(snakemake, main)
