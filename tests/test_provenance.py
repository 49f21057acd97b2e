# SPDX-License-Identifier: MIT
"""Every file says where it came from, and the chain of hashes shows what was exchanged."""

import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcrage.lineage import (
    Lineage,
    by_rule,
    distrust,
    record,
    result_files,
    tell,
    verdict,
)
from mcrage.provenance import file_hash, make_origin, params_digest, read_origin
from mcrage.tables import read_table, sweep, write_json, write_table
from project import Project

PARAMS = {"settings": {"a": 1}, "seeds": {"s": 2}, "code": "c0de", "versions": {"numpy": "2"}}
DATA = "results/diabetes/keep_25_percent_of_sex_2"

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# --- one file -----------------------------------------------------------------------------------


@given(settings=st.dictionaries(st.text(), plain, max_size=4))
def test_an_origin_survives_parquet_and_json(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("origin")
    origin = make_origin("rule", {"replicate": "0"}, {**PARAMS, "settings": settings}, [])
    write_table(pa.table({"x": [1]}), folder / "a.parquet", origin)
    write_json({"x": 1}, folder / "a.json", origin)
    assert read_origin(folder / "a.parquet") == origin
    assert read_origin(folder / "a.json") == origin


def test_the_digest_sees_two_values_swapped():
    swapped = {**PARAMS, "seeds": {"s": 1}, "settings": {"a": 2}}
    assert params_digest(swapped) != params_digest(PARAMS)
    assert params_digest({**PARAMS, "local": {"device": "cpu"}}) == params_digest(PARAMS)


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "a.svg", "a.png", "a.html", "a.txt"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\x89PNG\r\n\x1a\n\x00", b"PAR1xxPAR1"])
def test_a_file_that_says_nothing_has_no_origin(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read_origin(tmp_path / name) is None
    assert read_origin(tmp_path / "absent.parquet") is None


def test_rows_by_group_are_told(tmp_path):
    origin = make_origin("rule", {}, PARAMS, [])
    write_table(pa.table({"x": [1]}), tmp_path / "a.parquet", origin, {"sex=F, died=yes": 1})
    assert read_origin(tmp_path / "a.parquet")["rows_by_group"] == {"sex=F, died=yes": 1}


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path):
    kept = ["a.parquet", ".a.parquet", ".b.parquet.xyz_1234.partial.parquet", "a.partial.parquet"]
    left = [".a.parquet.xyz_1234.partial.parquet", ".a.parquet.0.partial.parquet"]
    for name in (*kept, *left):
        (tmp_path / name).write_text("x")
    sweep(tmp_path / "a.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


# --- a chain ------------------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path, monkeypatch) -> Path:
    """raw.csv → first.parquet → second.json → third.parquet."""
    monkeypatch.chdir(tmp_path)
    raw = Path("resources/downloads/d/raw.csv")
    raw.parent.mkdir(parents=True)
    raw.write_text("x\n1\n")
    parent = str(raw)
    for number, name in enumerate(["first.parquet", "second.json", "third.parquet"]):
        path = Path("results") / name
        origin = make_origin(f"rule_{number}", {}, PARAMS, [parent])
        if path.suffix == ".json":
            write_json({"x": 1}, path, origin)
        else:
            write_table(pa.table({"x": list(range(100))}), path, origin)
        parent = str(path)
    return tmp_path


def broken(root: Path) -> dict[str, str]:
    steps = Lineage(root).steps(result_files(root))
    return {step.path: "; ".join(step.problems) for step in steps if step.problems}


def test_a_chain_is_walked_from_the_raw_file_on(chain):
    steps = Lineage(chain).steps(["results/third.parquet"])
    assert [Path(step.path).name for step in steps] == [
        *("raw.csv", "first.parquet", "second.json", "third.parquet")
    ]
    assert verdict(steps) == "4 files checked, 1 of them raw: every chain is intact."
    assert [row[:3] for row in by_rule(steps)] == [[f"rule_{n}", "1", "c0de"] for n in range(3)]
    told = tell(steps[2])
    assert "made by rule_1" in told
    assert f"from results/first.parquet  {file_hash('results/first.parquet')[:16]}" in told


def test_a_changed_raw_file_breaks_the_chain(chain):
    Path("resources/downloads/d/raw.csv").write_text("x\n2\n")
    assert broken(chain) == {
        "results/first.parquet": "was made from another resources/downloads/d/raw.csv"
    }


@pytest.mark.parametrize("name", ["first.parquet", "second.json"])
def test_an_exchanged_file_breaks_the_chain_of_its_children(chain, name):
    path = Path("results") / name
    origin = read_origin(path)
    if path.suffix == ".json":
        write_json({"x": 2}, path, origin)
    else:
        write_table(pa.table({"x": [2]}), path, origin)
    child = {"first.parquet": "second.json", "second.json": "third.parquet"}[name]
    assert broken(chain) == {f"results/{child}": f"was made from another results/{name}"}


def test_another_params_digest_of_a_parent_breaks_the_chain(chain):
    """Content alike, made otherwise: the hash is over what the parent says of itself, too."""
    path = Path("results/first.parquet")
    other = make_origin(
        "rule_0", {}, {**PARAMS, "code": "other"}, ["resources/downloads/d/raw.csv"]
    )
    write_table(read_table(path), path, other)
    assert broken(chain) == {"results/second.json": "was made from another results/first.parquet"}


def test_a_lost_file_breaks_the_chain(chain):
    Path("results/first.parquet").unlink()
    assert broken(chain) == {"results/first.parquet": "is not there"}


def test_a_file_without_origin_breaks_the_chain(chain):
    pq.write_table(pa.table({"x": [1]}), "results/first.parquet")
    assert broken(chain)["results/first.parquet"] == "does not say where it comes from"


def test_settings_changed_by_hand_are_seen(chain):
    path = Path("results/third.parquet")
    origin = read_origin(path)
    origin["settings"]["a"] = 7
    write_table(read_table(path), path, origin)
    assert broken(chain) == {
        "results/third.parquet": "what it says of its params was changed by hand"
    }


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5])
def test_damage_of_a_file_that_nothing_was_made_from_is_seen(chain, place):
    """A flipped bit in a page of the last table in line, whose footer is whole."""
    path = Path("results/third.parquet")
    data = bytearray(path.read_bytes())
    footer = int.from_bytes(data[-8:-4], "little") + 8
    data[4 + int((len(data) - footer - 4) * place)] ^= 1
    path.write_bytes(data)
    assert "is damaged" in broken(chain)["results/third.parquet"]


