# SPDX-License-Identifier: MIT
"""SMOTENC, mixture, copula and CART against what is known otherwise."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from mcrage.encoding.mixed import MixedEncoding
from mcrage.generators import cart_draw, mixture_fit, smote_draw, uniform_draws
from mcrage.generators.cart_fit import _tree
from mcrage.generators.cart_trees import leaves, ordered
from mcrage.generators.copula_fit import fit as fit_copula
from mcrage.generators.copula_fit import latent_correlation
from mcrage.generators.mixture_fit import Mixture, Rows
from mcrage.generators.mixture_numbers import Spread, patterns_of
from mcrage.generators.registry import generator_class
from mcrage.generators.uniform_draws import places, uniform_chunks
from mcrage.groups import GroupSchema
from mcrage.leakage.fitted import check_learnt, check_scaler, check_stored_rows
from mcrage.leakage.stored import StoredModel
from mcrage.seeds import derive
from test_generator_contract import data, drawn, fitted, settings

ONE_GROUP = GroupSchema(("SEX", "Y"), (("F",), ("no",)))
FOUR_GROUPS = GroupSchema(("SEX", "Y"), (("F", "M"), ("no", "yes")))


# --- uniform numbers ----------------------------------------------------------------------------


def test_uniform_numbers_do_not_depend_on_how_they_are_cut(monkeypatch):
    plan = np.array([9, 0, 40, 3])
    ((whole, groups),) = uniform_chunks(plan, 3, seed=1)
    np.testing.assert_array_equal(groups, np.repeat(np.arange(4), plan))
    monkeypatch.setattr(uniform_draws, "_CHUNK_ROWS", 10)
    pieces = list(uniform_chunks(plan, 3, seed=1))
    assert len(pieces) == 2
    np.testing.assert_array_equal(np.concatenate([part for part, _ in pieces]), whole)
    assert (whole > 0).all()
    assert (whole < 1).all()
    assert len(np.unique(whole)) == whole.size


def test_places_are_drawn_with_their_shares_and_none_without():
    shares = np.array([[0.2, 0.0, 0.5, 0.3], [0.0, 1.0, 0.0, 0.0]])
    uniforms = (np.arange(1000) + 0.5) / 1000
    cumulated = np.cumsum(shares, axis=1)
    found = places(uniforms, cumulated, np.zeros(1000, dtype=int))
    np.testing.assert_array_equal(np.bincount(found, minlength=4), [200, 0, 500, 300])
    assert set(places(uniforms, cumulated, np.ones(1000, dtype=int))) == {1}


# --- SMOTE --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["levels", "mixed"])
def test_smote_of_levels_is_that_of_imbalanced_learn(name):
    from imblearn.over_sampling import SMOTEN, SMOTENC

    train = data(name)
    features = train.roles.features
    options = {"spikes": "none", "within": train.within("standard")}
    encoding = MixedEncoding.fit(train.features, features, seed=5, **options)
    numbers, codes = encoding.transform(train.features)
    matrix = np.concatenate([numbers, codes], axis=1)
    n_numbers, n = numbers.shape[1], 1_024
    own = {
        "sampling_strategy": {2: train.counts[2] + n},
        "random_state": derive(1, 2, 0),
        "k_neighbors": 5,
    }
    sampler = SMOTEN(**own)
    if n_numbers:
        sampler = SMOTENC(categorical_features=[*range(n_numbers, matrix.shape[1])], **own)
    rows = sampler.fit_resample(matrix, train.groups)[0][len(matrix) :]
    expected = encoding.inverse(rows[:, :n_numbers], rows[:, n_numbers:].astype(int))
    found = drawn(fitted("smote", name), np.array([0, 0, 50]))[:, :-1]
    np.testing.assert_array_equal(found, expected[:50])


@pytest.mark.parametrize("name", ["numbers", "levels", "mixed"])
def test_smote_looks_for_neighbours_once_a_group(name, monkeypatch):
    """As imbalanced-learn draws them, which looks anew for every chunk: quadratic each time."""
    monkeypatch.setattr(smote_draw, "_CHUNK_ROWS", 16)
    monkeypatch.setattr(smote_draw, "_CHUNK_ROWS_WITH_LEVELS", 16)
    plan, model, looked = np.array([50, 0, 50]), fitted("smote", name), []
    search = NearestNeighbors.kneighbors

    def counted(self, *args, **kwargs):
        looked.append(self)
        return search(self, *args, **kwargs)

    monkeypatch.setattr(NearestNeighbors, "kneighbors", counted)
    found = drawn(model, plan)
    assert len(looked) == 2
    monkeypatch.setattr(smote_draw, "_Neighbours", NearestNeighbors)
    np.testing.assert_array_equal(found, drawn(model, plan))
    assert len(looked) == 2 + 2 * 4


def test_smote_of_levels_draws_none_that_its_group_has_not():
    train = data("levels")
    rows = drawn(fitted("smote", "levels"), np.full(6, 200))
    for group in range(6):
        for place in range(4):
            real = train.features[train.groups == group, place]
            assert set(rows[rows[:, -1] == group, place]) <= set(real)


@pytest.mark.parametrize("name", ["levels", "mixed"])
def test_the_guard_knows_the_codes_that_smote_keeps(name, tmp_path):
    from mcrage.generators.storage import read_arrays
    from mcrage.tables import read_json

    train = data(name)
    fitted("smote", name).save(tmp_path)
    arrays, facts = read_arrays(tmp_path / "model.safetensors"), read_json(tmp_path / "model.json")
    honest = StoredModel("g", arrays, facts, train, 5)
    assert check_stored_rows(honest) == check_scaler(honest) == []
    codes = arrays["codes"].copy()
    codes[3, 0] = 1 - codes[3, 0].clip(max=1)
    (said,) = check_stored_rows(replace(honest, arrays={**arrays, "codes": codes}))
    assert said == "g: the codes that the model keeps are not those of its 252 training rows"
    other = data(name, seed=1)
    assert check_scaler(replace(honest, train=other))


@pytest.mark.parametrize("kind", ["mixture", "copula", "cart"])
@pytest.mark.parametrize("name", ["numbers", "mixed"])
def test_the_guard_finds_what_other_rows_taught(kind, name, tmp_path):
    """Each of its checks by itself: one row more among those that a model learnt from is enough."""
    from mcrage.generators.storage import read_arrays
    from mcrage.tables import read_json

    fitted(kind, name).save(tmp_path)
    arrays, facts = read_arrays(tmp_path / "model.safetensors"), read_json(tmp_path / "model.json")
    train = data(name)
    honest = StoredModel("g", arrays, facts, train, 5)
    for check in (check_scaler, check_stored_rows, check_learnt):
        assert check(honest) == []
    assert check_learnt(replace(honest, train=data(name, seed=1)))
    # Learnt from one more, and all else as it should be.
    more = replace(
        train,
        rows=np.concatenate([train.features, train.features[:1]]),
        groups=np.concatenate([train.groups, train.groups[:1]]),
    )
    other = generator_class(kind)(settings(kind)).fit(more, seed=5)
    other.save(tmp_path)
    cheat = read_arrays(tmp_path / "model.safetensors")
    learnt = {name: x for name, x in cheat.items() if name[:5] in ("compo", "margi", "trees")}
    assert check_learnt(replace(honest, arrays={**arrays, **learnt}))


# --- mixture ------------------------------------------------------------------------------------


def two_clouds(n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    first = rng.multivariate_normal([0, 0, 1], [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 0.5]], n)
    return np.concatenate([first, rng.normal([4, -3, 0], [0.5, 1, 2], (n // 2, 3))])


def rows_of(numbers: np.ndarray, codes: np.ndarray | None = None, groups=None) -> Rows:
    n = len(numbers)
    return Rows(
        np.nan_to_num(numbers),
        ~np.isnan(numbers),
        np.empty((n, 0), dtype=int) if codes is None else codes,
        np.zeros(n, dtype=int) if groups is None else groups,
    )


def mixture(k: int, rows: Rows, cardinalities=(), covariance: str = "full", **more) -> Mixture:
    options = {"schema": ONE_GROUP, "prior_rows": 0.0, "shrink": 0.0, **more}
    return Mixture(k, rows.numbers.shape[1], cardinalities, covariance=covariance, **options)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_one_group_of_numbers_has_the_likelihood_of_scikit_learns_mixture(covariance):
    from sklearn.mixture import GaussianMixture

    numbers = two_clouds()
    rows = rows_of(numbers)
    own = mixture(2, rows, covariance=covariance)
    own.fit(rows, seed=0, max_iterations=500, tolerance=1e-9)
    theirs = GaussianMixture(
        2,
        covariance_type={"full": "full", "diagonal": "diag"}[covariance],
        means_init=own.gaussians.means,
        reg_covar=0.0,
        tol=1e-9,
        max_iter=500,
    ).fit(numbers)
    np.testing.assert_allclose(own.log_likelihood, theirs.score(numbers), atol=1e-6)
    np.testing.assert_allclose(own.gaussians.means, theirs.means_, atol=1e-3)
    np.testing.assert_allclose(
        own.log_joint(rows)[1], theirs.score_samples(numbers), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_missing_numbers_are_left_out_of_the_density(covariance):
    from scipy.stats import multivariate_normal

    numbers = two_clouds()
    rows = rows_of(numbers)
    own = mixture(2, rows, covariance=covariance)
    own.fit(rows, seed=0, max_iterations=20, tolerance=1e-9)
    rng = np.random.default_rng(1)
    gaps = np.where(rng.random(numbers.shape) < 0.4, np.nan, numbers)[:60]
    assert np.isnan(gaps).all(axis=1).any()
    found = own.log_joint(rows_of(gaps))[1]
    arrays = own.arrays()
    for row, value in zip(gaps, found, strict=True):
        there = ~np.isnan(row)
        density = 0.0
        for weight, mean, factor in zip(
            arrays["weights"][0], arrays["means"], arrays["factors"], strict=True
        ):
            covariances = factor @ factor.T if factor.ndim == 2 else np.diag(factor**2)
            part = 1.0
            if there.any():
                part = multivariate_normal(mean[there], covariances[np.ix_(there, there)]).pdf(
                    row[there]
                )
            density += weight * part
        assert value == pytest.approx(np.log(density))


def test_a_mean_and_covariance_of_rows_with_gaps_are_those_of_maximum_likelihood():
    """With one component and gaps in a column alone, there is a closed form (Anderson 1957)."""
    numbers = two_clouds()[:, :2]
    numbers[::3, 1] = np.nan
    rows = rows_of(numbers)
    own = mixture(1, rows)
    own.fit(rows, seed=0, max_iterations=2000, tolerance=1e-13)
    x, y = numbers[~np.isnan(numbers[:, 1])].T
    slope = np.cov(x, y, bias=True)[0, 1] / x.var()
    mean = y.mean() + slope * (numbers[:, 0].mean() - x.mean())
    np.testing.assert_allclose(own.gaussians.means[0], [numbers[:, 0].mean(), mean], rtol=1e-5)
    variance = (y - slope * x).var() + slope**2 * numbers[:, 0].var()
    np.testing.assert_allclose(own.gaussians.covariances[0, 1, 1], variance, rtol=1e-4)


def test_the_likelihood_never_falls():
    train = data("mixed")
    encoding = MixedEncoding.fit(train.features, train.roles.features, scaling="quantile", seed=0)
    numbers, codes = encoding.transform(train.features, jitter_seed=0)
    gone = np.random.default_rng(0).random(numbers.shape) < 0.2
    gone[:, 3:] = False
    rows = rows_of(np.where(gone, np.nan, numbers.astype(float)), codes, train.groups)
    own = mixture(3, rows, encoding.cardinalities, schema=train.schema)
    prior = Spread.of(rows.numbers, rows.known, 3, 0.0)
    parts = (rows, patterns_of(rows.known), rows.one_hot(encoding.cardinalities))
    shares, values = np.random.default_rng(0).dirichlet(np.ones(3), len(train.groups)), []
    for _ in range(12):
        own._learn(*parts, shares, prior)
        shares, likelihood = own._expect(*parts)
        values.append(likelihood.mean())
    assert (np.diff(values) > 1e-6).all()


def test_a_latent_class_model_is_found_again():
    rng = np.random.default_rng(0)
    classes = rng.random(4000) < 0.3
    truth = np.array([[0.9, 0.8, 0.1, 0.7], [0.2, 0.1, 0.8, 0.1]])
    codes = (rng.random((4000, 4)) < truth[classes.astype(int)]).astype(int)
    rows = rows_of(np.empty((4000, 0)), codes)
    own = mixture(2, rows, (2, 2, 2, 2))
    own.fit(rows, seed=0, max_iterations=500, tolerance=1e-8)
    order = np.argsort(-own.weights[0])
    np.testing.assert_allclose(own.weights[0][order], [0.7, 0.3], atol=0.04)
    np.testing.assert_allclose(own.levels[order][:, 1::2], truth, atol=0.06)


def test_weights_of_a_group_are_drawn_towards_those_of_its_target():
    rows = rows_of(np.zeros((30, 1)), groups=np.repeat([0, 1, 3], [2, 18, 10]))
    own = mixture(2, rows, schema=FOUR_GROUPS, prior_rows=6.0)
    shares = np.zeros((30, 2))
    shares[:2, 0] = shares[2:20, 1] = shares[20:, 0] = 1.0
    found = own._group_weights(rows.groups, shares)
    overall = 12 / 30
    no, yes = (2 + 6 * overall) / 26, (10 + 6 * overall) / 16
    expected = [(2 + 6 * no) / 8, 6 * no / 24, yes, (10 + 6 * yes) / 16]
    np.testing.assert_allclose(found[:, 0], expected)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


@pytest.mark.parametrize("choose_by", ["held_out", "bic"])
def test_as_many_components_are_chosen_as_there_are_clouds(choose_by):
    train = data("numbers", counts=(60,) * 6)
    centres = np.random.default_rng(0).integers(0, 3, 360)
    features = train.features.copy()
    features[:, 0] = np.round(10 * centres + np.random.default_rng(1).normal(size=360), 1)
    features[:, 3] = np.round(50 * centres + 5 * np.random.default_rng(2).normal(size=360))
    train = type(train)(features, train.groups, train.schema, train.roles)
    values = settings("mixture", components=[1, 2, 3, 6], choose_by=choose_by, scaling="standard")
    generator = generator_class("mixture")(values).fit(train, seed=0)
    tried = {int(k): score for k, score in generator.facts["tried"].items()}
    assert generator.facts["n_components"] == max(tried, key=tried.get) >= 3
    assert tried[3] > tried[2] > tried[1]


def test_a_level_that_only_rows_held_out_have_decides_nothing():
    """One row of it among those that judge: it says nothing of any number of components."""
    train = data("mixed", counts=(60,) * 6)
    centres = np.random.default_rng(0).integers(0, 3, 360)
    features = train.features.copy()
    features[:, 0] = np.round(10 * centres + np.random.default_rng(1).normal(size=360), 1)
    place = [feature.column for feature in train.roles.features].index("K")
    never = train.roles.features[place].levels.index("never")
    held = mixture_fit._held_out(train, 0)[1]
    values = settings("mixture", components=[1, 3], scaling="standard")
    tried = []
    for rare in (held[:0], held[:1]):
        features[rare, place] = never
        rows = type(train)(features.copy(), train.groups, train.schema, train.roles)
        generator = generator_class("mixture")(values).fit(rows, seed=0)
        tried.append(generator.facts["tried"])
        assert generator.facts["n_components"] == 3
    assert tried[1]["1"] == pytest.approx(tried[0]["1"], abs=0.5)


# --- copula -------------------------------------------------------------------------------------


def latent(n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    correlation = np.array(
        [[1, 0.6, -0.4, 0.3], [0.6, 1, 0.2, 0.1], [-0.4, 0.2, 1, 0.25], [0.3, 0.1, 0.25, 1]]
    )
    return correlation, np.random.default_rng(0).multivariate_normal(np.zeros(4), correlation, n)


def copula(numbers: np.ndarray, codes: np.ndarray, groups, schema, **more) -> dict:
    options = {
        "states": [None] * numbers.shape[1],
        "cardinalities": [int(column.max()) + 1 for column in codes.T],
        "prior_rows": 25.0,
        **more,
    }
    return fit_copula(numbers, codes, groups, schema, **options)


def test_a_known_correlation_is_found_again_of_numbers_and_levels():
    correlation, values = latent()
    codes = np.stack([values[:, 2] > 0.4, np.digitize(values[:, 3], [-0.8, 0.5])], axis=1)
    groups = np.random.default_rng(1).integers(0, 4, len(values))
    found = copula(values[:, :2], codes.astype(int), groups, FOUR_GROUPS)
    sign = np.array([1, 1, 1, 1])
    # A latent variable of levels may lie the other way round.
    starts = (0, 2)
    for column, start in enumerate(starts):
        sign[2 + column] = 1 if found["order"][start] == 0 else -1
    factor = found["factor"] * sign[:, None]
    np.testing.assert_allclose(factor @ factor.T, correlation, atol=0.03)


def test_pairs_are_taken_where_both_numbers_are_there():
    correlation, values = latent()
    seen = np.ones(values.shape, dtype=bool)
    seen[:, 1] = np.random.default_rng(0).random(len(values)) < 0.5
    found = latent_correlation([(np.where(seen, values, 99.0), seen)], np.ones(4))
    np.testing.assert_allclose(found, correlation, atol=0.03)


def test_what_pairs_say_of_each_other_becomes_a_correlation():
    scores = np.random.default_rng(0).normal(size=(6, 12))
    portions = [(part, np.ones(part.shape, dtype=bool)) for part in np.split(scores, 2)]
    found = latent_correlation(portions, np.full(12, 0.4))
    np.testing.assert_allclose(np.diag(found), 1.0)
    assert np.linalg.eigvalsh(found)[0] > 0


def test_margins_of_a_large_group_are_its_own_and_of_an_empty_one_main_effects():
    rng = np.random.default_rng(0)
    schema = GroupSchema(("SEX", "Y"), (("F", "M"), ("no", "maybe", "yes")))
    groups = rng.choice(5, 60_000)  # no M with yes
    digits = schema.indices_of(groups)
    numbers = (rng.normal(size=60_000) + 2 * digits[0] - digits[1])[:, None]
    codes = (rng.random(60_000) < 0.2 + 0.3 * digits[0] + 0.1 * digits[1]).astype(int)[:, None]
    found = copula(numbers, codes, groups, schema)
    points = found["points"]
    middle = np.abs(points) < 2
    for group, mean in enumerate([0, 2, -1, 1, -2, 0]):
        table = found["quantiles"][group, 0]
        np.testing.assert_allclose(table[middle], mean + points[middle], atol=0.1)
        assert (np.diff(table) >= 0).all()
    shares = found["shares"][:, list(found["order"]).index(1)]
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3, 0.6, 0.4, 0.7], atol=0.02)


def test_a_groups_own_rows_weigh_as_they_are_many():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), [1000, 25, 1000, 1000])
    numbers = rng.normal(size=(3025, 1))
    numbers[groups == 1] = 7.0
    found = copula(numbers, np.empty((3025, 0), dtype=int), groups, FOUR_GROUPS)
    parent = copula(numbers, np.empty((3025, 0), dtype=int), groups, FOUR_GROUPS, prior_rows=1e12)[
        "quantiles"
    ][1, 0]
    np.testing.assert_allclose(found["quantiles"][1, 0], 0.5 * 7.0 + 0.5 * parent, atol=1e-6)


def test_drawn_rows_have_the_correlation_of_the_rows():
    train = data("numbers", counts=(400,) * 6)
    rows = drawn(generator_class("copula")(settings("copula")).fit(train, seed=0), np.full(6, 500))
    real, synthetic = (np.corrcoef(x[:, [0, 1, 3, 4]].T) for x in (train.features, rows))
    np.testing.assert_allclose(synthetic, real, atol=0.08)


# --- CART ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DecisionTreeRegressor", "DecisionTreeClassifier"])
def test_rows_reach_the_leaves_that_scikit_learn_has(kind):
    from sklearn import tree as trees

    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 4)).astype(np.float32)
    values[rng.random((600, 4)) < 0.2] = np.nan
    response = (np.nan_to_num(values[:, 0]) + values[:, 1] ** 2 > 0.5).astype(int)
    response[np.isnan(values[:, 2])] = 2
    model = getattr(trees, kind)(min_samples_leaf=5, random_state=0).fit(values, response)
    inner = model.tree_
    own = {
        "feature": inner.feature,
        "threshold": inner.threshold,
        "left": inner.children_left,
        "right": inner.children_right,
        "missing_left": inner.missing_go_to_left,
    }
    fresh = rng.normal(size=(400, 4)).astype(np.float32)
    fresh[rng.random((400, 4)) < 0.3] = np.nan
    for rows in (values, fresh):
        np.testing.assert_array_equal(leaves(own, rows), model.apply(rows))
    np.testing.assert_array_equal(leaves({"feature": np.array([-2])}, values), 0)


def test_the_first_split_of_levels_is_the_best_of_all_sets():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, 500).astype(float)[:, None]
    share = np.array([0.1, 0.9, 0.3, 0.8, 0.2, 0.7])
    wanted = (rng.random(500) < share[codes[:, 0].astype(int)]).astype(float)
    feature = data("levels").roles.features[3]
    tree = _tree(codes, [7], wanted, feature, 5, 0)
    left = ordered(codes, tree["ranks"], [7])[:, 0] <= tree["threshold"][0]

    def impurity(side: np.ndarray) -> float:
        parts = [wanted[side], wanted[~side]]
        return sum(len(part) * part.mean() * (1 - part.mean()) for part in parts)

    sets = (set(chosen) for n in range(1, 6) for chosen in combinations(range(6), n))
    best = min(impurity(np.isin(codes[:, 0], list(chosen))) for chosen in sets)
    assert impurity(left) == pytest.approx(best)


def test_values_are_those_of_training_rows_and_rows_are_not():
    train = data("mixed")
    rows = drawn(fitted("cart", "mixed"), np.full(6, 100))
    for place, feature in enumerate(train.roles.features):
        if feature.formula is None:
            real = train.features[:, place]
            assert np.isin(rows[:, place], real[~np.isnan(real)]).sum() + np.isnan(
                rows[:, place]
            ).sum() == len(rows)
    keys = {tuple(row) for row in np.nan_to_num(train.features, nan=-1e9)}
    copies = [tuple(row) in keys for row in np.nan_to_num(rows[:, :-1], nan=-1e9)]
    assert np.mean(copies) < 0.05


def test_smooth_numbers_are_new_values_with_the_same_points_and_bounds():
    train = data("mixed")
    rows = drawn(fitted("cart", "mixed", smooth=True), np.full(6, 100))
    names = list(train.roles.feature_columns)
    x, z, same = (names.index(name) for name in ("X", "Z", "SAME"))
    real = train.features[:, x]
    new = rows[~np.isnan(rows[:, x]), x]
    assert np.isin(new, real).mean() < 0.15
    assert np.nanmin(real) <= new.min()
    assert new.max() <= np.nanmax(real)
    # Zeros are a point, and stay as frequent as they are.
    assert abs((rows[:, z] == 0).mean() - (train.features[:, z] == 0).mean()) < 0.1
    assert set(rows[:, same]) == {1.5}
    # Ages of leaves are as wide as they were.
    assert 0.8 < np.nanstd(new) / np.nanstd(real) < 1.2


def test_leaves_lend_their_values_evenly():
    """A tree of one leaf: every training row's value is as likely."""
    rows = np.arange(40.0)[:, None]
    feature = data("numbers").roles.features[3:4]
    groups = np.zeros(40, dtype=int)
    from mcrage.generators.cart_fit import grow

    trees = grow(rows, groups, feature, FOUR_GROUPS, derive=True, min_leaf=40, seed=0)
    options = {"derive": True, "smooth": False, "seed": 0}
    (chunk,) = cart_draw.draw(
        rows, trees, feature, FOUR_GROUPS, np.array([4000, 0, 0, 0]), **options
    )
    counts = np.bincount(chunk[0][:, 0].astype(int), minlength=40)
    assert counts.min() > 60
    assert counts.max() < 145
