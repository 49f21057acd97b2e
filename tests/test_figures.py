# SPDX-License-Identifier: MIT
"""Figures: what they compute, held against independent oracles, and that they draw and write."""

import dataclasses
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from example_tables import ROLES, TREATMENTS, metrics, rows
from mcrage.datasets.roles import Attribute, Feature, Target
from mcrage.errors import UserError
from mcrage.figures import rule_graph, style
from mcrage.figures.densities import MAX_COLUMNS, differing, draw_densities
from mcrage.figures.densities import weights as density_weights
from mcrage.figures.differences import draw_differences, verdict
from mcrage.figures.dose_response import draw_dose_response
from mcrage.figures.group_composition import Composition, draw_group_composition
from mcrage.figures.marginals import Values, draw_density, has_density, share_interval
from mcrage.figures.parts import part_names, part_of, shown_parts
from mcrage.figures.predictions import Predictions
from mcrage.figures.roc import draw_roc, mean_curve
from mcrage.figures.samples import Sample, once, same_rows
from mcrage.figures.training_curves import draw_training_curves, lines_of, mean_line
from mcrage.figures.umap_embedding import coordinates, draw_umap, embed
from mcrage.figures.words import group_name, subgroup_name, subgroup_words
from mcrage.groups import GroupSchema
from mcrage.provenance import make_origin, read_origin
from mcrage.rebalancing import row_weights
from mcrage.statistics.summary import as_table, compare
from mcrage.tables import write_table

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
ORIGIN = make_origin("plot", {}, dict(settings={"a": "<&>"}, seeds={}, code="c", versions={}), [])
COUNTS = {("F", "out"): 12, ("M", "out"): 40, ("F", "in"): 11, ("M", "in"): 30}


def texts(figure) -> str:
    """All words in a figure."""
    import matplotlib.text

    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def save(figure, folder, name="figure") -> tuple[bytes, bytes]:
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    style.save(figure, svg, png, ORIGIN)
    ElementTree.parse(svg)
    assert read_origin(svg) == read_origin(png) == ORIGIN
    return svg.read_bytes(), png.read_bytes()


# --- words -----------------------------------------------------------------------------------


def test_names_follow_the_numbering_of_groups():
    schema = GroupSchema.of(ROLES)
    for group in range(schema.n_groups):
        attribute, target = schema.indices_of(np.array([group]))[:, 0]
        expected = f"{('women', 'men')[attribute]}, {('outpatient', 'inpatient')[target]}"
        assert group_name(ROLES, group) == expected
    assert [subgroup_name(ROLES, s) for s in range(2)] == ["women", "men"]


def test_every_judged_subgroup_has_words():
    from mcrage.metrics.sufficient import parts

    schema = GroupSchema.of(ROLES)
    labels = {s for p in parts(schema, np.arange(schema.n_groups)) for s in p.subgroups}
    assert labels <= set(subgroup_words(ROLES))


# --- look ------------------------------------------------------------------------------------


def test_series_are_told_apart_without_colour():
    styles = [style.series_style(number) for number in range(24)]
    assert len({(s.colour, s.marker, s.line) for s in styles}) == 24
    assert len({(s.marker, s.line) for s in styles[:8]}) == 8


def test_controls_look_the_same_whatever_else_is_drawn():
    few, many = style.treatment_styles(["smote"]), style.treatment_styles(TREATMENTS)
    assert few["original"] == many["original"]
    assert few["imbalanced"] == many["imbalanced"]


def test_equal_figures_give_equal_bytes_without_dates(tmp_path):
    composition = {"imbalanced": Composition.of(np.array([0, 1, 1]), np.zeros(3, bool), 4)}
    first = save(draw_group_composition(ROLES, composition), tmp_path, "a")
    second = save(draw_group_composition(ROLES, composition), tmp_path, "b")
    assert first == second
    assert b"<dc:date>" not in first[0]


# --- rule graph ------------------------------------------------------------------------------

DOT = """Building DAG of jobs...
digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
	0[label = "all", color = "0.00 0.6 0.85", style="rounded"];
	1[label = "split", color = "0.33 0.6 0.85", style="rounded"];
	2[label = "prepare", color = "0.17 0.6 0.85", style="rounded"];
	3[label = "evaluate", color = "0.50 0.6 0.85", style="rounded"];
	3 -> 0
	1 -> 3
	2 -> 3
	2 -> 1
}
"""


def test_dot_is_parsed_and_the_collecting_rule_left_out():
    assert rule_graph.parse_dot(DOT) == [
        ("prepare", "evaluate"),
        ("prepare", "split"),
        ("split", "evaluate"),
    ]
    assert ("evaluate", "all") in rule_graph.parse_dot(DOT, without=())


def test_text_without_edges_is_a_user_error():
    with pytest.raises(UserError, match="snakemake --rulegraph dot"):
        rule_graph.parse_dot("MissingInputException")


@given(
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1).map(
        lambda pairs: sorted({(f"r{a}", f"r{b}") for a, b in pairs if a < b} or {("r0", "r1")})
    )
)
@settings(max_examples=60, deadline=None)
def test_arrows_point_down_and_boxes_do_not_overlap(edges):
    layers = rule_graph.layers_of(edges)
    assert all(layers[source] < layers[sink] for source, sink in edges)
    assert min(layers.values()) == 0
    lanes, chains = rule_graph._with_bends(edges, layers)
    widths = {node: 1.0 for lane in lanes for node in lane}
    x = rule_graph.place(lanes, chains, widths)
    for lane in lanes:
        places = sorted(x[node] for node in lane)
        assert all(b - a >= 1.0 for a, b in pairwise(places))


