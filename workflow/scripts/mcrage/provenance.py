# SPDX-License-Identifier: MIT
"""Where a file came from: what is written into every result, and how to read it back.

An *origin* is a dict of plain JSON values:

==================  ==========================================================================
``rule``            the rule that made the file
``wildcards``       of which dataset, scenario, replicate, ...
``params_digest``   of settings, seeds, code and versions together; 16 hexadecimal digits
``settings``        the rule's slice of the config
``seeds``           by what they are for
``code``            digest of the code that ran (see `mcrage.code_digest`)
``versions``        of the libraries that shape the result
``parents``         path of each input: SHA-256 of its bytes
``rows_by_group``   of tables of patients: rows in each group, by the group's label
``dropped_by_group``  of synthetic rows that passed a gate: those that were drawn and left out
==================  ==========================================================================

A parent's bytes hold the parent's own origin, so that the hashes chain up to the raw files: nothing
can be exchanged on the way without breaking the chain. There is no time and no path of a machine
in it: paths are relative to the working folder, and equal content is equal bytes.

It lies in the schema metadata of Parquet, under ``provenance`` in JSON (a model folder's lies in
its model.json), in the description of SVG, in a text chunk of PNG and in a meta element of HTML.
"""

import hashlib
import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Origin = dict[str, Any]

KEY = "provenance"
PARQUET_KEY = b"mcrage"
SVG_KEY = "Description"  # of the metadata that matplotlib writes
PNG_KEY = "mcrage"
MODEL_FACTS = "model.json"
_SHAPING = ("settings", "seeds", "code", "versions")
_SVG_TAG = "{http://purl.org/dc/elements/1.1/}description"
_HTML = re.compile(r'<meta name="mcrage-provenance" content="([^"]*)">')


def file_hash(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def params_digest(params: Mapping[str, Any]) -> str:
    """Return the digest of what shapes a result: settings, seeds, code and versions.

    Parameters
    ----------
    params : mapping
        A rule's params dict, or an origin.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    text = to_json({name: params[name] for name in _SHAPING})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_origin(
    rule: str,
    wildcards: Mapping[str, str],
    params: Mapping[str, Any],
    parents: Iterable[str | os.PathLike],
) -> Origin:
    """Return the origin of what a job is about to write.

    Parameters
    ----------
    rule : str
    wildcards : mapping of str to str
    params : mapping
        The rule's params dict.
    parents : iterable of path-like
        Input files, relative to the working folder.
    """
    return {
        "rule": rule,
        "wildcards": dict(wildcards),
        "params_digest": params_digest(params),
        **{name: params[name] for name in _SHAPING},
        "parents": {Path(parent).as_posix(): file_hash(parent) for parent in parents},
    }


def parents_of(inputs: Any) -> list[str]:
    """Return what a job's result comes from: all its inputs but those of two names.

    ``after`` is an order only. ``learnt`` holds what the job would make of its other inputs, as a
    checkpoint does, and is taken only if it was made of them.

    Parameters
    ----------
    inputs : object
        Snakemake's, a list that also knows names.
    """
    named = [inputs.get(name, []) for name in ("after", "learnt")]
    left_out = [path for paths in named for path in ([paths] if isinstance(paths, str) else paths)]
    return [path for path in inputs if path not in left_out]


def to_json(value: Any) -> str:
    """Return plain values as JSON text, ASCII only, that is equal for equal values."""
    return json.dumps(value, sort_keys=True)


def read_origin(path: str | os.PathLike) -> Origin | None:
    """Return the origin that a file holds, or None if it holds none or can't be read.

    Parameters
    ----------
    path : path-like
        Parquet, JSON, SVG, PNG or HTML; a model's safetensors are described by the model.json
        beside them.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix)
    if reader is None:
        return None
    try:
        origin = reader(path)
    except (OSError, ValueError, LookupError, ElementTree.ParseError):
        return None
    return origin if _is_whole(origin) else None


def _is_whole(origin: Any) -> bool:
    """Whether this is what `make_origin` makes; files may hold anything."""
    return (
        isinstance(origin, dict)
        and {*_SHAPING, "params_digest"} <= origin.keys()
        and isinstance(origin.get("rule"), str)
        and all(_maps_texts(origin.get(name)) for name in ("wildcards", "parents", "versions"))
        and isinstance(origin["seeds"], dict)
        and isinstance(origin.get("rows_by_group", {}), dict)
    )


def _maps_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _from_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    return json.loads(metadata.get(PARQUET_KEY, b"null"))


def _from_json(path: Path) -> Any:
    value = json.loads(path.read_text(encoding="utf-8"))
    return value.get(KEY) if isinstance(value, dict) else None


def _from_svg(path: Path) -> Any:
    for _, element in ElementTree.iterparse(path):
        if element.tag == _SVG_TAG:
            return json.loads(element.text or "null")
    return None


def _from_png(path: Path) -> Any:
    # Chunks of a length, a name of 4 letters, data and a checksum follow a signature of 8 bytes.
    # Not by Pillow, which stages without figures lack.
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            data = file.read(int.from_bytes(head[:4], "big"))
            file.seek(4, os.SEEK_CUR)
            keyword, _, text = data.partition(b"\0")
            if head[4:] == b"tEXt" and keyword == PNG_KEY.encode():
                return json.loads(text)
    return None


def _from_html(path: Path) -> Any:
    found = _HTML.search(path.read_text(encoding="utf-8"))
    return json.loads(html.unescape(found[1])) if found else None


_READERS = {
    ".parquet": _from_parquet,
    ".json": _from_json,
    ".safetensors": lambda path: _from_json(path.with_name(MODEL_FACTS)),
    ".svg": _from_svg,
    ".png": _from_png,
    ".html": _from_html,
}
