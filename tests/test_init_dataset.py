# SPDX-License-Identifier: MIT
"""One's own table: the first card, the natural scenario, and the rebalanced table as CSV."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mcrage.config.load import load_config
from mcrage.config.model import Config
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import own_files, prepare_settings, read_card, read_cards
from mcrage.datasets.first_card import experiment_text
from mcrage.datasets.prepare import prepare
from mcrage.errors import UserError
from mcrage.plan import Plan
from project import ROOT, Project

N = 300


def script(name: str):
    path = ROOT / "workflow" / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def patients() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "patient_id": np.arange(1, N + 1),
            "sex": rng.choice(["F", "M"], N, p=[0.3, 0.7]),
            "age": rng.integers(18, 90, N),
            "iron": np.round(rng.normal(10, 2, N), 1),
            "ward": rng.choice(["north, old", "south", "on"], N),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 600, N), "D"),
            "pain": pd.Series(rng.integers(0, 11, N)).mask(rng.random(N) < 0.1).astype("Int64"),
            "died": rng.choice(["no", "yes"], N, p=[0.7, 0.3]),
        }
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    patients().to_csv("patients.csv", index=False)
    return tmp_path


def init(**asked) -> None:
    local = {"asked": asked, "cards": "cards", "experiments": "experiments"}
    script("init_dataset").main(None, None, {"local": local}, None, 1, {})


def test_the_first_card_says_what_was_found_and_can_be_edited(folder, capsys):
    init(path="patients.csv", target="died", sensitive="sex, age")
    printed = capsys.readouterr().out
    assert "300 rows, 8 columns" in printed
    assert "sensitive in bands from" in printed
    assert "Look at patient_id: a different whole number in every row" in printed
    assert "12 groups, of 300 rows. The smallest: " in printed
    assert "snakemake --cores all --configfile experiments/patients.yaml" in printed
    text = (folder / "cards" / "patients.yaml").read_text()
    assert "levels: ['no', 'yes'] # rows: no " in text
    written = yaml.safe_load(text)
    assert list(written["columns"]) == list(patients().columns)
    assert written["columns"]["patient_id"] == {"type": "ignored"}
    assert written["columns"]["ward"]["type"] == "category"
    assert written["columns"]["pain"] == {"type": "integer", "resolution": 1, "missing": "keep"}
    card = read_card("cards/patients.yaml", "cards")
    assert card.feature_columns == ["age", "iron", "ward", "seen", "pain"]
    assert list(card.sensitive) == ["sex", "age"]


def test_what_the_table_does_not_fit_leaves_no_card(folder):
    patients().assign(dead=lambda rows: rows["died"]).to_csv("patients.csv", index=False)
    with pytest.raises(UserError, match="is it the target by another name"):
        init(path="patients.csv", target="died", sensitive="sex, dead")
    init(path="patients.csv", target="died", sensitive="sex")


def test_the_first_experiment_is_a_config_of_the_natural_scenario(folder):
    init(path="patients.csv", target="died", sensitive=["sex"], name="ward")
    config = load_config(_over(yaml.safe_load((folder / "experiments" / "ward.yaml").read_text())))
    assert config.experiment.datasets == ["ward"]
    assert config.experiment.scenarios == ["natural"]
    assert config.rebalanced_csv
    assert config.scenarios["natural"].keep == []


def test_the_first_experiment_goes_by_the_rows_of_the_table():
    small, large = (experiment_text("ward", n) for n in (9_999, 10_000))
    assert "label_weight" not in small
    assert "mcrage_own_labels" in small
    assert "  # 10,000 rows: MCRAGE is mcrage_tuned_large" in large
    for text, preset in ((small, "tuned"), (large, "tuned_large")):
        written = yaml.safe_load(text)
        config = load_config(_over(written))
        name = config.experiment.treatments[-1]
        generator = config.generators[config.treatments[name].generator]
        assert (generator.kind, generator.preset) == ("cddpm", preset)
        assert "smote" in config.experiment.treatments
        assert config.figures.density_treatments == [name]
    tuned, of_large = (config.treatments[f"mcrage_tuned{end}"] for end in ("", "_large"))
    own = {"generator", "description", "size"}
    assert tuned.model_dump(exclude=own) == of_large.model_dump(exclude=own)


def test_what_is_left_of_the_table_decides_the_experiment(folder):
    table = pd.concat([patients()] * 35, ignore_index=True)
    table.loc[N * 33 :, "died"] = None  # 9,900 of 10,500 rows have an outcome
    table.to_csv("patients.csv", index=False)
    init(path="patients.csv", target="died", sensitive="sex")
    assert "mcrage_own_labels" in (folder / "experiments" / "patients.yaml").read_text()
    init(path="patients.csv", target="sex", sensitive="ward", name="all")
    assert "# 10,500 rows: MCRAGE" in (folder / "experiments" / "all.yaml").read_text()


def _over(sections: dict) -> dict:
    """Return a config as Snakemake merges it: the default one with sections laid over."""
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name, value in sections.items():
        default[name] = default[name] | value if isinstance(value, dict) else value
    return default


def test_a_cluster_is_told_in_the_card(folder):
    table = patients().assign(patient_id=np.arange(N) // 3)
    table.to_csv("patients.csv", index=False)
    init(path="patients.csv", target="died", sensitive="sex", cluster="patient_id")
    card = read_card("cards/patients.yaml", "cards")
    assert card.cluster == ["patient_id"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "path is missing; write e.g.: snakemake init_dataset --config path="),
        ({"path": "patients.csv", "sensitive": "sex"}, "target is missing"),
        ({"path": "patients.csv", "target": "died"}, "sensitive is missing"),
        ({"path": "nobody.csv", "target": "died", "sensitive": "sex"}, "there is no such file"),
        ({"path": "patients.csv", "target": "dead", "sensitive": "sex"}, "did you mean 'died'"),
        ({"path": "patients.csv", "target": "died", "sensitive": "sexx"}, "did you mean 'sex'"),
        ({"path": "patients.csv", "target": "iron", "sensitive": "sex"}, "different values"),
        (
            {"path": "patients.csv", "target": "died", "sensitive": "sex", "name": "../x"},
            "can't be the name of a folder",
        ),
    ],
)
def test_what_makes_no_card_is_refused_and_writes_nothing(folder, asked, said):
    with pytest.raises(UserError, match=said):
        init(**asked)
    assert not (folder / "cards").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target": "iron"}, "column iron is the target and has"),
        ({"target": "dead"}, "target: found 'dead'"),
        ({"sensitive": "one"}, "column one is to be the sensitive attribute, and has one value"),
        ({"sensitive": "row"}, "sensitive: column row has a different whole number in each"),
        ({"sensitive": "sex, dead"}, "sensitive attribute dead: each of its levels"),
        ({"target": "died", "threshold": "median"}, "column died is the target and has a thresh"),
    ],
)
def test_what_the_table_is_refused_for_names_its_file(folder, asked, said):
    """By init_dataset, and by a short card, which finds the same."""
    table = patients().assign(one=1, row=np.arange(N))
    if "dead" in str(asked.get("sensitive")):
        table["dead"] = table["died"]
    table.to_csv("patients.csv", index=False)
    asked = {"target": "died", "sensitive": "sex", **asked}
    threshold = asked.pop("threshold", None)
    if threshold is None:
        with pytest.raises(UserError) as no:
            init(path="patients.csv", **asked)
        assert str(no.value).startswith(f"patients.csv: {said}")
    target = {"column": asked["target"], "threshold": threshold, "levels": ["low", "high"]}
    card = {"path": "patients.csv", **asked, **({"target": target} if threshold else {})}
    (folder / "ward.yaml").write_text(yaml.safe_dump(card))
    made = prepare_settings(read_card("./ward.yaml", "nowhere"))
    with pytest.raises(UserError) as no:
        prepare(PrepareSettings.model_validate(made), ["patients.csv"])
    assert str(no.value).startswith(f"patients.csv: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sex,died\n", "patients.csv: the file has a header but no rows; write the table anew"),
        ("sex,died,n\nF,no,1\nM,yes\n", "patients.csv, line 3: "),
    ],
)
def test_what_is_wrong_is_told_of_the_users_file_not_of_its_copy(folder, content, said):
    copy = folder / "resources" / "downloads" / "ward" / "patients.csv"
    copy.parent.mkdir(parents=True)
    for path in (copy, folder / "patients.csv"):
        path.write_text(content)
    (folder / "ward.yaml").write_text("path: patients.csv\ntarget: died\nsensitive: sex\n")
    card = read_card("./ward.yaml", "nowhere")
    assert own_files(card) == {"patients.csv": "patients.csv"}
    params = {"settings": prepare_settings(card), "local": {"own": own_files(card)}}
    with pytest.raises(UserError) as no:
        script("prepare").main(SimpleNamespace(files=[copy]), None, params, None, 1, {})
    assert str(no.value).startswith(said)
    assert "downloads" not in str(no.value)


def test_a_downloaded_file_is_told_by_where_it_lies():
    for name in ("adult", "diabetes"):
        assert own_files(read_card(name, ROOT / "resources" / "datasets")) == {}


def test_a_card_that_is_there_is_not_written_over(folder):
    asked = {"path": "patients.csv", "target": "died", "sensitive": "sex"}
    init(**asked)
    before = (folder / "cards" / "patients.yaml").read_text()
    with pytest.raises(UserError, match="is there already, and is not written over"):
        init(**asked | {"sensitive": "age"})
    assert (folder / "cards" / "patients.yaml").read_text() == before


# --- the natural scenario -----------------------------------------------------------------------


def config_of(scenarios, **experiment) -> Config:
    experiment = {"treatments": ["original", "imbalanced", "group_weights"], **experiment}
    experiment |= {"scenarios": scenarios}
    experiment.setdefault("baselines", ["imbalanced"])
    figures = {key: [] for key in ("umap_treatments", "density_treatments", "roc_treatments")}
    return load_config({"experiment": experiment, "figures": figures})


def test_the_original_control_is_left_out_where_nothing_is_thinned():
    natural = config_of(["natural"])
    assert natural.left_out == ["original"]
    assert natural.selected == ["imbalanced", "group_weights"]
    thinned = config_of(["natural", "keep_25_percent_of_sex_2"])
    assert thinned.left_out == []
    assert "original" in thinned.selected


def test_what_is_left_out_cannot_be_a_baseline():
    with pytest.raises(UserError, match="baselines: 'original' is left out, since no scenario"):
        config_of(["natural"], baselines=["original"])


def test_what_is_left_out_is_not_in_the_config_of_the_report():
    config = config_of(["natural"])
    cards = read_cards(config.experiment.datasets, ROOT / "resources" / "datasets")
    science = Plan(config, cards).science()
    assert science["experiment"]["treatments"] == ["imbalanced", "group_weights"]
    # It is laid over the default config to draw the graph of rules, so it has to fit.
    assert load_config(_over(science)).selected == ["imbalanced", "group_weights"]


def test_a_dataset_may_be_named_by_the_path_of_its_card(folder):
    (folder / "ward.yaml").write_text("path: patients.csv\ntarget: died\nsensitive: sex\n")
    config = config_of(["natural"], datasets=["./ward.yaml"])
    cards = read_cards(config.experiment.datasets, "nowhere")
    assert Plan(config, cards).datasets == ["ward"]
    with pytest.raises(UserError, match="ward is listed twice"):
        config_of(["natural"], datasets=["ward", "./ward.yaml"])
    with pytest.raises(UserError, match="results/logs holds other files"):
        config_of(["natural"], datasets=["./logs.yaml"])


# --- CSV ----------------------------------------------------------------------------------------


def test_csv_holds_the_same_rows_whatever_is_in_them(tmp_path):
    table = pa.table(
        {
            "number": pa.array([1.0, 0.1, None, 1e-9]),
            "text, with a comma": ["plain", 'a "quote", and', "two\nlines", None],
            "truth": [True, None, False, True],
            "day": pa.array(pd.to_datetime(["2020-01-31", None, "1900-01-01", "2020-01-01"])),
            "level": pa.array(["é", None, "b", "b"]).dictionary_encode(),
            "single": pa.array([0.1, 2.5, None, 3], pa.float32()),
        }
    )
    table = table.set_column(3, "day", table["day"].cast(pa.date32()))
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    output = SimpleNamespace(csv=tmp_path / "t.csv")
    params = {"settings": {"delimiter": ",", "decimal": "."}}
    script("export_csv").main(SimpleNamespace(table=path), output, params, None, 1, {})
    text = output.csv.read_text()
    assert text.startswith('number,"text, with a comma",truth,day,level,single\n1,plain,true,2020-')
    read = pd.read_csv(output.csv)
    assert read["number"].equals(table["number"].to_pandas())
    assert read["text, with a comma"].tolist()[:3] == table[1].to_pylist()[:3]
    assert read["level"].fillna("").tolist() == ["é", "", "b", "b"]
    assert read["single"].tolist()[:2] == [0.1, 2.5]


# --- by Snakemake -------------------------------------------------------------------------------


def test_from_a_table_to_a_rebalanced_one(tmp_path):
    project = Project(tmp_path)
    patients().to_csv(tmp_path / "patients.csv", index=False)
    words = ("path=patients.csv", "target=died", "sensitive=sex")
    made = project.run("init_dataset", "--quiet", "all", "--config", *words, config=None)
    assert made.returncode == 0, made.stdout
    experiment = tmp_path / "experiments" / "patients.yaml"
    settings = yaml.safe_load(experiment.read_text())
    settings["experiment"] |= {"treatments": ["imbalanced", "group_oversampling"], "replicates": 1}
    settings["figures"] = {key: [] for key in settings["figures"]}
    target = "results/patients/natural/0/group_oversampling/rebalanced.csv"
    done = project.run(target, "--quiet", "rules", config=settings)
    assert done.returncode == 0, done.stdout
    table = pd.read_csv(tmp_path / target)
    assert list(table.columns) == [*patients().columns[1:], "is_synthetic"]
    assert table.groupby(["sex", "died"]).size().nunique() == 1
    assert set(table["ward"]) == {"north, old", "south", "on"}
    assert pd.to_datetime(table["seen"]).between("2020-01-01", "2021-12-31").all()
    log = (tmp_path / "results" / "logs" / "patients" / "prepare.log").read_text()
    assert "group sex=F, died=yes" in log
    with (tmp_path / "patients.csv").open("a") as stream:
        stream.write("301,F,50,9.9,south,2020-02-02,3,no\n")
    plan = project.plan(target, config=settings)
    assert {"download", "prepare", "rebalance", "export_csv"} <= plan.keys()