def test_a_model_vouches_for_its_weights(chain):
    folder = Path("results/model")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    files = {"model.safetensors": file_hash(folder / "model.safetensors")}
    write_json({"files": files}, folder / "model.json", make_origin("train", {}, PARAMS, []))
    assert broken(chain) == {}
    (folder / "model.safetensors").write_bytes(b"wEights")
    assert "describes another" in broken(chain)["results/model/model.json"]


def test_outdated_is_what_would_be_made_otherwise_now(chain):
    now = {"rule_1": "another"}
    lineage = Lineage(chain, lambda rule, wildcards: now.get(rule))
    steps = lineage.steps(["results/third.parquet"])
    assert [step.path for step in steps if step.outdated] == ["results/second.json"]
    assert "OUTDATED" in tell(steps[2])
    assert "1 are outdated" in verdict(steps)


def test_logs_benchmarks_and_checkpoints_are_no_results(chain):
    for part in ("logs", "benchmarks", "checkpoints"):
        path = Path("results", part, "a.json")
        path.parent.mkdir()
        path.write_text("{}")
    Path("results/.first.parquet.x.partial.parquet").write_text("")
    assert list(result_files(chain)) == [
        *("results/first.parquet", "results/second.json", "results/third.parquet")
    ]


def now(rule, wildcards):
    return params_digest(PARAMS)


def other(rule, wildcards):
    return "other"


def marked(root: Path) -> int:
    return len([path for path in (root / ".snakemake/incomplete").rglob("*") if path.is_file()])


