# SPDX-License-Identifier: MIT
"""The digest changes when the code does, and only then."""

import json
import os

import pytest

from mcrage import code_digest as module
from mcrage.code_digest import BESIDE_RESULTS, closure, code_digest, versions
from mcrage.config.generators import KINDS
from mcrage.errors import UserError
from mcrage.generators.registry import Needs, guard_needs, needs
from mcrage.rule_settings.generate import TEACHER
from mcrage.stage import PlannedCode
from project import ASIDE

# Where generators are listed (another one in the list changes no result), the digest itself, and
# where a GPU is found.
LOADED_BY_NAME = {
    *("mcrage.generators.registry", "mcrage.plugins"),
    *("mcrage.code_digest", "mcrage.accelerator"),
}
# What those that are passed over import, where nothing else does.
BESIDE_THEM = {"mcrage.durations", "mcrage.lineage"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "mcrage").mkdir()
    (tmp_path / "mcrage" / "__init__.py").write_text("")
    (tmp_path / "mcrage" / "used.py").write_text('"""Doc."""\nX = 1\n')
    (tmp_path / "mcrage" / "lazy.py").write_text("Y = 1\n")
    (tmp_path / "mcrage" / "unused.py").write_text("Z = 1\n")
    (tmp_path / "mcrage" / "named.py").write_text("N = 1\n")
    (tmp_path / "stage.py").write_text(
        "from mcrage.used import X\n\ndef main():\n    from mcrage import lazy\n    return lazy\n"
    )
    monkeypatch.setattr(module, "SCRIPTS", tmp_path)
    module.forget()
    yield tmp_path
    module.forget()


def digest_after(path, text, *modules):
    path.write_text(text)
    module.forget()
    return code_digest("stage", *modules)


@pytest.mark.parametrize(
    "text", ['"""Other doc."""\nX = 1\n', "# comment\nX = 1\n", "X   =   (1)\n"]
)
def test_comments_docstrings_and_formatting_do_not_count(project, text):
    before = code_digest("stage")
    assert digest_after(project / "mcrage" / "used.py", text) == before


@pytest.mark.parametrize("name", ["used.py", "lazy.py", "__init__.py"])
def test_an_edit_of_what_is_imported_counts_also_inside_functions(project, name):
    before = code_digest("stage")
    assert digest_after(project / "mcrage" / name, "X = Y = 2\n") != before


def test_an_edit_of_what_is_not_imported_does_not_count(project):
    before = code_digest("stage")
    assert digest_after(project / "mcrage" / "unused.py", "Z = 2\n") == before


def test_what_is_loaded_by_name_counts_when_passed(project):
    before = code_digest("stage", "mcrage.named")
    assert digest_after(project / "mcrage" / "named.py", "N = 2\n", "mcrage.named") != before


@pytest.fixture
def noted(project, monkeypatch):
    """A project of whose files a process has taken note: the notes, and its digest."""
    (project / ".snakemake").mkdir()
    monkeypatch.chdir(project)
    module.forget()
    digest = code_digest("stage")
    module.remember()
    module.forget()
    return project / ".snakemake" / "mcrage_code.json", digest


def test_what_is_noted_of_files_is_not_found_again(noted, monkeypatch):
    monkeypatch.setattr(module.ast, "parse", None)
    assert code_digest("stage") == noted[1]
    assert "mcrage.lazy" in closure("stage")


def test_a_note_holds_for_the_bytes_of_its_file_alone(project, noted):
    _, digest = noted
    path = project / "mcrage" / "used.py"
    dates = path.stat()
    path.write_text('"""Doc."""\nX = 2\n')
    # Neither its date nor its size tells.
    os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    assert code_digest("stage") != digest
    # Notes of what it is now take their place.
    module.remember()
    assert digest_after(path, '"""Doc."""\nX = 1\n') == digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: "",
        lambda told: "[]",
        lambda told: json.dumps({**told, "files": None}),
        lambda told: json.dumps({**told, "files": {name: [1] for name in told["files"]}}),
        # By another Python, or an analysis that looks for other things.
        lambda told: json.dumps(
            {
                "by": [told["by"][0], "0" * 64],
                "files": {name: [note[0], "0", []] for name, note in told["files"].items()},
            }
        ),
    ],
)
def test_notes_that_are_damaged_or_anothers_count_for_nothing(noted, damage):
    file, digest = noted
    file.write_text(damage(json.loads(file.read_text())))
    assert code_digest("stage") == digest


