"""Readable messages for pydantic validation errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.urls import may_hold_secret

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
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
_WITHOUT_VALUE = {"missing", "extra_forbidden"}


def describe_problem(problem: ErrorDetails) -> str:
    """Return what was expected of a setting and what the value was, without the name of the setting.

    A value that may hold a secret is not repeated.

    Args:
        problem: one of `ValidationError.errors()`.
    """
    kind, value = problem["type"], problem["input"]
    if kind == "list_type" and isinstance(value, dict):
        return f"expected a list: write [[{problem['loc'][-1]}]], with two brackets"
    template = _MESSAGES.get(kind)
    if template is None:
        message = problem["msg"].removeprefix("Value error, ")
    else:
        message = template.format_map({name: _format_limit(limit) for name, limit in problem.get("ctx", {}).items()})
    is_shown = kind not in _WITHOUT_VALUE and isinstance(value, str | int | float) and not _may_hold_secret(value)
    return f"{message} (got {str(value).lower() if isinstance(value, bool) else repr(value)})" if is_shown else message


def _format_limit(limit: object) -> str:
    return f"{limit:,.10g}" if isinstance(limit, int | float) else str(limit).replace("'", "")


def _may_hold_secret(value: object) -> bool:
    """Return whether a value may hold a password or the signature of a presigned address. Rather too often than not."""
    return "//" in str(value) or "@" in str(value) or may_hold_secret(str(value))