def test_a_cycle_of_rules_is_cut_where_the_workflow_begins_it():
    """A generator that learns from a rebalanced table: train, sample, rebalance, train."""
    edges = [
        ("prepare", "rebalance"), ("prepare", "train"), ("train", "sample"),
        ("sample", "rebalance"), ("rebalance", "train"), ("rebalance", "evaluate"),
    ]  # fmt: skip
    order = ["prepare", "train", "sample", "rebalance", "evaluate"]
    assert rule_graph.feedback_of(edges, order) == [("rebalance", "train")]
    forward = [edge for edge in edges if edge != ("rebalance", "train")]
    assert rule_graph.feedback_of(forward, order) == []
    assert rule_graph.layers_of(forward) == {
        "prepare": 0, "train": 1, "sample": 2, "rebalance": 3, "evaluate": 4,
    }  # fmt: skip
    dot = "".join(f'{i} [label = "{name}"]\n' for i, name in enumerate(order)) + "".join(
        f"{order.index(a)} -> {order.index(b)}\n" for a, b in edges
    )
    assert rule_graph.draw_rule_graph(dot, order=order).axes


def test_rule_graph_names_every_rule(tmp_path):
    figure = rule_graph.draw_rule_graph(DOT)
    assert {"prepare", "split", "evaluate"} <= set(texts(figure).split("\n"))
    save(figure, tmp_path)


def test_rule_graph_of_a_locked_workflow(tmp_path, monkeypatch):
    """The script's own Snakemake must run while the outer one holds the lock."""
    (tmp_path / "Snakefile").write_text(
        'configfile: "config.yaml"\n'
        "rule all:\n    input: f\"{config['name']}.txt\"\n"
        'rule first:\n    output: "first"\n    shell: "touch {output}"\n'
        'rule second:\n    input: "first"\n    output: "{name}.txt"\n    shell: "touch {output}"\n'
    )
    (tmp_path / "config.yaml").write_text("name: default\n")
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("run.txt\n")
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, str(SCRIPTS))
    from plot_rule_graph import rule_graph as run

    text = run("Snakefile", {"name": "run"})
    assert rule_graph.parse_dot(text) == [("first", "second")]
    with pytest.raises(UserError, match="NoSuchFile"):
        run("NoSuchFile", {})


# --- samples and UMAP ------------------------------------------------------------------------


def test_sample_takes_features_groups_and_flags():
    table = rows(COUNTS)
    sample = Sample.of(table.append_column("is_synthetic", pa.array([True] * len(table))), ROLES)
    assert sample.features.shape == (93, 3)
    np.testing.assert_allclose(sample.features[:, 0], table.column("HGB").to_numpy())
    assert np.bincount(sample.groups).tolist() == [12, 40, 11, 30]
    assert sample.synthetic.all()
    assert not Sample.of(table, ROLES).synthetic.any()


def test_missing_values_and_integers_become_floats():
    table = rows(COUNTS)
    ages = pa.array([None, *table.column("AGE").to_pylist()[1:]], pa.int64())
    sample = Sample.of(table.set_column(1, "AGE", ages), ROLES)
    assert np.isnan(sample.features[0, 1])
    assert sample.features.dtype == np.float64


def test_coordinates_use_the_reference_only():
    reference = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, np.nan]])
    numbers = (Feature("a", "A"), Feature("b", "B"))
    scaled = coordinates(reference, np.array([[2.0, 6.0], [np.nan, 5.0]]), numbers)
    np.testing.assert_allclose(scaled, [[0.0, 1.0], [0.0, 0.0]])


def test_coordinates_have_the_distances_of_the_mixed_space():
    from mcrage.fidelity.space import Search, Space

    real, drawn = mixed(0), mixed(1, 60)
    drawn.features[:5, 2] = 11
    real.features[real.features[:, 2] == 11, 2] = 0  # a level that the reference does not have
    known = coordinates(real.features, real.features, MIXED.features)
    placed = coordinates(real.features, drawn.features, MIXED.features)
    space = Space.of(real.features, MIXED.features)
    search = Search.of(space.points(real.features))
    distances, rows = search.nearest(space.points(drawn.features))
    written = np.linalg.norm(placed[:, None] - known[rows], axis=2)
    np.testing.assert_allclose(written, distances, atol=1e-4)


def test_thinning_keeps_rows_and_order():
    sample = Sample.of(rows(COUNTS), ROLES)
    thinned = sample.thinned(20, seed=3)
    assert thinned.whole == sample.whole == (93, 0)
    assert len(thinned) == 20
    where = [
        int(np.flatnonzero((sample.features == row).all(axis=1))[0]) for row in thinned.features
    ]
    assert where == sorted(where)
    np.testing.assert_array_equal(sample.thinned(1000, seed=3).features, sample.features)


def written(table: pa.Table, folder: Path, name: str) -> Path:
    write_table(table, folder / name)
    return folder / name