def put_record(root: Path, path: str) -> None:
    file = record(root, "metadata", path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")


@pytest.mark.parametrize("recorded", [False, True])
def test_a_result_counts_for_what_it_says_whatever_the_records_say(chain, recorded):
    if recorded:
        for path in result_files(chain):
            put_record(chain, path)
    assert distrust(chain, now, lambda path: True) == []
    assert len(distrust(chain, other, lambda path: True)) == marked(chain) == 3
    # Changed, and changed back.
    assert distrust(chain, now, lambda path: True) == []
    assert marked(chain) == 0
    # Results of another run, with dates that have passed, over these.
    origin = make_origin("rule_0", {}, {**PARAMS, "code": "other"}, [])
    write_table(pa.table({"x": [1]}), "results/first.parquet", origin)
    os.utime("results/first.parquet", (1, 1))
    assert distrust(chain, now, lambda path: True) == ["results/first.parquet"]


def test_a_file_that_says_nothing_is_distrusted_if_a_rule_makes_it(chain):
    pq.write_table(pa.table({"x": [1]}), "results/first.parquet")
    write_json({"mine": 1}, "results/notes.json")
    assert distrust(chain, now, lambda path: "first" in path) == ["results/first.parquet"]


def test_a_result_in_anothers_place_is_distrusted(tmp_path):
    origin = make_origin("rule", {"replicate": "0"}, PARAMS, [])
    for replicate in "01":
        write_json({}, tmp_path / "results" / replicate / "groups.json", origin)
    assert distrust(tmp_path, now, lambda path: True) == ["results/1/groups.json"]
    steps = Lineage(tmp_path).steps(result_files(tmp_path))
    assert [bool(step.problems) for step in steps] == [False, True]


def test_files_are_read_again_only_when_they_changed(chain, monkeypatch):
    import mcrage.lineage as module

    distrust(chain, now, lambda path: True)
    read = []
    monkeypatch.setattr(module, "read_origin", lambda path: read.append(path.name))
    assert distrust(chain, now, lambda path: True) == []
    Path("results/second.json").touch()
    distrust(chain, now, lambda path: True)
    assert read == ["second.json"]


def test_marks_of_killed_jobs_stay(chain):
    mark = record(chain, "incomplete", "results/first.parquet")
    mark.parent.mkdir(parents=True)
    mark.write_text('{"external_jobid": null}')
    distrust(chain, other, lambda path: True)
    assert distrust(chain, now, lambda path: True) == []
    assert mark.read_text() == '{"external_jobid": null}'


def test_a_file_that_is_its_own_ancestor_ends_the_walk(chain):
    path = Path("results/first.parquet")
    origin = {**read_origin(path), "parents": {str(path): "0" * 64}}
    write_table(pa.table({"x": [1]}), path, origin)
    assert broken(chain)[str(path)] == f"was made from another {path}"


@pytest.mark.parametrize(
    "change",
    [
        {"rule": None},
        {"wildcards": None},
        {"wildcards": {"replicate": 0}},
        {"parents": ["a"]},
        {"seeds": None},
        {"params_digest": ...},
    ],
)
def test_an_odd_origin_is_none(tmp_path, change):
    origin = make_origin("rule", {}, PARAMS, []) | change
    origin = {name: value for name, value in origin.items() if value is not ...}
    write_json({}, tmp_path / "a.json", origin)
    assert read_origin(tmp_path / "a.json") is None


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_table_never_ends_in_a_traceback(tmp_path_factory, place, flip):
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    write_table(pa.table({"x": [1, 2]}), path, make_origin("rule", {}, PARAMS, []))
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    read_origin(path)
    Lineage(path.parent).steps([path.name])


@pytest.mark.parametrize("path", ["results/a.parquet", f"results/{'deep/' * 80}a.parquet"])
def test_records_are_where_snakemake_puts_them(tmp_path, monkeypatch, path):
    from snakemake.persistence import MetadataRecord
    from snakemake.persistence.file import FilePersistence

    monkeypatch.chdir(tmp_path)
    persistence = FilePersistence()
    persistence._write_record(path, MetadataRecord(rule="r"))
    persistence._mark_incomplete(path, None)
    assert record(tmp_path, "metadata", path).is_file()
    assert record(tmp_path, "incomplete", path).is_file()


# --- the whole experiment -----------------------------------------------------------------------


def test_every_result_says_where_it_came_from(finished):
    files = list(result_files(finished.folder))
    assert {Path(path).suffix for path in files} == {
        *(".parquet", ".json", ".safetensors", ".svg", ".png", ".html")
    }
    for path in files:
        origin = read_origin(finished.folder / path)
        assert origin is not None, path
        assert origin["params_digest"] == params_digest(origin), path
        assert "local" not in origin, path


def test_tables_of_patients_tell_their_rows_by_group(finished):
    for path in (finished.folder / DATA).rglob("*.parquet"):
        told = read_origin(path).get("rows_by_group")
        if path.name in (
            "history.parquet",
            "metrics.parquet",
            "fidelity.parquet",
            "within_replicate.parquet",
            "held_out.parquet",
        ):
            assert told is None
        else:
            assert sum(told.values()) == pq.read_metadata(path).num_rows, path
            assert set(told) == {
                f"sex={sex}, progression={level}" for sex in "12" for level in ("low", "high")
            }


def test_nothing_tells_the_machine(finished):
    """No path of this machine in any result; times only in the report's table of costs."""
    needles = [str(finished.folder).encode(), str(Path.home()).encode() + b"/"]
    for path in result_files(finished.folder):
        data = (finished.folder / path).read_bytes()
        assert not [needle for needle in needles if needle in data], path


def lineage(project: Project, file: str | None = None):
    arguments = (
        ["lineage", "--quiet", "rules", "--config", f"lineage={file}"] if file else ["lineage"]
    )
    return project.run(*arguments)


def test_lineage_checks_the_whole_chain(finished):
    done = lineage(finished)
    assert done.returncode == 0, done.stdout
    assert "1 of them raw: every chain is intact." in done.stdout


def test_lineage_tells_of_one_file(finished):
    done = lineage(finished, f"{DATA}/0/mcrage_smote/rebalanced.parquet")
    assert done.returncode == 0, done.stdout
    for part in (
        "resources/downloads/diabetes/diabetes.csv\n    raw file",
        "made by train_generator",
        f"from {DATA}/0/smote/rebalanced.parquet",
        "versions: imbalanced-learn",
        "rows: sex=1, progression=high: ",
        "every chain is intact",
    ):
        assert part in done.stdout, part
    assert "/test.parquet" not in done.stdout
    assert "0/mcrage_tuned" not in done.stdout


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("results/metric.parquet", "'results/metric.parquet', which is not a file in"),
        ("/etc/hostname", "'/etc/hostname', which is not a file in"),
        ("results/summary.txt", "'results/summary.txt', which can't say where it comes from"),
    ],
)
def test_lineage_of_nothing_ends_with_one_message(finished, file, said):
    done = lineage(finished, file)
    assert done.returncode != 0
    assert said in done.stdout
    assert "Traceback" not in done.stdout


