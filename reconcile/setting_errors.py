"""What is wrong with a setting, in words: pydantic finds it, and says it for programmers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no setting",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
    "list_type": "expected a list",
    "dict_type": "expected names with values",
    "finite_number": "expected a finite number",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected {le} or less",
    "too_short": "expected {min_length} or more of them",
    "model_type": "expected settings, each with a name",
    "literal_error": "expected {expected}",
}
_NOTHING_GIVEN = {"missing", "extra_forbidden"}


def describe_problem(problem: ErrorDetails) -> str:
    """What was expected, and what was there instead; the caller says of which setting.

    Args:
        problem: one of `ValidationError.errors()`.
    """
    kind, given = problem["type"], problem["input"]
    if kind == "list_type" and isinstance(given, dict):
        return f"expected a list: write [[{problem['loc'][-1]}]], with two brackets"
    words = _WORDS.get(kind)
    if words is None:
        said = problem["msg"].removeprefix("Value error, ")
    else:
        said = words.format_map({name: _limit(value) for name, value in problem.get("ctx", {}).items()})
    is_shown = kind not in _NOTHING_GIVEN and isinstance(given, str | int | float) and not _may_be_secret(given)
    return f"{said} (got {str(given).lower() if isinstance(given, bool) else repr(given)})" if is_shown else said


def _limit(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value).replace("'", "")


def _may_be_secret(given: object) -> bool:
    """An address may hold one: a password, or the signature of a presigned one."""
    return "//" in str(given) or "@" in str(given)
