"""The options of the commands, which are declared once."""

import inspect
import re

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from reconcile.cli import options
from reconcile.cli.commands import app
from reconcile.config import Settings


def help_texts(command):
    """Return the help text of each option of a command, by the option's name."""
    return {parameter.name: parameter.help for parameter in get_command(app).commands[command].params}


def test_every_setting_is_an_option_of_run():
    assert set(options.OPTIONS) == set(Settings.model_fields)
    assert list(help_texts("run")) == list(options.OPTIONS)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_help_states_the_default_of_the_setting(name):
    default = Settings.model_fields[name].default
    stated = re.search(r"\(default: (.*)\)\.$", help_texts("run")[name])
    if name == "batch_size":  # it depends on the device
        assert stated[1] == "32, or 128 on a GPU"
    elif isinstance(default, float):
        assert stated[1] == f"{default:.0%}"
    elif default is None or default is False or default in ("", {}):
        assert stated is None or not re.fullmatch(r"[\d.]+%?", stated[1]) or name == "ray_gpus_per_actor"
    else:
        assert stated[1] == str(default)


def test_help_texts_are_short_sentences():
    for text in help_texts("run").values():
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
            assert len(sentence.split()) <= 25, sentence
        assert text.endswith(".")


def test_takes_adds_options_after_those_of_the_command():
    app = typer.Typer()
    received = {}

    @app.command()
    @options.takes("limit", "no_sign_request")
    def example(name: str, loud: bool = False, **flags):
        received.update(flags, name=name, loud=loud)

    assert list(inspect.signature(example).parameters) == ["name", "loud", "limit", "no_sign_request"]
    assert CliRunner().invoke(app, ["n", "--limit", "7"]).exit_code == 0
    assert received == {"name": "n", "loud": False, "limit": 7, "no_sign_request": None}


def test_takes_refuses_values_of_the_wrong_type():
    app = typer.Typer()
    app.command()(options.takes("limit")(lambda **flags: None))
    done = CliRunner().invoke(app, ["--limit", "few"])
    assert done.exit_code == 2
    assert "--limit" in done.stderr