def rebalanced(n_added: int, labelled: bool = False) -> pa.Table:
    table = rows(COUNTS)
    table = table.append_column("is_synthetic", pa.array([False] * len(table)))
    more = rows({("F", "in"): n_added}, seed=9)
    more = more.append_column("is_synthetic", pa.array([True] * n_added, pa.bool_()))
    if not labelled:
        return pa.concat_tables([table, more])
    share = np.random.default_rng(2).random(n_added)
    other = more.set_column(
        more.column_names.index("SOURCE"), "SOURCE", pa.array(["out"] * n_added, pa.large_string())
    )
    parts = [(table, np.ones(len(table))), (more, share), (other, 1 - share)]
    return pa.concat_tables(
        [part.append_column("label_weight", pa.array(weights)) for part, weights in parts]
    )


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("max_rows", [40, 1000])
def test_a_sample_of_a_file_is_that_of_its_table(tmp_path, labelled, max_rows):
    table = rebalanced(30, labelled)
    path = written(table, tmp_path, "rebalanced.parquet")
    read = Sample.read(path, ROLES, max_rows, seed=4)
    whole = Sample.of(table.filter(once(table)), ROLES)
    assert read.whole == whole.whole == (93, 30)
    for name in ("features", "groups", "synthetic"):
        expected = getattr(whole.thinned(max_rows, seed=4), name)
        np.testing.assert_array_equal(getattr(read, name), expected)
    original = written(rows(COUNTS), tmp_path, "original.parquet")
    assert Sample.read(original, ROLES, 1000, seed=4).whole == (93, 0)


def test_files_have_the_same_rows_or_not(tmp_path):
    table = rebalanced(0)
    one = written(table, tmp_path, "one.parquet")
    assert same_rows(one, written(rows(COUNTS), tmp_path, "same.parquet"), ROLES)
    place = table.column_names.index("AGE")
    ages = table.column("AGE").to_pylist()
    changes = {
        "shorter": table.slice(1),
        "other numbers": table.set_column(place, "AGE", pa.array([*ages[:-1], ages[-1] + 1])),
        "other order": table.take(np.arange(len(table))[::-1]),
        "other groups": table.set_column(
            table.column_names.index("SEX"), "SEX", table.column("SEX").take(np.arange(93)[::-1])
        ),
    }
    for name, changed in changes.items():
        assert not same_rows(one, written(changed, tmp_path, f"{name}.parquet"), ROLES), name
    drawn = table.set_column(
        table.column_names.index("is_synthetic"), "is_synthetic", pa.array([True] * 93)
    )
    assert not same_rows(written(drawn, tmp_path, "drawn.parquet"), one, ROLES)


def first_two(reference, panels, features, *, seed):
    return {name: features[:, :2] for name, features in panels.items()}


def test_umap_figure_counts_rows_and_names_groups(tmp_path):
    original = Sample.of(rows(COUNTS), ROLES)
    table = rows({("F", "in"): 5}, seed=9).append_column("is_synthetic", pa.array([True] * 5))
    panels = {"original": original, "smote": Sample.of(table, ROLES)}
    figure = draw_umap(ROLES, original, panels, seed=1, max_rows=50, embedding=first_two)
    words = texts(figure)
    assert "93 real rows (50 drawn)" in words
    assert "0 real + 5 synthetic rows" in words
    assert "Women, inpatient" in words
    svg, _ = save(figure, tmp_path)
    assert b"<image" in svg  # points are rasterised, so the file stays small


@pytest.mark.slow  # numba compiles UMAP for half a minute
def test_umap_places_equal_rows_alike_and_new_rows_near():
    original = Sample.of(rows(COUNTS), ROLES)
    near = original.features[::3] + 1e-3
    placed = embed(
        original.features, {"all": original.features, "near": near}, ROLES.features, seed=1
    )
    again = embed(original.features, {"some": original.features[::3]}, ROLES.features, seed=1)
    np.testing.assert_array_equal(placed["all"][::3], again["some"])
    spread = np.ptp(placed["all"], axis=0).max()
    assert np.median(np.abs(placed["near"] - placed["all"][::3])) < spread / 5


# --- densities -------------------------------------------------------------------------------


def test_densities_are_scipys_with_scotts_bandwidth():
    from scipy.stats import gaussian_kde

    rng = np.random.default_rng(0)
    n = 200
    groups = np.arange(n) % 4
    real, drawn = (
        Sample(rng.normal(5, 1, (n, len(ROLES.features))), groups, np.zeros(n, dtype=bool))
        for _ in range(2)
    )
    figure = draw_densities(ROLES, real, {"smote": drawn})
    x, y = figure.axes[0].lines[-1].get_data()
    oracle = gaussian_kde(drawn.features[groups == 0, 0])(x)
    np.testing.assert_allclose(y, oracle, atol=1e-3 * oracle.max())


def some_rows(rng: np.random.Generator, n: int = 80) -> Values:
    return Values(rng.normal(50, 9, n).round(1), rng.random(n))


def density_of(rows: Values, limits: tuple[float, float], **look) -> np.ndarray:
    return draw_density(Figure().subplots(), rows, limits, **look)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_densities_of_weighted_rows_are_scipys(scale):
    from scipy.stats import gaussian_kde

    rows = some_rows(np.random.default_rng(0))
    rows = Values(rows.values * scale, rows.weights)
    oracle = gaussian_kde(rows.values, weights=rows.weights)
    x, y = density_of(rows, (40 * scale, np.inf), color="k").T
    assert x[0] == pytest.approx(40 * scale, rel=1e-3)
    assert x[-1] > rows.values.max() + 2 * np.sqrt(oracle.covariance.item())
    np.testing.assert_allclose(y, oracle(x), atol=1e-3 * oracle(x).max())


