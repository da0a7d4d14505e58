"""The documentation: generated pages are complete, every page is in the navigation, tables name what exists."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.main import get_command

from reconcile.cli.commands import app
from reconcile.config import Settings
from reconcile.output import schemas

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def hook(name):
    """Return a hook of mkdocs as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_hooks" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return hook("reference_pages")


@pytest.fixture(scope="module")
def repository():
    return hook("repository_files")


def parameters(command, path="reconcile"):
    """Yield the name of every command with each of its parameters; a command without any has None."""
    for parameter in command.params or [None]:
        yield path, parameter
    for name, child in getattr(command, "commands", {}).items():
        yield from parameters(child, f"{path} {name}")


def test_commands_page_has_every_command_and_option(reference):
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", reference.on_page_markdown(page), flags=re.M)[1:]
    texts = {section.splitlines()[0]: section for section in sections}
    expected = [(path, parameter) for path, parameter in parameters(get_command(app))]
    assert list(texts) == list(dict.fromkeys(path for path, _ in expected))
    for path, parameter in expected:
        if parameter is None or parameter.hidden:
            continue
        if parameter.param_type_name == "argument":
            assert f"| `{parameter.metavar or parameter.name}` |" in texts[path]
        else:
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert re.search(rf"`(\S+ / )?{option}( / \S+)?`", texts[path]), (path, option)


def test_commands_page_has_what_help_says_of_an_option(reference):
    text = reference.commands_markdown()
    run = get_command(app).commands["run"]
    helps = {parameter.name: parameter.get_help_record(typer.Context(run))[1] for parameter in run.params}
    assert re.search(r"\| `--capacity`<br>`RECONCILE_CAPACITY` \| whole number, at least 1, .+? \| 100 \| \w", text)
    assert re.search(r"\| `--port`<br>`SAGEMAKER_BIND_TO_PORT` \| whole number, 0 to 65535 \| 8080 \| \w", text)
    assert re.search(r"\| `--precision` \| `int8`, `fp16` or `fp32` \| int8 \| \w", text)
    assert re.search(r"\| `--to` \| path \| \*\*required\*\* \| \w", text)
    meaning, _, default = helps["region"].partition(" (default: ")
    assert f" | {meaning}. |" in text or f" | {meaning} |" in text
    assert not default or f" | text | {default.partition(')')[0].replace('_', chr(92) + '_')} | " in text


def test_options_named_like_a_setting_have_no_variable(reference):
    [evaluate] = [command for command in reference.commands() if command.path == "reconcile evaluate"]
    variables = {option.name: option.variables for option in evaluate.options}
    assert variables["out"] == ()
    assert variables["device"] == ("RECONCILE_DEVICE",)


def test_settings_page_has_every_setting(reference):
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    text = reference.on_page_markdown(page)
    names = re.findall(r"^\| `(\w+)`\{ #\1 \}<br>`--([\w-]+)`<br>`RECONCILE_(\w+)` \|", text, re.M)
    assert {name for name, _, _ in names} == set(Settings.model_fields)
    assert len(names) == len(Settings.model_fields)
    for name, flag, variable in names:
        assert (flag, variable) == (name.replace("_", "-"), name.upper())


def nav_paths(nav):
    if isinstance(nav, str):
        return [nav]
    inside = nav.values() if isinstance(nav, dict) else nav
    return [path for entry in inside for path in nav_paths(entry)]


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert pages - set(nav_paths(config["nav"])) == set()


@pytest.mark.parametrize("name", ["tutorial/first-night.md", "inventory-lead.md"])
def test_labels_that_pages_quote_are_in_the_report(name):
    """These pages set the report's own words in italics."""
    quoted = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", (DOCS / name).read_text(encoding="utf-8"))
    sources = [*(ROOT / "reports").rglob("*.j2"), *(ROOT / "reconcile").rglob("*.py")]
    report = " ".join(path.read_text(encoding="utf-8").lower() for path in sources)
    assert len(quoted) >= 5
    assert [label for label in quoted if " ".join(label.lower().split()) not in report] == []


def test_tables_of_parquet_parts_name_every_column():
    text = (DOCS / "reference" / "files-and-columns.md").read_text(encoding="utf-8")
    tables = {"counts": schemas.COUNTS_SCHEMA, "records": schemas.RECORDS_SCHEMA, "verdicts": schemas.VERDICTS_SCHEMA}
    for name, schema in tables.items():
        section = text.split(f"\n### {name}\n")[1].split("\n#")[0]
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert {column for cell in cells for column in re.findall("`(.+?)`", cell)} == set(schema.names)


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("how-to/ray.md", "../../models/MODEL_CARD.md#accuracy", "../project/models/MODEL_CARD.md#accuracy"),
        ("how-to/ray.md", "../ray/kuberay.yaml", "../ray/kuberay.yaml"),
        ("how-to/ray.md", "../ray/", "../ray/index.md"),
        ("how-to/ray.md", "../../pyproject.toml", "../project/pyproject.toml.md"),
        ("how-to/ray.md", "../../no-such-file.md", "../../no-such-file.md"),
        ("how-to/ray.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("index.md", "../README.md", "project/README.md"),
        ("project/models/MODEL_CARD.md", "../docs/index.md", "../../index.md"),
        ("project/models/MODEL_CARD.md", "recipe.toml", "recipe.toml.md"),
    ],
)
def test_links_to_repository_files_lead_into_the_site(repository, page, link, expected):
    assert repository.rewrite(f"see [the page]({link}).", page) == f"see [the page]({expected})."


def test_links_in_code_stay_as_they_are(repository):
    code = "```md\n[a](../../README.md)\n```\nand `[a](../../README.md)`"
    assert repository.rewrite(code, "how-to/ray.md") == code
    assert repository.rewrite("[`a`](../../README.md)", "how-to/ray.md") == "[`a`](../project/README.md)"
