# SPDX-License-Identifier: MIT
"""What every part of the config shares: closed models, names, and errors in the user's words."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

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


def check_unique(names: list[str]) -> list[str]:
    """Return `names` if each is listed once."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is listed twice; list each name once")
    return names


def closest(name: str, allowed: Sequence[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the allowed name nearest to `name`, or nothing."""
    lowered = {item.lower(): item for item in allowed}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f" (did you mean {lowered[found[0]]!r}?)" if found else ""


def unknown(
    key: str, names: Sequence[str], known: Collection[str], where: str | None = None
) -> list[str]:
    """Return a line for each name that is not known.

    Parameters
    ----------
    key : str
        Where the names stand.
    names : sequence of str
    known : collection of str
    where : str, optional
        What they are to be in; told by the key if left out.
    """
    where = where or {"scenarios": "scenarios", "classifiers": "classifiers"}.get(
        key.rsplit(".", 1)[-1], "generators" if key.endswith("generator") else "treatments"
    )
    return [
        f"{key}: '{name}' is not in {where}{closest(name, list(known))}; known: {', '.join(known)}"
        for name in names
        if name not in known
    ]


Location = tuple[int | str, ...]


def explain(
    error: ValidationError,
    origin: str,
    keys_at: Callable[[Location], Sequence[str]],
    pattern_fix: Mapping[str, str] | None = None,
) -> UserError:
    """Turn pydantic's errors into one message, a line for each: key, found, allowed, fix.

    Parameters
    ----------
    error : pydantic.ValidationError
    origin : str
        The file that the values came from; every line begins with it.
    keys_at : callable
        Maps the place of an unknown key to the keys allowed there.
    pattern_fix : mapping of str to str, optional
        What to write where a pattern did not match.
    """
    lines = [
        line for problem in error.errors() for line in _explain(problem, keys_at, pattern_fix or {})
    ]
    return UserError("\n".join(f"{origin}: {line}" for line in dict.fromkeys(lines)))


def _explain(
    error: ErrorDetails,
    keys_at: Callable[[Location], Sequence[str]],
    pattern_fix: Mapping[str, str],
) -> list[str]:
    location = error["loc"]
    if location[:2] == ("target", "threshold"):
        location = location[:2]  # pydantic adds the member of the union that it tried
    key = "".join(f"[{part}]" if type(part) is int else f".{part}" for part in location)
    key = key.removeprefix(".")
    found = error["input"]
    shown = repr(found) if isinstance(found, str | int | float | bool) else type(found).__name__
    if location[-1:] == ("url",):
        shown = "an address"  # it may hold a password
    match error["type"]:
        case "missing":
            return [f"{key}: missing; add it"]
        case "extra_forbidden":
            allowed = keys_at(location)
            hint = closest(str(location[-1]), allowed)
            return [f"{key}: unknown key{hint}; allowed: {', '.join(allowed)}. Remove or rename it"]
        case "value_error":
            message = str(error["ctx"]["error"])
            if not location:
                return message.splitlines()
            return [f"{key}: {'found ' + shown + '; ' if shown != 'dict' else ''}{message}"]
        case "string_pattern_mismatch":
            return [f"{key}: found {shown}; {pattern_fix.get(error['ctx']['pattern'], '')}"]
        case "string_type":
            return [f"{key}: found {shown}, which YAML does not read as text; put it in quotes"]
        case _:
            message = f"{error['msg'][0].lower()}{error['msg'][1:]}"
            return [f"{key + ': ' if key else ''}found {shown}; {message}; correct it"]