@pytest.mark.parametrize("look", [{"color": "k"}, {"fill": True}])
def test_densities_do_not_tell_last_bits(look):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = some_rows(rng)
        other = Values(rows.values, rows.weights * (1 + 4e-16 * rng.choice([-1, 0, 1], 80)))
        assert not np.array_equal(other.weights, rows.weights)
        one, same = (density_of(some, (35, 70), **look) for some in (rows, other))
        assert len(one)
        assert one.tobytes() == same.tobytes()


def test_a_density_without_spread_is_not_drawn():
    rows = some_rows(np.random.default_rng(0))
    one = Values(rows.values, (np.arange(80) == 3).astype(float))
    assert len(density_of(one, (0, 99), color="k")) == 0


@pytest.mark.parametrize("values", [np.arange(9.0), np.full(50, 3.0), np.full(50, np.nan)])
def test_no_density_where_there_is_none(values):
    assert not has_density(values)
    assert has_density(np.arange(10.0))


def test_columns_are_groups_while_they_fit():
    parts = shown_parts(ROLES, MAX_COLUMNS)
    assert part_names(parts) == [
        "Women, outpatient", "Men, outpatient", "Women, inpatient", "Men, inpatient",
    ]  # fmt: skip
    assert part_of(ROLES, parts, np.arange(4)).tolist() == [0, 1, 2, 3]


RACES = tuple("ABCDE")
MANY = dataclasses.replace(
    ROLES, sensitive=(Attribute("RACE", "Race", RACES, RACES), *ROLES.sensitive)
)


@pytest.mark.parametrize(
    ("most", "first", "columns"),
    [
        (20, None, ["RACE", "SEX", "SOURCE"]),
        (10, None, ["RACE", "SEX"]),
        (10, "SOURCE", ["RACE", "SOURCE"]),
        (6, None, ["RACE"]),
        (6, "SOURCE", ["SEX", "SOURCE"]),
        (1, None, []),
    ],
)
def test_parts_shrink_to_what_fits(most, first, columns):
    parts = shown_parts(MANY, most, first=first)
    assert [part.column for part in parts] == columns
    schema = GroupSchema.of(MANY)
    groups = np.arange(schema.n_groups)
    found = part_of(MANY, parts, groups)
    names = part_names(parts)
    digits = dict(zip(schema.columns, schema.indices_of(groups), strict=True))
    for group in groups:
        labels = [part.level_labels[digits[part.column][group]] for part in parts]
        assert names[found[group]].lower() == (", ".join(labels) or "all rows").lower()


def test_rows_of_a_column_have_the_synthetic_mix_of_groups():
    """Many men and few women are real, the synthetic rows are women: women are what is compared."""
    roles = dataclasses.replace(ROLES, sensitive=MANY.sensitive)
    n = GroupSchema.of(roles).n_groups
    rng = np.random.default_rng(0)

    def sample(counts):
        groups = np.repeat(np.arange(n), counts)
        return Sample(rng.normal(size=(len(groups), 3)), groups, np.zeros(len(groups), bool))

    real, drawn = sample([100, 20, 3] + [30] * (n - 3)), sample([0, 50, 80] + [10] * (n - 3))
    found = density_weights(roles, shown_parts(roles, MAX_COLUMNS), {"": real, "smote": drawn})
    for name, rows_ in (("", real), ("smote", drawn)):
        mass = np.bincount(rows_.groups, found[name], minlength=n)
        assert mass == pytest.approx([0, 50, 0] + [10] * (n - 3))
    assert density_weights(ROLES, shown_parts(ROLES, 6), {"": real}) == {"": None}


def test_the_features_that_differ_most_are_shown():
    roles = dataclasses.replace(
        ROLES, features=tuple(Feature(f"f{k}", f"Feature {k}") for k in range(15))
    )
    rng = np.random.default_rng(0)
    groups = np.arange(200) % 4
    real, drawn = (Sample(rng.normal(size=(200, 15)), groups, np.zeros(200, bool)) for _ in "ab")
    drawn.features[:, [3, 14]] += 2
    shown = differing(roles, real, {"smote": drawn}, 12)
    assert len(shown) == 12
    assert shown == sorted(shown)
    assert differing(roles, real, {"smote": drawn}, 2) == [3, 14]
    words = texts(draw_densities(roles, real, {"smote": drawn}))
    assert "12 of 15 features" in words


MIXED = dataclasses.replace(
    ROLES,
    features=(
        Feature("HGB", "Haemoglobin", "g/dL", missing="keep"),
        Feature("GAIN", "Gain", "$"),
        Feature("WARD", "Ward", kind="category", levels=tuple("abcdefghijkl"), missing="keep"),
        Feature("SEEN", "Seen", kind="date"),
    ),
)


def mixed(seed: int, n: int = 400) -> Sample:
    rng = np.random.default_rng(seed)
    gaps = rng.random((n, 2)) < [0.25, 0.1]
    features = np.column_stack(
        [
            np.where(gaps[:, 0], np.nan, rng.normal(12, 1, n)),
            np.where(rng.random(n) < 0.6, 0, rng.lognormal(7, 1, n)),
            np.where(gaps[:, 1], np.nan, rng.integers(0, 12, n)),
            18000 + rng.integers(0, 700, n),
        ]
    )
    return Sample(features, np.arange(n) % 4, np.zeros(n, bool))


