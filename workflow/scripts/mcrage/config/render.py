# SPDX-License-Identifier: MIT
"""Render `config.yaml` and its JSON schema from the config model.

``python -m mcrage.config.render`` (or ``make config``) writes both; a test fails when they drift.
"""

import json
import textwrap
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from mcrage.config.base import Closed
from mcrage.config.classifiers import KINDS as CLASSIFIERS
from mcrage.config.generators import KINDS as GENERATORS
from mcrage.config.judging import Primary
from mcrage.config.model import Config
from mcrage.config.scenarios import Keep, Scenario
from mcrage.config.treatments import Treatment

_WIDTH = 98
_HEADER = """\
The default experiment of mcrage, every key with its default value.
Written by `make config` from workflow/scripts/mcrage/config; edit values freely, a wrong key or
value is refused before any job starts. To keep this file as it is, put what you change into a
file of your own and run: snakemake --cores all --configfile my.yaml
Sections are merged key by key, lists are replaced as a whole.
"""

_ENTRIES: dict[str, list[tuple[str, type[BaseModel]]]] = {
    "scenarios": [("each scenario", Scenario), ("each entry of keep", Keep)],
    "generators": [(f"kind: {kind}", model) for kind, model in GENERATORS.items()],
    "treatments": [("each treatment", Treatment)],
    "classifiers": [(f"kind: {kind}", model) for kind, model in CLASSIFIERS.items()],
}


_INNER: dict[tuple[str, str], type[BaseModel]] = {("experiment", "primary"): Primary}


def render_config() -> str:
    """Return the text of config.yaml: the defaults, with every key explained."""
    lines = _comment(_HEADER, 0)
    for name, field in Config.model_fields.items():
        lines.append("")
        lines += _comment(field.description or "", 0)
        value = field.get_default(call_default_factory=True)
        if name in _ENTRIES:
            for title, model in _ENTRIES[name]:
                lines += _comment(f"Keys of {title}:", 0)
                lines += _explain(model)
            lines += _dump({name: {key: _given(entry) for key, entry in value.items()}})
        elif isinstance(value, Closed):
            lines.append(f"{name}:")
            for key, inner in type(value).model_fields.items():
                lines += _comment(inner.description or "", 2)
                if (name, key) in _INNER:
                    lines += _comment("Its keys:", 2)
                    lines += [f"  {line}" for line in _explain(_INNER[name, key])]
                lines += textwrap.indent(
                    "\n".join(_dump({key: getattr(value, key)})), "  "
                ).splitlines()
        else:
            allowed = _allowed(field.annotation)
            if allowed:
                lines += _comment(f"Allowed: {allowed}.", 0)
            lines += _dump({name: value})
    return "\n".join(lines) + "\n"


def render_schema() -> str:
    """Return the config's JSON schema, for editors that complete and check YAML."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


def _given(entry: Any) -> dict[str, Any]:
    # What differs from the model's defaults, and what has none: short entries, nothing lost.
    if isinstance(entry, BaseModel):
        entry = entry.model_dump(exclude_defaults=True) | (
            {"kind": entry.kind} if hasattr(entry, "kind") else {}
        )
    return {"kind": entry["kind"], **entry} if "kind" in entry else entry


def _explain(model: type[BaseModel]) -> list[str]:
    lines = []
    for key, field in model.model_fields.items():
        if key == "kind":  # named in the title
            continue
        allowed = _allowed(field.annotation)
        default = "" if field.is_required() else f" Default: {_short(field.default)}."
        if field.default is None and "preset" in model.model_fields:
            default = ""
        text = f"{key}{f' ({allowed})' if allowed else ''}: {field.description}{default}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent="#   ", subsequent_indent="#       ")
    return lines


def _short(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).replace("...", "").strip()


def _allowed(annotation: Any) -> str:
    """Return the choices of a Literal, also inside Optional; empty for other types."""
    if get_origin(annotation) is Annotated:
        return _allowed(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return ", ".join(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return ", ".join(filter(None, (_allowed(part) for part in get_args(annotation))))
    return ""


def _comment(text: str, indent: int) -> list[str]:
    lead = " " * indent + "# "
    return [
        line
        for paragraph in text.strip().splitlines()
        for line in textwrap.wrap(paragraph, _WIDTH, initial_indent=lead, subsequent_indent=lead)
    ]


def _dump(value: dict[str, Any]) -> list[str]:
    text = yaml.safe_dump(value, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return text.rstrip().splitlines()


def main() -> None:
    """Write both files into the repository."""
    root = Path(__file__).resolve().parents[4]
    (root / "config.yaml").write_text(render_config(), encoding="utf-8")
    schema = root / "workflow" / "schemas" / "config.schema.json"
    schema.parent.mkdir(exist_ok=True)
    schema.write_text(render_schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