def test_a_module_that_is_added_is_found(project, noted):
    (project / "stage.py").write_text("from mcrage import used, later\n")
    before = digest_after(project / "mcrage" / "used.py", "X = 1\n")
    module.remember()
    assert digest_after(project / "mcrage" / "later.py", "L = 1\n") != before
    assert "mcrage.later" in closure("stage")


def test_files_of_a_package_that_are_no_python_count_by_their_bytes(project):
    (project / "mcrage" / "templates").mkdir()
    before = code_digest("stage")
    with_page = digest_after(project / "mcrage" / "templates" / "page.html", "<p>")
    assert len({before, with_page, digest_after(project / "mcrage/templates/page.html", "")}) == 3
    # Those of a package below are that package's, which nobody imports.
    now = code_digest("stage")
    (project / "mcrage" / "below" / "deep").mkdir(parents=True)
    (project / "mcrage" / "below" / "__init__.py").write_text("")
    assert digest_after(project / "mcrage" / "below" / "deep" / "page.html", "<p>") == now


def test_a_job_whose_code_is_edited_after_planning_stops(project):
    params = {"code": code_digest("stage"), "modules": [], "versions": versions("numpy")}
    planned = PlannedCode("stage", params)
    (project / "mcrage" / "used.py").write_text("# why\nX = 1\n")
    planned.check()
    (project / "mcrage" / "used.py").write_text("X = 2\n")
    with pytest.raises(UserError, match="its code was changed after this run was planned"):
        planned.check()
    with pytest.raises(UserError, match="its code was changed"):
        PlannedCode("stage", params)


def test_a_job_whose_libraries_are_exchanged_after_planning_stops(project):
    params = {"code": code_digest("stage"), "modules": [], "versions": {"numpy": "0.1"}}
    with pytest.raises(UserError, match="a library was changed"):
        PlannedCode("stage", params)


@pytest.mark.parametrize("name", sorted(BESIDE_RESULTS))
def test_what_ends_a_job_or_tells_of_it_is_passed_over(project, name):
    path = project.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text("from mcrage.unused import Z\n")
    (project / "mcrage" / "used.py").write_text(f"import {name}\n")
    module.forget()
    before = code_digest("stage")
    assert digest_after(path, "from mcrage.unused import Z\nB = 2\n") == before
    # What they import counts only where others import it.
    assert digest_after(project / "mcrage" / "unused.py", "Z = 2\n") == before
    assert "mcrage.unused" not in closure("stage")


def test_what_is_passed_over_is_there():
    for name in BESIDE_RESULTS:
        assert module.SCRIPTS.joinpath(*name.split(".")).with_suffix(".py").is_file(), name


def needed(stage: str, **settings) -> tuple[set[str], set[str]]:
    """Return what decides a stage's result: modules of `mcrage`, libraries."""
    found = needs(stage, KINDS[settings["kind"]](**settings).resolved())
    modules = closure(f"{stage}_generator", *found.modules)
    return {name.removeprefix("mcrage.") for name in modules}, set(found.libraries)


SAMPLING = {"diffusion.sampling", "generators.cddpm_draw"}
TRAINING = {
    *("diffusion.training", "diffusion.optimizer", "diffusion.streams"),
    *("generators.cddpm_fit", "generators.cddpm_run"),
}
SHARED = {"diffusion.network", "diffusion.process", "generators.cddpm", "encoding.numeric"}
JUDGING = {
    "classifiers.validation",
    "classifiers.registry",
    "metrics.confusion",
    "metrics.f1",
}


def test_an_edit_of_the_sampler_trains_nothing_anew():
    modules, libraries = needed("train", kind="cddpm", preset="tuned")
    assert modules >= TRAINING | SHARED
    assert not modules & (SAMPLING | JUDGING)
    assert libraries == {"torch", "numpy"}


def test_a_generator_that_is_judged_is_trained_by_what_judges_it():
    modules, libraries = needed("train", kind="cddpm", preset="paper")
    assert modules >= TRAINING | SHARED | SAMPLING | JUDGING
    assert libraries == {"torch", "numpy", "scikit-learn"}
    last = {"learning_rates": [1e-4], "condition_dropouts": [0.7], "selection": "last"}
    modules, _ = needed("train", kind="cddpm", preset="paper", **last)
    assert not modules & (SAMPLING | JUDGING)


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_an_edit_of_training_alone_draws_nothing_anew(preset):
    modules, libraries = needed("sample", kind="cddpm", preset=preset)
    assert modules >= SAMPLING | SHARED
    assert not modules & (TRAINING | JUDGING)
    assert libraries == {"torch", "numpy"}