def test_levels_have_bars_dates_are_dates_and_gaps_are_told(tmp_path):
    real, drawn = mixed(0), mixed(1)
    figure = draw_densities(MIXED, real, {"smote": drawn})
    figure.draw_without_rendering()
    words = texts(figure)
    mine = real.groups == 0
    gaps = 100 * np.isnan(real.features[mine, 0]).mean()
    zeros = 100 * np.mean(real.features[mine, 1] == 0)
    assert f"missing: real {gaps:.0f} %, " in words
    assert f"0: real {zeros:.0f} %, " in words
    assert "4 others" in words
    assert "2020" in words  # and not 18,262 days
    ward = figure.axes[2 * 4]
    levels = [label.get_text() for label in ward.get_yticklabels()]
    assert levels[-2:] == ["4 others", "missing"]
    bars = [bar.get_width() for bar in ward.patches]
    place = levels.index("c") if "c" in levels else levels.index("d")
    code = "abcdefghijkl".index(levels[place])
    assert bars[place] == pytest.approx(np.mean(real.features[mine, 2] == code))
    assert sum(bars) == pytest.approx(1)
    save(figure, tmp_path)


@given(st.integers(1, 400), st.data())
def test_intervals_of_shares_are_wilsons(n, data):
    from scipy.stats import binomtest

    k = data.draw(st.integers(0, n))
    oracle = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert share_interval(k / n, n) == pytest.approx((oracle.low, oracle.high), abs=2e-4)


def test_densities_show_units_and_counts(tmp_path):
    real = Sample.of(rows(COUNTS), ROLES)
    drawn = Sample.of(rows({("F", "in"): 19}, seed=4), ROLES, synthetic=True)
    figure = draw_densities(ROLES, real, {"cddpm_tuned": drawn})
    words = texts(figure)
    assert "Haemoglobin (g/dL)" in words
    assert "real test rows: 11\ncddpm tuned: 19" in words
    assert "real test rows: 40\ncddpm tuned: 0" in words
    save(figure, tmp_path)


# --- composition -----------------------------------------------------------------------------


def test_copies_are_counted_apart_and_weights_keep_the_total():
    groups = np.array([0, 0, 0, 1, 2])
    synthetic = np.array([False, False, False, False, True])
    row_id = np.array([7, 7, 8, 9, np.nan])
    weights = np.array([1.0, 1.0, 1.0, 3.0, 2.0])
    rows_ = Composition.of(groups, synthetic, 4, row_id=row_id, weights=weights)
    assert rows_.real.tolist() == [2, 1, 0, 0]
    assert rows_.repeated.tolist() == [1, 0, 0, 0]
    assert rows_.synthetic.tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(rows_.weighted, np.array([3, 3, 2, 0]) * 5 / 8)


def test_equal_weights_are_not_shown():
    rows_ = Composition.of(np.array([0, 1]), np.zeros(2, bool), 4, weights=np.full(2, 0.5))
    assert rows_.weighted is None


def soft(likely: list[float]) -> pa.Table:
    """Two real women and synthetic men, each with either outcome."""
    real, men = rows({("F", "out"): 1, ("F", "in"): 1}), rows({("M", "out"): len(likely)})
    place = men.schema.get_field_index("SOURCE")
    field = men.schema.field(place)
    inside = men.set_column(place, field, pa.array(["in"] * len(likely)).cast(field.type))
    table = pa.concat_tables([part.replace_schema_metadata() for part in (real, inside, men)])
    synthetic = [False] * 2 + [True] * 2 * len(likely)
    weights = [1.0, 1.0, *likely, *(1 - p for p in likely)]
    return table.append_column("is_synthetic", pa.array(synthetic)).append_column(
        "label_weight", pa.array(weights)
    )


def test_a_row_with_either_outcome_counts_for_its_weights_and_is_shown_once():
    table = soft([0.9, 0.5, 0.2, 0.1])
    sample = Sample.of(table, ROLES)
    likely = table["label_weight"].to_numpy()
    kept = {"weights": likely, "label_weights": likely}
    counts = Composition.of(sample.groups, sample.synthetic, 4, **kept)
    # .9 + .5 + .2 + .1 of the men's four are likely to be in the hospital.
    assert counts.synthetic.tolist() == [0, 2, 0, 2]
    assert counts.real.tolist() == [1, 0, 1, 0]
    assert counts.weighted is None
    # Weighted besides, so that all four groups weigh the same: six rows are 1.5 each.
    both = {"weights": row_weights(sample.groups, GroupSchema.of(ROLES), "group", None, likely)}
    both = Composition.of(sample.groups, sample.synthetic, 4, label_weights=likely, **both)
    assert both.synthetic.tolist() == counts.synthetic.tolist()
    np.testing.assert_allclose(both.weighted, 1.5)
    kept = Sample.of(table.filter(once(table)), ROLES)
    assert kept.groups.tolist() == [0, 2, 3, 3, 1, 1]
    np.testing.assert_array_equal(kept.features[2:4], sample.features[2:4])
    assert once(table.drop_columns(["label_weight"])).sum() == 10


