# SPDX-License-Identifier: MIT
"""What every part of the config shares: closed models, names, and errors in the user's words."""

import difflib
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from mcrage.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Closed(BaseModel):
    """A frozen model in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_name(name: str) -> str:
    """Return `name` if it may become a folder under results.

    Raises
    ------
    ValueError
        If it could leave the folder or be hard to type.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} can't be the name of a folder; use up to 64 letters, digits, '_' and '-', "
            "starting with a letter or digit"
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]


def closest(word: str, known: list[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known word, or an empty string."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def explain(error: ValidationError, source: str, known_keys: dict[str, list[str]]) -> UserError:
    """Turn pydantic's errors into one message: a line for each key.

    Parameters
    ----------
    error : pydantic.ValidationError
    source : str
        The file or section that the value came from.
    known_keys : dict of str to list of str
        Allowed keys by dotted path of the section ("" is the top level; ``*`` stands for any
        name), for unknown keys.
    """
    lines = []
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        key = ".".join(path)
        match problem["type"]:
            case "extra_forbidden":
                allowed = _allowed(path[:-1], known_keys)
                hint = f" Allowed: {', '.join(allowed)}." if allowed else ""
                lines.append(f"{key}: no such key.{closest(path[-1], allowed)}{hint}")
            case "missing":
                lines.append(f"{key}: is required and not given.")
            case _:
                message = problem["msg"].removeprefix("Value error, ")
                value = problem["input"]
                shown = "" if isinstance(value, dict) else f" (found: {value!r})"
                lines.append(f"{key}: {message}{shown}." if key else f"{message}.")
    return UserError(f"{source}:\n" + "\n".join(f"  {line}" for line in lines))


def _allowed(path: list[str], known_keys: dict[str, list[str]]) -> list[str]:
    for pattern, keys in known_keys.items():
        parts = pattern.split(".") if pattern else []
        if len(parts) == len(path) and all(a in ("*", b) for a, b in zip(parts, path, strict=True)):
            return keys
    return []
