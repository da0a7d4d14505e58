"""Help as plain text, which takes half the time of typer's boxes because it does not load Rich.

Options stand under the headings of `options.py`, and each command under its first paragraph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from reconcile.cli.exits import USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class App(typer.Typer):
    """A group of commands with plain help.

    Args:
        settings: the settings of `typer.Typer`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=_Group,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings={"max_content_width": 120},
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds a command, as `typer.Typer.command` does."""
        return super().command(name, cls=_Command, **settings)


class _Command(TyperCommand):
    """A command that groups its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options."""
        _write_options(self.get_params(ctx), ctx, formatter)


class _Group(TyperGroup):
    """A group that lists its commands with the whole first paragraph of their help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print the help if no command is given.

        Raises:
            typer.Exit: no command is given.
        """
        if not args:
            print(self.get_help(ctx))
            raise typer.Exit(USAGE)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options and the commands."""
        _write_options(self.get_params(ctx), ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(command)) for name, command in self.commands.items()])


def _write_options(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
        record = parameter.get_help_record(ctx)
        if record is not None:
            panels.setdefault(parameter.rich_help_panel or kind, []).append(record)
    for panel, records in panels.items():
        with formatter.section(panel):
            formatter.write_dl(records)


def _summary(command: Any) -> str:
    first_paragraph = (command.help or "").partition("\n\n")[0]
    return " ".join(first_paragraph.split())
