# SPDX-License-Identifier: MIT
"""The config is closed, and what comes with the repository is what the model says."""

from pathlib import Path

import pytest
import yaml

from mcrage.config.generators import CddpmSettings, SmoteSettings
from mcrage.config.load import load_config
from mcrage.config.render import render_config, render_schema
from mcrage.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def test_config_yaml_is_what_the_model_renders():
    assert (ROOT / "config.yaml").read_text() == render_config(), "run: make config"


def test_schema_is_what_the_model_renders():
    path = ROOT / "workflow" / "schemas" / "config.schema.json"
    assert path.read_text() == render_schema(), "run: make config"


def test_the_rendered_file_says_the_defaults():
    assert load_config(yaml.safe_load(render_config())) == load_config({})


def test_every_key_is_explained():
    text = render_config()
    keys = set()

    def collect(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                keys.add(str(key))
                collect(inner)

    collect({"experiment": load_config({}).experiment.model_dump()})
    for key in keys:
        before = (
            text.split(f"\n  {key}:")[0] if f"\n  {key}:" in text else text.split(f"\n{key}:")[0]
        )
        assert before.splitlines()[-1].strip().startswith("#"), key


SMOTE_DOSES = {"description": "x", "generator": "smote", "fill": [0.5, 1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experimnt": {}}, "experimnt: unknown key (did you mean 'experiment'?)"),
        (
            {"experiment": {"replicate": 3}},
            "experiment.replicate: unknown key (did you mean 'replicates'?)",
        ),
        ({"experiment": {"replicates": 0}}, "experiment.replicates: "),
        (
            {"experiment": {"primary": {"metric": "aurok"}}},
            "'aurok' is no metric (did you mean 'auroc'?)",
        ),
        (
            {"experiment": {"primary": {"subgroup": "sex=2"}}},
            "but attribute is overall; write attribute: sex",
        ),
        (
            {"experiment": {"primary": {"metric": "worst_auroc_difference"}}},
            "compares the subgroups of an attribute; name the attribute",
        ),
        (
            {"experiment": {"primary": {"attribute": "sex"}}},
            "auroc is of one subgroup; write subgroup: sex=...",
        ),
        (
            {"experiment": {"primary": {"baseline": "original"}}},
            "experiment.primary.baseline: 'original' is not in experiment.baselines",
        ),
        (
            {"experiment": {"primary": {"treatment": "imbalanced"}}},
            "'imbalanced' is the baseline itself",
        ),
        ({"experiment": {"references": {"diabets": {"sex": 1}}}}, "'diabets' is not in"),
        ({"margins": {"gap": 0}}, "margins.gap: found 0; "),
        ({"experiment": {"replicates": "many"}}, "experiment.replicates: found 'many'; "),
        (
            {"experiment": {"treatments": ["smotee"]}},
            "'smotee' is not in treatments (did you mean 'smote'?)",
        ),
        ({"experiment": {"classifiers": ["svm"]}}, "'svm' is not in classifiers"),
        ({"experiment": {"scenarios": ["some"]}}, "'some' is not in scenarios"),
        ({"experiment": {"datasets": ["../../etc"]}}, "can't be the name of a folder"),
        ({"experiment": {"datasets": ["a/b"]}}, "can't be the name of a folder"),
        ({"experiment": {"datasets": ["checkpoints"]}}, "results/checkpoints holds other files"),
        ({"experiment": {"treatments": ["smote", "smote"]}}, "smote is listed twice"),
        ({"treatments": {"..": {"description": "x"}}}, "can't be the name of a folder"),
        ({"device": "gpu"}, "device: "),
        (
            {"scenarios": {"x": {"keep": [{"where": {"SEX": "F"}, "fraction": 0}]}}},
            "scenarios.x.keep[0].fraction: found 0; ",
        ),
        (
            {"scenarios": {"x": {"keep": [{"where": {"SEX": "F"}, "fraction": 1.2}]}}},
            "scenarios.x.keep[0].fraction: found 1.2; ",
        ),
        ({"scenarios": {"x": {"test_fraction": 1.0}}}, "scenarios.x.test_fraction: "),
        (
            {"treatments": {"x": {"description": "x", "generator": "nil"}}},
            "treatments.x.generator: 'nil' is not in generators",
        ),
        (
            {
                "treatments": {
                    "x": {"description": "x", "generator": "smote", "oversample": "group"}
                }
            },
            "give either generator or oversample",
        ),
        ({"treatments": {"x": {"weights": "group"}}}, "treatments.x.description: missing"),
        ({"generators": {"x": {"kind": "gan"}}}, "generators.x: "),
        (
            {"generators": {"x": {"kind": "cddpm", "preset": "tuned", "trained_on": "nil"}}},
            "generators.x.trained_on: 'nil' is not in treatments",
        ),
        (
            {"generators": {"x": {"kind": "cddpm", "preset": "tuned", "trained_on": "original"}}},
            "holds the real rows before thinning",
        ),
        (
            {
                "generators": {
                    "x": {"kind": "cddpm", "preset": "tuned", "trained_on": "mcrage_smote"}
                }
            },
            "one such step is allowed",
        ),
        (
            {"generators": {"x": {"kind": "cddpm", "preset": "tuned", "step": 4}}},
            "generators.x.cddpm.step: unknown key (did you mean 'steps'?)",
        ),
        *(
            (
                {"generators": {"x": {"kind": "cddpm", "preset": "tuned", old: 4}}},
                f"generators.x.cddpm.{old}: unknown key (did you mean '{old}s'?)",
            )
            for old in ("batch_size", "noise_mean", "noise_std")
        ),
        (
            {"generators": {"x": {"kind": "cddpm", "preset": "paper", "noise_stds": [1.0]}}},
            "noise_stds need target 'edm', and target is 'epsilon'",
        ),
        ({"experiment": {"baselines": []}}, "experiment.baselines: "),
        (
            {"experiment": {"treatments": ["imbalanced"], "baselines": ["imbalanced"]}},
            "lists nothing beside the baseline 'imbalanced'",
        ),
        ({"figures": {"roc_treatments": ["smote", "smote"]}}, "smote is listed twice"),
        (
            {
                "treatments": {
                    "x": {"description": "", "generator": "smote", "train_on": "original"}
                }
            },
            "a generator fills the gaps of the imbalanced training set",
        ),
        (
            {
                "generators": {
                    "x": {"kind": "cddpm", "preset": "tuned", "trained_on": "group_weights"}
                }
            },
            "'group_weights' weights its rows",
        ),
        ({"treatments": {"smote": {"fill": 0}}}, "treatments.smote.fill: found 0; 0 is no dose"),
        ({"treatments": {"smote": {"fill": [1, 2.5]}}}, "2.5 is no dose; write a number above 0"),
        ({"treatments": {"smote": {"fill": []}}}, "treatments.smote.fill: "),
        ({"treatments": {"smote": {"fill": [1, 1.0]}}}, "1 is listed twice"),
        ({"treatments": {"smote": {"fill": [0.125]}}}, "no whole number of percent"),
        (
            {"treatments": {"x": {"description": "x", "fill": 0.5}}},
            "nothing fills; give a generator",
        ),
        (
            {"treatments": {"smote": SMOTE_DOSES}},
            "experiment.baselines: 'smote' has several doses; name one of them: "
            "smote_fill_50_percent, smote_fill_100_percent",
        ),
        (
            {
                "experiment": {"treatments": ["smote", "mcrage_smote"]},
                "treatments": {"smote": SMOTE_DOSES},
            },
            "generators.cddpm_after_smote.trained_on: 'smote' has several doses",
        ),
        (
            {
                "experiment": {"baselines": ["smote_fill_50_percent"]},
                "treatments": {"smote": SMOTE_DOSES},
            },
            "add a treatment that does nothing",
        ),
        (
            {
                "treatments": {
                    "smote_fill_50_percent": {"description": "x", "generator": "smote"},
                    "smote": SMOTE_DOSES,
                }
            },
            "makes a treatment 'smote_fill_50_percent', which there is",
        ),
        (
            {"treatments": {"x" * 60: {"description": "x", "generator": "smote", "fill": [1]}}},
            "shorten the treatment's",
        ),
        ({"figures": {"replicate": 5}}, "replicates are numbered 0 to 4"),
        ({"figures": {"density_treatments": ["imbalanced"]}}, "'imbalanced' has no generator"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(change, message):
    raw = yaml.safe_load(render_config())
    for key, value in change.items():
        raw[key] = {**raw.get(key, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(UserError) as caught:
        load_config(raw)
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once():
    with pytest.raises(UserError) as caught:
        load_config({"device": "gpu", "miror": "x", "experiment": {"replicates": 0}})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_experiment_is_a_valid_config(path):
    from snakemake.utils import update_config

    raw = yaml.safe_load(render_config())
    update_config(raw, yaml.safe_load(path.read_text()))
    assert load_config(raw).experiment.title != load_config({}).experiment.title


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_resolved_settings_are_settings(preset):
    """A whole config, every value of a preset in it, can be read again."""
    values = CddpmSettings(kind="cddpm", preset=preset).resolved()
    again = CddpmSettings(**{key: value for key, value in values.items() if value is not None})
    assert again.resolved() == values


def test_the_report_is_told_where_a_preset_is_departed_from():
    """A reduced budget must not read as the paper's."""
    settings = CddpmSettings(
        kind="cddpm", preset="paper", epochs=120, learning_rates=[1.26e-4], batch_sizes=[128]
    )
    assert settings.departures_told() == (
        " Here with learning_rates 0.000126 instead of 5 values from 3.16e-05 to 0.000126; "
        "epochs 120 instead of 10000."
    )
    assert CddpmSettings(kind="cddpm", preset="tuned").departures_told() == ""
    assert SmoteSettings(kind="smote").departures_told() == ""
    assert SmoteSettings(kind="smote").shortfall_told() == ""
    tuned = [CddpmSettings(kind="cddpm", preset="tuned", steps=n) for n in (1500, 2000, 100)]
    told = [each.shortfall_told() for each in tuned]
    assert told == ["", "", "100 of the 1,500 steps of preset tuned"]
    other = CddpmSettings(kind="cddpm", preset="paper", steps=500)
    assert other.shortfall_told() == "500 steps instead of the 10,000 epochs of preset paper"
    gated = SmoteSettings(kind="smote", derive=True, memorising="drop")
    assert gated.departures_told() == (
        " Here with derive True instead of False; memorising drop instead of keep."
    )


def test_what_belongs_into_a_card_is_told_to_go_there():
    """What is to be written stands there, to be copied as it is."""
    card = {"path": "x.csv", "target": "died", "sensitive": ["sex", "race"]}
    with pytest.raises(UserError, match="path, target, sensitive: these are keys of a card") as no:
        load_config(yaml.safe_load(render_config()) | card)
    lines = str(no.value).splitlines()
    ends = lines.index("and into the config in their place:")
    assert yaml.safe_load("\n".join(lines[1:ends])) == card
    assert yaml.safe_load(lines[ends + 1]) == {
        "experiment": {"datasets": ["./card.yaml"], "scenarios": ["natural"]}
    }
    told = "snakemake init_dataset --config path=x.csv target=died sensitive=sex,race"
    assert lines[-1].strip() == told
    with pytest.raises(UserError, match=r"treatmens: unknown key .did you mean 'treatments'.*\n.*"):
        load_config({"treatmens": {}, **card})
    # A key by itself is a misspelt one.
    with pytest.raises(UserError, match="target: unknown key"):
        load_config({"target": "died"})


def test_the_short_experiment_of_the_tutorial_is_a_valid_config():
    text = (ROOT / "docs" / "your-table.md").read_text().split("`my.yaml` of few lines")[1]
    config = load_config(yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]))
    assert config.rebalanced_csv
    assert config.experiment.datasets == ["./card.yaml"]
    assert config.experiment.scenarios == ["natural"]