def test_lineage_passes_over_what_is_nobodys_result(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "project")
    copy = Project.at(tmp_path / "project")
    (copy.folder / "results" / "notes.json").write_text("{}")
    assert lineage(copy).returncode == 0
    assert copy.plan() == {}


def test_lineage_fails_on_an_exchanged_file_and_its_advice_mends_it(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "project")
    copy = Project.at(tmp_path / "project")
    path = copy.folder / DATA / "0" / "train.parquet"
    dates = path.stat()
    write_table(read_table(path).slice(1), path, read_origin(path))
    os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    done = lineage(copy)
    assert done.returncode != 0
    assert f"BROKEN: was made from another {DATA}/0/train.parquet" in done.stdout
    assert "Traceback" not in done.stdout
    advice = re.search(r"snakemake --cores all (--forcerun .*)", done.stdout)[1].split()
    assert advice == ["--forcerun", f"{DATA}/0/train.parquet"]
    plan = copy.plan(*advice, "--quiet", "rules")
    assert plan["induce_imbalance"] == 1
    assert plan["train_generator"] == 4


def test_the_report_shows_the_chain(finished):
    page = (finished.folder / "results" / "report.html").read_text()
    assert "Where it comes from" in page
    assert "every chain is intact" in page
    assert file_hash(finished.folder / "results" / "metrics.parquet")[:16] in page
    for rule in ("prepare", "train_generator", "summarise"):
        assert f'<th scope="row">{rule}</th>' in page
