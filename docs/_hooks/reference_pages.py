"""Fill the reference pages from the code. So every option is described once.

A page holds a marker such as `<!-- generated: commands -->`. `mkdocs build` replaces the marker with tables made from
the command line (`typer.main.get_command`) and from `reconcile.config.Settings`. Nothing generated is committed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_command

from reconcile.cli.commands import app
from reconcile.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKER = re.compile(r"<!-- generated: (\w+) -->")
_DEFAULT = re.compile(r"\s*\(default: (?P<default>[^()]*(?:\([^()]*\)[^()]*)*)\)")
_EXTRAS = re.compile(r"\s*\[(?P<extras>[^\[\]]*)\]$")
_SCHEMA = Settings.model_json_schema()["properties"]


@dataclass(frozen=True)
class Option:
    """One option or argument of a command, as `--help` shows it."""

    name: str
    flags: str
    panel: str
    type: str
    default: str
    variables: tuple[str, ...]
    meaning: str
    is_required: bool


@dataclass(frozen=True)
class Command:
    """One command with everything that `--help` shows about it."""

    path: str
    usage: str
    text: str
    epilog: str
    options: tuple[Option, ...]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page. mkdocs calls this hook for each page."""
    makers = {"commands": commands_markdown, "settings": settings_markdown}
    return _MARKER.sub(lambda marker: makers[marker[1]](), markdown)


def commands_markdown() -> str:
    """Return the reference of all commands as Markdown."""
    return "\n\n".join(_command_markdown(command) for command in commands())


def settings_markdown() -> str:
    """Return the table of all settings as Markdown, in the order and panels of `reconcile run --help`."""
    options = _run_options()
    listed = sorted(_SCHEMA, key=lambda name: list(options).index(name) if name in options else len(options))
    parts: list[str] = []
    panel = None
    for name in listed:
        option = options.get(name)
        here = option.panel if option else "Other settings"
        if here != panel:
            panel = here
            parts.append(f"\n## {panel}\n\n| setting | type | default | meaning |\n| --- | --- | --- | --- |")
        flag = option.flags if option else f"--{name.replace('_', '-')}"
        names = f"`{name}`{{ #{name} }}<br>`{flag}`<br>`RECONCILE_{name.upper()}`"
        default = option.default if option and option.default else setting_default(name)
        cells = (setting_type(name), _escaped(default or "none"), _escaped(option.meaning if option else ""))
        parts.append(_row(names, *cells))
    return "\n".join(parts).strip()


def commands() -> Iterator[Command]:
    """Yield every command of `reconcile`, in the order of `reconcile --help`."""
    root = get_command(app)
    yield from _commands(root, typer.Context(root, info_name="reconcile"))


def _commands(command: Any, context: typer.Context) -> Iterator[Command]:
    if command.hidden:
        return
    yield Command(
        path=context.command_path,
        usage=" ".join(command.get_usage(context).removeprefix("Usage: ").split()),
        text=command.help or "",
        epilog=command.epilog or "",
        options=tuple(_options(command, context)),
    )
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, typer.Context(child, info_name=name, parent=context))


def _options(command: Any, context: typer.Context) -> Iterator[Option]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None:  # hidden
            continue
        option = _parsed(parameter, *record)
        if _setting_texts().get(option.name) == option.meaning:
            option = replace(
                option,
                type=setting_type(option.name),
                default=option.default or setting_default(option.name),
                variables=(f"RECONCILE_{option.name.upper()}", *option.variables),
            )
        yield option


@cache
def _setting_texts() -> dict[str, str]:
    """Return the help text of each setting.

    An option is a setting if it has the name and the text of a setting. For example, `--out` of `evaluate` has only the
    name of one.
    """
    run = get_command(app).commands["run"]  # type: ignore[attr-defined]
    context = typer.Context(run, info_name="run")
    parsed = [_parsed(parameter, *parameter.get_help_record(context)) for parameter in run.params]
    return {option.name: option.meaning for option in parsed if option.name in _SCHEMA}


