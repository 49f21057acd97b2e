# SPDX-License-Identifier: MIT
"""The page: everything the reader needs in one HTML file that asks the network for nothing."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcrage.config.published import Published
from mcrage.figures.words import capital, metric_name, treatment_name
from mcrage.metrics.rules import HALF
from mcrage.provenance import Origin, to_json
from mcrage.report.across import Across
from mcrage.report.answer import LEADING_METRIC, answer, headline, question
from mcrage.report.chain import Chain
from mcrage.report.claims import claim_sentences
from mcrage.report.columns import HEADS as COLUMN_HEADS
from mcrage.report.columns import ColumnsTable
from mcrage.report.costs import generator_costs, machine_facts, stage_costs
from mcrage.report.detectable import detectable_tables
from mcrage.report.downloads import Download
from mcrage.report.fairness import gap_tables, theil_table
from mcrage.report.joint import Joint
from mcrage.report.levelling import levelling_tables
from mcrage.report.many_outcomes import note
from mcrage.report.primary import primary_verdict
from mcrage.report.rare import HEADS as RARE_HEADS
from mcrage.report.rare import RareGroupsTable
from mcrage.report.results import Results
from mcrage.report.rope import rope_tables
from mcrage.report.selection import AGREEMENT_HEADS, CHOICE_HEADS
from mcrage.report.signed import signed_tables
from mcrage.report.synthetic import SyntheticRows
from mcrage.report.tables import difference_tables, overall_table, subgroup_tables
from mcrage.report.weighted import weights_note
from mcrage.report.within import Within, paper_sentences, within_sentences, within_tables
from mcrage.statistics.paired import ratio_of

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).parent / "templates"

# Kind of figure: title, and how to read it. Where it stands is in the template.
FIGURES = {
    "differences": (
        "Who is helped and who is harmed",
        "Each line is a treatment. The mark is its mean difference to the baseline on the same "
        "test rows, the bar its 95 % interval. Filled triangles: the interval leaves out 0, "
        "pointing up is better and down is worse. Open circles: no difference could be shown. "
        "Open diamonds: one replicate, which gives no interval. "
        "An arrow head means that the bar goes on outside the panel. Where there are many "
        "subgroups, they follow as a table of AUROC: coloured where the interval leaves out 0.",
    ),
    "tradeoff": (
        "Utility against fairness",
        "Each point is a treatment: how good the classifier is for everyone, and how large the gap "
        "between subgroups is. Further right and lower is better. Blue, joined by a line: no other "
        "treatment is better in both (the Pareto front); grey: beaten by one that is. Star: a "
        "control that no user has. Points lie at the baseline's mean and the mean difference to "
        "it, bars are 95 % intervals of that difference; they may go on outside the panel. Points "
        "whose bars cover each other can't be told apart. Dashed: the gap that chance alone gives "
        "where there is none.",
    ),
    "dose_response": (
        "What each dose brings",
        "Each line is a treatment, from a dose of 0 (nothing added) to the right: as many rows as "
        "a quarter of what each group lacks, a half, all of it (1) and more. Marks are mean "
        "differences on the same test rows, bars their 95 % intervals; marks of one dose are drawn "
        "side by side. A line that falls steadily says that the rows themselves do harm.",
    ),
    "roc": (
        "ROC curves",
        "True positive rate at every false positive rate, averaged over replicates; higher and "
        "further left is better, the diagonal is guessing. Curves that lie on each other do not "
        "differ. Numbers: area under the curve, mean ± standard deviation over replicates. Where "
        "there are many subgroups, a panel holds all rows with one level of one attribute.",
    ),
    "calibration": (
        "Does a probability mean what it says, for everyone?",
        "Test rows in tenths by their predicted probability, pooled over replicates: how many of "
        "them have the outcome. On the diagonal a probability means what it says; above it risks "
        "are told too small, below it too large. Bars: 95 % intervals, in which each person counts "
        "once however many replicates it was tested in. Below each panel: how often each "
        "probability occurs.",
    ),
    "ranks": (
        "Ranks over datasets",
        "Each dataset ranks the treatments by their means over replicates; 1 is best. Dots: mean "
        "ranks; strokes: ranks on single datasets. Filled: differs from the control by Wilcoxon's "
        "test after Holm's correction, where Friedman's test finds any difference. Grey band: mean "
        "ranks that lie nearer to the control's than the critical difference.",
    ),
    "group_composition": (
        "Rows per group",
        "What the classifier is trained on, in one replicate. Solid: different real rows; dotted: "
        "copies of them; striped: synthetic rows. Diamonds: what the rows of a group count for "
        "where a treatment weights them. Many groups make a table: a bar and numbers in each cell, "
        "real rows first, in brackets what they count for.",
    ),
    "umap": (
        "Where the synthetic rows lie",
        "Each point is a row, projected from all features to two axes without units. The "
        "projection is fitted on the original real rows and is the same in every panel. Pale: "
        "real; strong and outlined: synthetic. Levels and missing values count like standardised "
        "numbers. Good synthetic rows spread over the places that "
        "the same colour takes among the original rows; tight knots are near copies of few real "
        "rows. "
        "Distances between far-apart points mean little.",
    ),
    "densities": (
        "Each feature, real and synthetic",
        "Grey: real test rows, which no generator has seen. Lines: rows that a generator drew. A "
        "good generator follows the grey outline. No line: the group needed fewer than ten rows; "
        "ticks instead of an area: fewer than ten real rows. Columns of levels have bars for the "
        "shares of real rows and marks for those of generators, with 95 % intervals. Missing "
        "values, and zeros where they are many, are told below a panel and left out of its curve. "
        "Where a panel holds several groups, real rows are weighted so that groups are as frequent "
        "among them as among the synthetic rows, and groups with fewer than ten real rows are left "
        "out.",
    ),
    "training_curves": (
        "Training of the generators",
        "Thin lines are single replicates, the thick one is their mean. The loss should fall and "
        "level off. Where setting and step are chosen by F1 on the validation set, or by the loss "
        "on rows held out of training, the lower panel shows that and diamonds mark the choice.",
    ),
    "rule_graph": (
        "How the results are made",
        "Every box is a step of the workflow, every arrow a table, model or figure handed on.",
    ),
}
ACROSS = "across_datasets"
"""The folder of figures about several datasets, in the place of a dataset."""


@dataclass(frozen=True)
class FigureFile:
    """A figure as it was written.

    Attributes
    ----------
    path : path-like
        SVG.
    kind : str
        Key of `FIGURES`.
    dataset, scenario, classifier, baseline, threshold : str
        What it shows; empty where it does not depend on it.
    """

    path: str | os.PathLike
    kind: str
    dataset: str = ""
    scenario: str = ""
    classifier: str = ""
    baseline: str = ""
    threshold: str = ""

    @classmethod
    def of(cls, path: str | os.PathLike, folder: str | os.PathLike) -> "FigureFile":
        """Read what a figure shows off its path below the folder of figures.

        ``rule_graph.svg``, ``{dataset}/{scenario}/{kind}.svg``,
        ``{dataset}/{scenario}/{classifier}/{kind}.svg`` or ``.../differences_to_{baseline}.svg``;
        of several datasets, `ACROSS` is in the place of one, and a folder more names the rule.
        """
        parts = Path(path).relative_to(folder).with_suffix("").parts
        kind, _, baseline = parts[-1].partition("_to_")
        names = ("dataset", "scenario", "classifier", "threshold")
        places = dict(zip(names, parts[:-1], strict=False))
        return cls(path, kind, baseline=baseline, **places)

    def belongs_to(self, results: Results) -> bool:
        """Say whether the figure shows what a section is about."""
        return (
            self.dataset == results.dataset
            and self.scenario == results.scenario
            and self.classifier in ("", results.classifier)
        )


def data_uri(path: str | os.PathLike) -> str:
    """Return an SVG file as an address that holds the file itself."""
    return "data:image/svg+xml;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def _figure(figure: FigureFile) -> dict[str, str]:
    title, caption = FIGURES[figure.kind]
    if figure.baseline:
        title += f": differences to “{treatment_name(figure.baseline)}”"
    return {"title": title, "caption": caption, "uri": data_uri(figure.path)}


def render_report(
    sections: Sequence[Results],
    *,
    synthetic: Sequence[SyntheticRows] = (),
    settings: Mapping[str, Any],
    figures: Sequence[FigureFile],
    published: Sequence[Published] = (),
    benchmarks: Sequence[Path] = (),
    origin: Origin | None = None,
    chain: Chain | None = None,
    selections: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    rare: Sequence[RareGroupsTable] = (),
    columns: Sequence[ColumnsTable] = (),
    within: "pd.DataFrame | None" = None,
    across: Sequence[Across] = (),
    joint: Sequence[Joint] = (),
    tables: Sequence[Download] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    sections : sequence of Results
    synthetic : sequence of SyntheticRows
    settings : mapping
        ``title``; ``induced``: whether any scenario takes rows away; ``treatments``: name to
        description, in order; ``datasets``: name to the card's title, description, licence,
        citation, homepage; ``test_to_train``: see `mcrage.statistics.paired.ratio_of`; ``config``:
        the resolved config; ``seed``; ``primary``: the declared question, if there is one;
        ``main_baseline``: the baseline that does nothing, or the first; ``shown_replicate``;
        ``shortfalls``: see `mcrage.report.claims.claim_sentences`.
    figures : sequence of FigureFile
    published : sequence of Published
    benchmarks : sequence of Path
        Benchmark files and training facts of this run.
    origin : dict, optional
        Where the page comes from; see `mcrage.provenance`.
    chain : Chain, optional
        Where the results come from.
    selections : mapping of (dataset, scenario) to mapping, optional
        See `mcrage.report.selection.selection_tables`.
    rare : sequence of RareGroupsTable
        What was done about rare groups.
    columns : sequence of ColumnsTable
        What was made of the columns of each dataset.
    within : DataFrame, optional
        results/within_replicate.parquet.
    across : sequence of Across
        What several datasets say together.
    joint : sequence of Joint
        All remedies in one table, where classifiers or rules are several.
    tables : sequence of Download
        Tables that the reader may keep.

    Returns
    -------
    str
        HTML.
    """
    import jinja2
    import yaml

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [figure for figure in figures if figure.kind in FIGURES]
    chosen = selections or {}
    used = [p for p in published if any(_applies(p, results) for results in sections)]
    return environment.get_template("report.html.j2").render(
        title=settings["title"],
        origin=to_json(origin or {}),
        chain=chain,
        induced=settings["induced"],
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        sections=[
            _section(results, sections, settings, figures, published, number, within)
            | {
                "selection": chosen.get((results.dataset, results.scenario))
                if results.leads
                else None
            }
            for number, results in enumerate(sections, 1)
        ],
        synthetic=synthetic,
        rare=rare,
        rare_heads=RARE_HEADS,
        across=[
            (one, [_figure(figure) for figure in figures if _is_about(figure, one)])
            for one in across
        ],
        joint=joint,
        drawn=weights_note(
            settings["config"].get("classifiers", {}),
            list(dict.fromkeys(results.classifier for results in sections)),
        ),
        tables=tables,
        columns=columns,
        column_heads=COLUMN_HEADS,
        choice_heads=CHOICE_HEADS,
        agreement_heads=AGREEMENT_HEADS,
        metric=metric_name(LEADING_METRIC),
        treatments={treatment_name(k): text for k, text in settings["treatments"].items()},
        datasets=settings["datasets"],
        general=[_figure(figure) for figure in figures if not figure.dataset],
        published=used,
        stages=[cost.told() for cost in stage_costs(benchmarks)],
        generators=generator_costs(benchmarks),
        machine=machine_facts(),
        seed=settings["seed"],
        config=yaml.safe_dump(settings["config"], sort_keys=False, allow_unicode=True, width=90),
        official=official_scenarios(settings["config"], sections),
        n_scenarios=len({results.scenario for results in sections}),
        n_replicates=max((results.n_replicates for results in sections), default=0),
    )


