# SPDX-License-Identifier: MIT
"""benchmarks/adult.py, on rows made for the purpose."""

import hashlib
import sys

import numpy as np
import pytest

from mcrage.errors import UserError
from project import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import adult

RACES = ("White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other")


def write_people(folder, counts=(700, 300), seed=0) -> None:
    """Write files in Adult's layout, whose income follows from age and hours."""
    rng = np.random.default_rng(seed)
    (folder / "adult").mkdir()
    for name, n in zip(("adult.data", "adult.test"), counts, strict=True):
        dot = "." if name == "adult.test" else ""
        lines = ["|1x3 Cross validator"] if dot else []
        for row in range(n):
            age, hours = rng.integers(17, 90), rng.integers(1, 99)
            # Each group has some rows.
            rich = age + hours + rng.normal(0, 10) > 110 if dot or row >= 100 else row % 2
            fields = [
                *(age, rng.choice(["Private", "State-gov", "?"]), rng.integers(2e4, 4e5)),
                *rng.choice([["HS-grad", "9"], ["Masters", "14"], ["Bachelors", "13"]]),
                *(rng.choice(["Divorced", "Widowed"]), rng.choice(["Sales", "Tech-support", "?"])),
                rng.choice(["Unmarried", "Own-child"]),
                *(RACES[row // 4 % 5], ("Male", "Female")[row // 2 % 2]),
                *(rng.choice([0, 0, 0, 5178]), rng.choice([0, 0, 1902]), hours),
                rng.choice(["United-States", "Mexico"]),
                (">50K" if rich else "<=50K") + dot,
            ]
            lines.append(", ".join(str(field) for field in fields))
        (folder / "adult" / name).write_text("\n".join(lines) + "\n\n" * (not dot))


@pytest.fixture
def people(tmp_path, monkeypatch):
    """Return small tables like Adult's; the card's sums and sizes are those of the real files."""
    parse = adult.parse_card

    def shortened(card: dict, origin: str):
        card["expected"] = {"rows": 1000, "columns": 15, "rows_kept": 1000}
        card["official_test"]["rows"] = 300
        for file in card["files"]:
            content = (tmp_path / "adult" / file["name"]).read_bytes()
            file["sha256"], file["size"] = hashlib.sha256(content).hexdigest(), len(content)
        return parse(card, origin)

    monkeypatch.setattr(adult, "parse_card", shortened)
    quick = {"n_trees": 30, "grid": {"max_depth": [2, 4]}, "grid_folds": 2}
    monkeypatch.setattr(adult, "JUDGE", adult.JUDGE.model_copy(update=quick))
    write_people(tmp_path)
    return adult.read_adult(tmp_path)


def test_a_generator_is_judged_beside_the_real_rows(people):
    assert (people.train.num_rows, people.test.num_rows) == (700, 300)
    columns = [feature.column for feature in people.roles.features]
    assert {"fnlwgt", "education-num"} <= set(columns)
    told = ["tabddpm:small,layers=[16],timesteps=5"]
    lines = list(adult.compare(told, people, 1, budget=40, max_rows=200))
    assert [line["rows"] for line in lines] == ["real", told[0]]
    real, drawn = lines
    assert real["auc"] > 0.85
    assert 0.3 < drawn["auc"] < real["auc"]
    for name in ("shape", "trend", "alpha_precision", "beta_recall", "c2st", "macro_f1"):
        assert 0 <= drawn[name] <= 1, name
    assert drawn["shape"] < real["shape"]
    assert drawn["train_seconds"] > 0
    gains = np.asarray(people.train.column("capital-gain"))
    assert real["capital-gain = 5178"] == np.mean(gains == 5178)
    shares = adult.shares_as_markdown(lines).splitlines()
    assert f"| capital-gain = 0 | {np.mean(gains == 0):.4f} | " in "\n".join(shares)
    assert len(shares) == 2 + sum(" = " in key for key in real)
    table = adult.as_markdown(lines)
    assert table.count("\n") == 4
    assert f"| real | {real['auc']:.4f} |" in table


def test_fewer_rows_keep_some_of_each_group(tmp_path, people):
    fewer = adult.read_adult(tmp_path, 200)
    assert fewer.train.num_rows == 200
    counts = adult.TrainingData.of(fewer.train, fewer.roles).counts
    assert counts.min() >= 6


def test_settings_are_read_from_one_word():
    settings = adult.settings_of("tabddpm:paper,layers=[8, 4],timesteps=1000", 7)
    assert (settings["timesteps"], settings["steps"], settings["layers"]) == (1000, 7, [8, 4])
    assert adult.settings_of("cddpm")["width"] == 64
    assert adult.settings_of("smote,k_neighbors=3", 7)["k_neighbors"] == 3
    for wrong in ("nothing", "smote,k", "tabddpm,steps=no", "tabddpm:huge"):
        with pytest.raises(UserError, match=f"--generators {wrong}"):
            adult.settings_of(wrong)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match=r"adult\.data: no such file"):
        adult.read_adult(tmp_path)