def test_composition_tells_numbers(tmp_path):
    compositions = {
        "smote": Composition(*np.array([[10, 20, 3, 4], [0, 0, 0, 0], [10, 0, 17, 16]])),
        "weights": Composition.of(
            np.array([0, 1, 1, 2, 3]), np.zeros(5, bool), 4, weights=np.array([2.0, 1, 1, 2, 2])
        ),
    }
    words = texts(draw_group_composition(ROLES, compositions))
    assert "3 + 17" in words
    assert "37 real + 43 synthetic" in words
    assert "what the rows count for by weight" in words
    assert "repeated rows" not in words


def test_many_groups_make_a_table_that_marks_the_rare_ones():
    n = GroupSchema.of(MANY).n_groups
    real = np.full(n, 100)
    real[:3] = [19, 20, 0]
    none = np.zeros(n, dtype=int)
    compositions = {
        "imbalanced": Composition(real, none, none, real * 2.0),
        "smote": Composition(real, none, 100 - real),
    }
    figure = draw_group_composition(MANY, compositions)
    lines = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert lines[:4] == ["Care: outpatient", "† A, women", "B, women", "† C, women"]
    assert len(lines) == n + 2
    words = texts(figure)
    assert "19 + 81" in words
    assert "19 (as 38)" in words
    assert "†: fewer than 20 real rows" in words


def test_of_very_many_groups_the_smallest_are_drawn():
    levels = tuple(map(str, range(60)))
    roles = dataclasses.replace(ROLES, sensitive=(Attribute("UNIT", "Unit", levels, levels),))
    real, none = np.arange(120) + 50, np.zeros(120, dtype=int)
    figure = draw_group_composition(roles, {"imbalanced": Composition(real, none, none)})
    words = texts(figure).split("\n")
    assert "The 80 of 120 groups with the fewest real rows" in words
    assert "129" in words
    assert "130" not in words


# --- training curves -------------------------------------------------------------------------


def test_members_are_separate_lines_and_their_mean_is_theirs():
    history = {
        "step": np.array([10, 10, 20, 20]),
        "member": np.array([0, 1, 0, 1]),
        "loss": np.array([1.0, 3.0, 0.5, 1.5]),
        "validation_f1": np.array([np.nan, np.nan, 0.6, np.nan]),
    }
    lines = lines_of(history, "loss")
    assert [values.tolist() for _, values in lines] == [[1.0, 0.5], [3.0, 1.5]]
    grid, mean = mean_line(lines)
    assert grid.tolist() == [10, 20]
    assert mean.tolist() == [2.0, 1.0]
    assert len(lines_of(history, "validation_f1")) == 1


def test_the_held_out_loss_is_shown_and_its_smallest_mean_over_folds_marked():
    step = np.tile([10, 20, 30], 4)
    history = {
        "step": step,
        "member": np.repeat([0, 1, 2, 3], 3),
        "learning_rate": np.repeat([1e-3, 1e-2, 1e-3, 1e-2], 3),
        "loss": np.ones(12),
        "heldout_loss": np.array([0.9, 0.8, 0.7, 0.1, 0.9, 0.9, 0.5, 0.2, 0.5, 2.0, 0.9, 0.9]),
    }
    figure = draw_training_curves({"crossed": [history]})
    _, lower = (axis for axis in figure.axes if axis.get_visible())
    assert lower.get_ylabel() == "held-out loss"
    (mark,) = [line for line in lower.lines if line.get_marker() == "D"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (20, pytest.approx(0.5))


def test_training_curves_mark_the_choice_and_name_what_has_none(tmp_path):
    history = {
        "step": np.arange(5),
        "loss": np.linspace(1, 0.2, 5),
        "validation_f1": np.array([0.1, 0.5, 0.9, 0.4, 0.3]),
    }
    figure = draw_training_curves({"cddpm": [history, history], "smote": [{}, {}]})
    diamonds = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "D"]
    assert [float(line.get_xdata()[0]) for line in diamonds] == [2.0, 2.0]
    assert "without a curve: smote" in texts(figure)
    save(figure, tmp_path)
    assert "without a curve: smote" in texts(draw_training_curves({"smote": [{}]}))


# --- ROC -------------------------------------------------------------------------------------


def predictions(seed: int, n: int = 300) -> Predictions:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(np.int8)
    return Predictions(rng.integers(0, 2, n), y, y + rng.normal(0, 1.2, n))


def test_what_is_written_lies_inside_the_figure(tmp_path, monkeypatch):
    """Axes of equal scales find their place only when drawn: no file may be the first drawing."""
    treatments = {name: [predictions(seed) for seed in range(3)] for name in TREATMENTS[:4]}
    figure = draw_roc(ROLES, treatments)
    written, outside = figure.savefig, []

    def savefig(path, **options):
        written(path, **options)
        box, drawn = figure.bbox_inches, figure.get_tightbbox()
        outside.append(max(drawn.y1 - box.y1, box.y0 - drawn.y0, drawn.x1 - box.x1, -drawn.x0))

    monkeypatch.setattr(figure, "savefig", savefig)
    save(figure, tmp_path)
    assert len(outside) == 2
    assert max(outside) < 0.02


def test_mean_curve_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    replicates = [predictions(seed) for seed in range(4)]
    areas = [roc_auc_score(p.y, p.score) for p in replicates]
    curve = mean_curve(replicates)
    assert curve.mean == pytest.approx(np.mean(areas))
    assert curve.std == pytest.approx(np.std(areas, ddof=1))
    assert np.trapezoid(curve.true_positive_rate, dx=1 / 200) == pytest.approx(curve.mean, abs=0.01)
    assert (np.diff(curve.true_positive_rate) >= 0).all()