def test_quantiles_need_what_fits_and_what_applies_them():
    settings = {"kind": "cddpm", "preset": "tuned", "scaling": "quantile"}
    assert needed("train", **settings)[1] == {"torch", "numpy", "scikit-learn", "scipy"}
    assert needed("sample", **settings)[1] == {"torch", "numpy", "scipy"}


def test_smote_needs_imbalanced_learn_to_draw_only():
    trained, libraries = needed("train", kind="smote")
    assert libraries == {"numpy"}
    drawn, libraries = needed("sample", kind="smote")
    assert libraries == {"imbalanced-learn", "numpy", "scikit-learn"}
    assert "generators.smote_draw" in drawn - trained
    assert not (trained | drawn) & (TRAINING | SAMPLING)


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_the_stages_of_tabddpm_need_their_own_code(preset):
    trained, libraries = needed("train", kind="tabddpm", preset=preset)
    assert libraries == {"torch", "numpy", "scikit-learn", "scipy"}
    drawn, libraries = needed("sample", kind="tabddpm", preset=preset)
    assert libraries == {"torch", "numpy", "scipy"}
    shared = {"diffusion.multinomial", "diffusion.mlp", "encoding.mixed", "generators.tabddpm"}
    assert shared <= trained & drawn
    assert "generators.tabddpm_fit" in trained - drawn
    sampling = {"diffusion.sampling", "diffusion.gaussian_multinomial_sampling"}
    assert sampling | {"generators.tabddpm_draw"} <= drawn - trained
    assert not (trained | drawn) & ({"generators.cddpm", "generators.cddpm_fit"} | JUDGING)


@pytest.mark.parametrize("kind", ["mixture", "copula", "cart"])
def test_the_cheap_generators_draw_by_other_code_than_they_are_fitted_by(kind):
    trained, libraries = needed("train", kind=kind)
    assert libraries >= {"numpy"}
    drawn, _ = needed("sample", kind=kind)
    assert f"generators.{kind}_fit" in trained - drawn
    assert f"generators.{kind}_draw" in drawn
    assert f"generators.{kind}_draw" not in trained
    assert not (trained | drawn) & (TRAINING | SAMPLING | {"generators.smote"})
    assert "scikit-learn" not in needed("sample", kind=kind)[1]


def test_the_guard_has_the_code_that_checks_the_kinds_in_use_alone():
    assert guard_needs(["smote", "cddpm", "tabddpm"]) == Needs()
    found = guard_needs(["smote", "copula"])
    modules = closure("check_leakage", *found.modules)
    assert {"mcrage.leakage.learnt_copula", "mcrage.generators.copula_fit"} <= set(modules)
    assert "mcrage.generators.mixture_fit" not in modules
    assert not any("learnt" in name for name in closure("check_leakage"))


def test_rows_that_rare_groups_borrow_are_of_training_alone():
    for kind in ("smote", "cart"):
        assert "rare_groups" in needed("train", kind=kind)[0] - needed("sample", kind=kind)[0]


@pytest.mark.parametrize("stage", ["train", "sample"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_another_generator_in_the_registry_reruns_nothing(stage, kind):
    preset = {"preset": "paper"} if kind in ("cddpm", "tabddpm") else {}
    assert "generators.registry" not in needed(stage, kind=kind, **preset)[0]


def test_a_batch_is_learnt_by_the_code_that_each_replicate_is_learnt_by():
    named = needs("train", {"kind": "cddpm", "selection": "criterion"}).modules
    alone, together = (set(closure(rule, *named)) for rule in ("train_generator", "train_together"))
    assert alone - together == {"train_generator"}


def test_the_digest_covers_what_stages_really_load(finished_run):
    """What a script had loaded at its end is in its closure, also what it loaded by name."""
    records = [json.loads(path.read_text()) for path in (finished_run.folder / "records").iterdir()]
    scripts = {path.stem for path in module.SCRIPTS.glob("*.py")} - ASIDE
    assert {record["rule"] for record in records} == scripts
    for record in records:
        rule, settings = record["rule"], record["settings"]
        named = ()
        if rule.endswith("_generator"):
            stage = rule.removesuffix("_generator")
            named = needs(stage, settings.get("generator", settings)).modules
        if "teacher" in settings:
            named = (TEACHER,)
        loaded = set(record["modules"]) - LOADED_BY_NAME - BESIDE_RESULTS - BESIDE_THEM
        assert loaded <= set(closure(rule, *named)), rule
