# SPDX-License-Identifier: MIT
"""The conda environments: in step with uv.lock, and with what each rule's script imports."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
PYTHON = "3.11"
CONDA_TO_PYPI = {"pytorch": "torch"}
IMPORT_TO_CONDA = {
    "imblearn": "imbalanced-learn",
    "pydantic_core": "pydantic",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}


def locked_versions(lock: str) -> dict[str, str]:
    """Return the version of each package that uv.lock holds for Python 3.11 on Linux."""
    environment = {
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
    }
    return {
        package["name"]: package["version"]
        for package in tomllib.loads(lock)["package"]
        if "version" in package
        and any(
            Marker(marker).evaluate(environment)
            for marker in package.get("resolution-markers", ["sys_platform == 'linux'"])
        )
    }


def packages_of(env: dict) -> dict[str, str]:
    """Return the packages of a conda environment and their pins."""
    return dict(item.split(maxsplit=1) for item in env["dependencies"])


def drift(name: str, env: dict, locked: dict[str, str]) -> list[str]:
    """Return one line for each package that a conda environment pins otherwise than the lock."""
    problems = []
    for package, pin in packages_of(env).items():
        if package == "python":
            wanted = f"=={PYTHON}.*"
        else:
            version = locked.get(CONDA_TO_PYPI.get(package, package))
            if version is None:
                problems.append(
                    f"envs/{name}: {package} is not in uv.lock; remove it, or run: uv add {package}"
                )
                continue
            wanted = f"=={version}"
        if pin != wanted:
            problems.append(
                f"envs/{name}: {package} is {pin}, uv.lock has {wanted}; write: "
                f"- {package} {wanted}"
            )
    return problems


@pytest.fixture(scope="module")
def locked():
    return locked_versions((ROOT / "uv.lock").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_environment_is_in_step_with_the_lock(path, locked):
    env = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not (problems := drift(path.name, env, locked)), "\n".join(problems)
    assert env["channels"] == ["conda-forge", "nodefaults"]
    assert "python" in packages_of(env)


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_environment_says_that_it_was_not_exercised(path):
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert "Not exercised here" in " ".join(comment)


def test_environments_are_the_four_stage_families():
    assert [path.stem for path in ENVS] == ["data", "evaluate", "figures", "generate"]


def test_drift_names_file_package_versions_and_fix():
    env = {"dependencies": ["python ==3.12.*", "numpy ==1.0", "pytorch ==2.0", "left-pad ==1"]}
    lines = drift("x.yaml", env, {"numpy": "2.4.6", "torch": "2.0"})
    assert lines == [
        "envs/x.yaml: python is ==3.12.*, uv.lock has ==3.11.*; write: - python ==3.11.*",
        "envs/x.yaml: numpy is ==1.0, uv.lock has ==2.4.6; write: - numpy ==2.4.6",
        "envs/x.yaml: left-pad is not in uv.lock; remove it, or run: uv add left-pad",
    ]


def test_lock_markers_choose_the_versions_of_the_python():
    lock = """
    [[package]]
    name = "numpy"
    version = "2.4.6"
    resolution-markers = ["python_full_version < '3.12' and sys_platform == 'linux'"]
    [[package]]
    name = "numpy"
    version = "2.5.5"
    resolution-markers = ["python_full_version >= '3.12' and sys_platform == 'linux'"]
    [[package]]
    name = "mcrage"
    source = { virtual = "." }
    """
    assert locked_versions(lock) == {"numpy": "2.4.6"}


def imported_packages(script: str) -> set[str]:
    """Return the conda packages that a script and the project's modules it imports use."""
    todo, seen, found = [SCRIPTS / script], set(), set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                top = name.partition(".")[0]
                if top == "mcrage":
                    stem = SCRIPTS.joinpath(*name.split("."))
                    files = (stem.with_suffix(".py"), stem / "__init__.py")
                    todo += [file for file in files if file.is_file()]
                elif top not in sys.stdlib_module_names:
                    found.add(IMPORT_TO_CONDA.get(top, top))
    return found


def rules_with_environments() -> list[tuple[str, str]]:
    """Return (script, environment) of every rule."""
    pairs = []
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            script = re.search(r'"\.\./scripts/(\w+\.py)"', rule)
            env = re.search(r'"\.\./\.\./envs/(\w+\.yaml)"', rule)
            if script and env:
                pairs.append((script[1], env[1]))
    return pairs


def test_rules_are_found():
    assert ("prepare.py", "data.yaml") in rules_with_environments()


@pytest.mark.parametrize(("script", "env"), rules_with_environments())
def test_environment_holds_what_its_scripts_import(script, env):
    packages = packages_of(yaml.safe_load((ROOT / "envs" / env).read_text(encoding="utf-8")))
    lacking = imported_packages(script) - set(packages)
    assert not lacking, f"envs/{env}: lacks {sorted(lacking)}, which {script} imports; add them"