def test_one_class_gives_no_curve_and_says_so(tmp_path):
    lone = Predictions(np.zeros(20, int), np.ones(20, np.int8), np.linspace(0, 1, 20))
    assert mean_curve([lone]) is None
    words = texts(draw_roc(ROLES, {"smote": [lone], "mcrage": [predictions(0)]}))
    assert "smote: undefined" in words
    assert "Women" in words
    assert "fewer than 10 rows" in words  # no men in the first replicate


def outcomes(seed: int, n: int = 300) -> Predictions:
    """Scores of three levels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n).astype(np.int8)
    score = np.exp(np.eye(3)[y] + rng.normal(0, 1, (n, 3)))
    return Predictions(rng.integers(0, 10, n), y, score / score.sum(axis=1, keepdims=True))


def test_more_than_two_outcomes_are_each_held_against_the_rest():
    from sklearn.metrics import roc_auc_score

    replicates = [outcomes(seed) for seed in range(3)]
    oracle = [roc_auc_score(p.y, p.score, multi_class="ovr", average="macro") for p in replicates]
    curve = mean_curve(replicates)
    assert curve.mean == pytest.approx(np.mean(oracle))
    assert np.trapezoid(curve.true_positive_rate, dx=1 / 200) == pytest.approx(curve.mean, abs=0.01)
    # Without one of the levels, the others.
    two = replicates[0].take(replicates[0].y < 2)
    levels = [roc_auc_score(two.y == k, two.score[:, k]) for k in (0, 1)]
    assert mean_curve([two]).mean == pytest.approx(np.mean(levels))
    assert mean_curve([two.take(two.y == 0)]) is None


def test_predictions_of_either_kind_are_read():
    made = outcomes(0)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(made.score.ravel()), 3)
    columns = {"subgroup": made.subgroup, "y": made.y, "score": lists}
    read = Predictions.of(pa.table(columns))
    np.testing.assert_array_equal(read.score, made.score)
    plain = Predictions.of(pa.table({**columns, "score": made.score[:, 0]}))
    np.testing.assert_array_equal(plain.score, made.score[:, 0])


def test_many_subgroups_have_a_panel_for_each_level():
    names = ("none", "late", "early")
    roles = dataclasses.replace(MANY, target=Target("R", "Readmission", names, names))
    figure = draw_roc(roles, {"smote": [outcomes(0), outcomes(1)]})
    titles = [axis.get_title(loc="left").strip() for axis in figure.axes if axis.get_visible()]
    assert titles == ["Everyone", *RACES, "Women", "Men"]
    assert "Each of 3 outcomes against the rest" in texts(figure)


# --- differences -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("auroc", 0.01, 0.02, "better"),
        ("auroc", -0.02, -0.01, "worse"),
        ("auroc", -0.01, 0.02, "unclear"),
        ("auroc", 0.0, 0.0, "unclear"),
        ("auroc", np.nan, np.nan, "unclear"),
        ("brier", 0.01, 0.02, "worse"),
        ("false_positive_rate", -0.02, -0.01, "better"),
        ("selection_rate", 0.01, 0.02, "changed"),
    ],
)
def test_verdict(metric, low, high, expected):
    assert verdict({"metric": metric, "ci_low": low, "ci_high": high}) == expected


@pytest.fixture(scope="module")
def comparisons() -> pd.DataFrame:
    return compare(metrics(), ["imbalanced", "smote"], {"keep_10_percent_of_women": 0.25})


def test_differences_are_drawn_where_they_are(comparisons, tmp_path):
    chosen = comparisons[comparisons["baseline"] == "imbalanced"].to_dict("records")
    figure = draw_differences(chosen, treatments=TREATMENTS, subgroup_words=subgroup_words(ROLES))
    assert len(figure.axes) == 3 * 4
    row = next(
        r
        for r in chosen
        if (r["subgroup"], r["metric"], r["treatment"]) == ("SEX=F", "f1", "smote")
    )
    axis = figure.axes[1 * 4 + 1]  # women, F1
    line = 2  # after original and group_weights: the baseline has no line
    points = [x for x in axis.lines if len(x.get_xdata()) == 1 and x.get_ydata()[0] == line]
    assert row["mean_difference"] in [point.get_xdata()[0] for point in points]
    save(figure, tmp_path)


def test_many_subgroups_make_a_table_below_the_panels(comparisons):
    chosen = comparisons[comparisons["baseline"] == "imbalanced"].to_dict("records")
    words = subgroup_words(MANY)
    women = [row for row in chosen if row["subgroup"] == "SEX=F"]
    others = [name for name in words if name not in ("all", "SEX=F", "SEX=M")]
    chosen += [{**row, "subgroup": name} for row in women for name in others]
    figure = draw_differences(chosen, treatments=TREATMENTS, subgroup_words=words)
    assert len(figure.axes) == 4 + 1
    told = texts(figure)
    for name in others:
        assert words[name].capitalize() in told
    row = next(r for r in women if (r["metric"], r["treatment"]) == ("auroc", "original"))
    mark = {"better": "▲ ", "worse": "▼ ", "unclear": ""}[verdict(row)]
    assert f"{mark}{row['mean_difference']:+.3f}".replace("-", "\N{MINUS SIGN}") in told


def test_differences_need_one_baseline(comparisons):
    with pytest.raises(UserError, match="one baseline"):
        draw_differences(
            comparisons.to_dict("records"),
            treatments=TREATMENTS,
            subgroup_words=subgroup_words(ROLES),
        )


def test_undefined_differences_are_named():
    one = compare(
        metrics(2, small_subgroup=True), ["imbalanced"], {"keep_10_percent_of_women": 0.25}
    )
    figure = draw_differences(
        one.to_dict("records"), treatments=TREATMENTS, subgroup_words=subgroup_words(ROLES)
    )
    assert texts(figure).count(" undefined") == len(TREATMENTS) - 1


def test_one_replicate_is_drawn_without_intervals_and_says_so(tmp_path):
    one = as_table(compare(metrics(1), ["imbalanced"], {"keep_10_percent_of_women": 0.25}))
    figure = draw_differences(
        one.to_pylist(), treatments=TREATMENTS, subgroup_words=subgroup_words(ROLES)
    )
    words = texts(figure)
    assert "in one replicate, which gives no interval" in words
    assert "one replicate: no interval, so no difference shown" in words
    assert "interval excludes 0" not in words
    drawn = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "D"]
    assert len(drawn) == 3 * 4 * (len(TREATMENTS) - 1)
    bars = [x for axis in figure.axes for x in axis.lines if len(set(x.get_xdata())) > 1]
    assert bars == []
    save(figure, tmp_path)


def test_a_subgroup_defined_in_one_replicate_only_is_told_apart(comparisons):
    rows = comparisons[comparisons["baseline"] == "imbalanced"].to_dict("records")
    alone = next(r for r in rows if (r["subgroup"], r["metric"]) == ("SEX=F", "auroc"))
    alone.update(n_replicates=1, ci_low=np.nan, ci_high=np.nan)
    words = texts(
        draw_differences(rows, treatments=TREATMENTS, subgroup_words=subgroup_words(ROLES))
    )
    assert "interval excludes 0: better" in words
    assert "one replicate: no interval" in words
    assert "over 5 replicates" in words


DOSES = {
    "smote": {"smote_fill_50_percent": 0.5, "smote": 1.0},
    "mcrage_tuned": {"mcrage_paper": 1.0, "mcrage_tuned": 2.0},
}


def test_every_dose_is_drawn_where_it_is(comparisons, tmp_path):
    chosen = comparisons[comparisons["baseline"] == "imbalanced"].to_dict("records")
    figure = draw_dose_response(chosen, doses=DOSES, subgroup_words=subgroup_words(ROLES))
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert [title.split(" (")[0] for title in titles] == [
        "AUROC, women",
        "AUROC, men",
        "F1, everyone",
        "Brier score, everyone",
    ]
    row = next(
        r
        for r in chosen
        if (r["subgroup"], r["metric"], r["treatment"]) == ("SEX=F", "auroc", "mcrage_tuned")
    )
    women = figure.axes[0]
    marks = [(x, y) for line in women.lines for x, y in zip(*line.get_data(), strict=True)]
    assert any(np.isclose(y, row["mean_difference"]) and abs(x - 2) < 0.1 for x, y in marks)
    assert (0, 0) in marks
    bars = np.concatenate(
        [part for bar in women.containers for lines in bar[2] for part in lines.get_segments()]
    )
    assert any(np.isclose(bars[:, 1], row["ci_high"]))
    # What has no number is left out and said so.
    assert "undefined doses left out" in texts(figure)
    assert "over 5 replicates" in texts(figure)
    save(figure, tmp_path)


def test_doses_need_one_baseline(comparisons):
    with pytest.raises(UserError, match="one baseline"):
        draw_dose_response(
            comparisons.to_dict("records"), doses=DOSES, subgroup_words=subgroup_words(ROLES)
        )


def test_doses_of_one_replicate_have_no_interval_and_say_so():
    one = as_table(compare(metrics(1), ["imbalanced"], {"keep_10_percent_of_women": 0.25}))
    figure = draw_dose_response(one.to_pylist(), doses=DOSES, subgroup_words=subgroup_words(ROLES))
    assert "one replicate, which gives no interval" in texts(figure)


def test_figures_import_no_torch_and_nothing_heavy():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import mcrage.figures.words, mcrage.figures.style, mcrage.figures.differences,"
        "mcrage.figures.umap_embedding, mcrage.report.page;"
        "print([m for m in ('torch', 'umap', 'matplotlib.pyplot', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCRIPTS)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_layout_does_not_tell_where_variables_lie_in_memory(tmp_path):
    # Constrained layout adds the same numbers in the order of addresses.
    def saved(name: str, nudge: float) -> list[tuple[float, ...]]:
        with style.figure_style():
            figure = style.new_figure(6, 3)
            for axis in figure.subplots(1, 2):
                axis.plot([0, 1])
        engine = figure.get_layout_engine()

        def execute(figure: Figure) -> None:
            type(engine).execute(engine, figure)
            for axis in figure.axes:
                axis._set_position([at + nudge for at in axis.get_position().bounds])

        engine.execute = execute
        style.save(figure, *(str(tmp_path / f"{name}.{kind}") for kind in ("svg", "png")), ORIGIN)
        return [tuple(axis.get_position().bounds) for axis in figure.axes]

    assert saved("one", 0.0) == saved("other", 3e-16)
    for kind in ("svg", "png"):
        one, other = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "other"))
        assert one == other