def official_scenarios(config: Mapping[str, Any], sections: Sequence[Results]) -> list[str]:
    """Return the scenarios, in words, whose test rows are the dataset's own in every replicate."""
    shown = dict.fromkeys(results.scenario for results in sections)
    scenarios = config.get("scenarios", {})
    return [
        treatment_name(name) for name in shown if scenarios.get(name, {}).get("split") == "official"
    ]


def _applies(paper: Published, results: Results) -> bool:
    return paper.applies_to(results.dataset, results.scenario, results.classifier)


def _is_about(figure: FigureFile, across: Across) -> bool:
    places = figure.scenario, figure.classifier, figure.threshold
    told = across.scenario, across.classifier, across.threshold
    return figure.dataset == ACROSS and places == told


def _section(
    results: Results,
    sections: Sequence[Results],
    settings: Mapping[str, Any],
    figures: Sequence[FigureFile],
    published: Sequence[Published],
    number: int,
    within: "pd.DataFrame | None",
) -> dict[str, Any]:
    ratio = ratio_of(settings["test_to_train"], results.dataset, results.scenario)
    papers = [paper for paper in published if _applies(paper, results)]
    # Figures, and what AUROC says, are the same by every rule.
    mine = [figure for figure in figures if results.leads and figure.belongs_to(results)]
    first = next(iter(results.baselines), None)
    main = settings.get("main_baseline") or first
    single = None
    if within is not None and main:
        single = Within.of(within, results, main, settings["shown_replicate"])
    return {
        "id": f"section-{number}",
        "leads": results.leads,
        "headline": headline(results),
        "question": question(results),
        "answer": answer(results) if results.leads else [],
        "primary": primary_verdict(results, settings["primary"], sections)
        if "primary" in settings
        else [],
        "within": {
            "baseline": treatment_name(single.baseline),
            "replicate": single.replicate,
            "tables": within_tables(single, results),
            "paper": paper_sentences(single, papers),
        }
        if single
        else None,
        "alone": within_sentences(single, results) if single else [],
        "levelling": levelling_tables(results, main) if main else [],
        "detectable": detectable_tables(results, main) if main else [],
        "main": treatment_name(main) if main else "",
        "rope": rope_tables(results, main) if main else [],
        "first": treatment_name(first) if first else "",
        "gaps": gap_tables(results, first),
        "signed": signed_tables(results, first, ratio),
        "theil": theil_table(results, first, ratio),
        "drawn": weights_note(settings["config"].get("classifiers", {}), [results.classifier]),
        "papers": papers,
        "claims": {
            # The paper's labels are cut at 0.5.
            paper.name: claim_sentences(results, paper, ratio, settings.get("shortfalls"))
            if results.threshold == HALF
            else []
            for paper in papers
        },
        "renamed": [
            {
                "paper": paper.name,
                "printed": paper.metrics[metric].printed,
                "true": metric_name(metric),
            }
            for paper in papers
            for metric in paper.metrics
            if paper.metrics[metric].printed.lower() != metric_name(metric).lower()
        ],
        "overall": overall_table(results, ratio, papers),
        "subgroups": subgroup_tables(results, ratio),
        "differences": [
            {
                "baseline": treatment_name(baseline),
                "tables": difference_tables(results, baseline),
            }
            for baseline in results.baselines
        ],
        "figures": {
            kind: [_figure(figure) for figure in mine if figure.kind == kind] for kind in FIGURES
        },
        "threshold": capital(results.decided),
        "many_outcomes": note(results.roles.target),
        "n_replicates": results.n_replicates,
    }