def _parsed(parameter: Any, names: str, text: str) -> Option:
    """Split what `--help` prints of a parameter: `--port <int>`, `Port (default: 8080).  [0<=x<=65535]`."""
    extras_found = _EXTRAS.search(text)
    extras = extras_found["extras"].split("; ") if extras_found else []
    text = _EXTRAS.sub("", text)
    stated = _DEFAULT.search(text)
    text = _DEFAULT.sub("", text)
    named = dict(extra.split(": ", 1) for extra in extras if ": " in extra)
    limits = [extra for extra in extras if ": " not in extra and extra != "required"]
    flags, _, kind = names.partition(" <")
    kind = kind.removesuffix(">").removesuffix(" range")
    words = {"str": "text", "int": "whole number", "float": "number", "dir": "folder", "": "switch", "bool": "switch"}
    choices = kind.split("|")
    kind = _one_of(choices) if len(choices) > 1 else words.get(kind, kind)
    return Option(
        name=parameter.name,
        flags=flags,
        panel=parameter.rich_help_panel or ("Arguments" if parameter.param_type_name == "argument" else "Options"),
        type=", ".join([kind, *(_limit(limit) for limit in limits)]),
        default=named.get("default", stated["default"] if stated else ""),
        variables=tuple(named["env var"].split(", ")) if "env var" in named else (),
        meaning=text,
        is_required=parameter.required,
    )


def _run_options() -> dict[str, Option]:
    [run] = [command for command in commands() if command.path == "reconcile run"]
    return {option.name: option for option in run.options}


def setting_type(name: str) -> str:
    """Return the type of a setting in words."""
    schema = _SCHEMA[name]
    schema = next((choice for choice in schema.get("anyOf", []) if choice["type"] != "null"), schema)
    if "enum" in schema:
        return _one_of(schema["enum"])
    if schema.get("description") == "0 to 1":
        return "share, such as `5%` or `0.05`"
    if schema["type"] == "object":
        return "pairs `NAME=COLUMN`, separated by commas"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "switch"}
    kind = "path" if schema.get("format") == "path" else words[schema["type"]]
    bounds = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "below"}
    return ", ".join([kind, *(f"{word} {schema[bound]:,}" for bound, word in bounds.items() if bound in schema)])


def setting_default(name: str) -> str:
    """Return the default of a setting in words; empty if it has none."""
    default = Settings.model_fields[name].default
    if default in (None, "", {}):
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:.0%}" if setting_type(name).startswith("share") else str(default)


def _command_markdown(command: Command) -> str:
    parts = [f"## {command.path}", _escaped(command.text), f"```text\n{command.usage}\n```"]
    for panel in dict.fromkeys(option.panel for option in command.options):
        rows = [_option_row(option) for option in command.options if option.panel == panel]
        heading = f"**{panel}**" if panel not in ("Options", "Arguments") else ""
        parts += [heading, "\n".join(["| option | type | default | meaning |", "| --- | --- | --- | --- |", *rows])]
    parts.append(_escaped(command.epilog))
    return "\n\n".join(part for part in parts if part)


def _option_row(option: Option) -> str:
    names = "<br>".join(f"`{name}`" for name in (option.flags, *option.variables))
    default = "**required**" if option.is_required else _escaped(option.default or "none")
    return _row(names, option.type, default, _escaped(option.meaning))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Return text whose `<`, `*`, `_`, `[` and backslashes Markdown shows as they are; code spans stay code."""

    def escape(plain: str) -> str:
        return re.sub(r"([\\*_\[])", r"\\\1", plain).replace("&", "&amp;").replace("<", "&lt;")

    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if at % 2 else escape(piece) for at, piece in enumerate(pieces))


def _one_of(choices: list[str]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices[:-1]) + f" or `{choices[-1]}`"


def _limit(text: str) -> str:
    """Return `0<=x<=65535` as `0 to 65535`, and `x>=1` as `at least 1`."""
    both = re.fullmatch(r"(\d+)<=x<=(\d+)", text)
    least = re.fullmatch(r"x>=(\d+)", text)
    return f"{both[1]} to {both[2]}" if both else f"at least {least[1]}" if least else text
