"""Let pages link to files of the repository that lie outside of docs/, with links that also work on GitHub.

A page links to such a file by its relative path, for example `../../models/MODEL_CARD.md`. GitHub resolves this link by
itself. For the site, this hook does two things:

1. It adds every linked file to the site under `project/`. A Markdown file becomes a page, any other text file a page
   that shows its text, and a folder a list of its files. Files that these pages link to are added, too.
2. It rewrites the links to these pages.

A link to a file that does not exist stays as it is, so `mkdocs build --strict` reports it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS, PROJECT = "docs/", "project/"
MAX_BYTES = 200_000
"""Larger files, such as model weights, are not added to the site."""
_LINK = re.compile(
    r"""(?P<start>\]\(<?|^\s{0,3}\[[^\]]+\]:\s+|\b(?:src|href)=")(?P<path>[^\s)>"#?]+)(?P<anchor>\#[^\s)>"]*)?""", re.M
)
_CODE = re.compile(r"^[ ]*(?P<fence>```+|~~~+)[^\n]*\n.*?^[ ]*(?P=fence)[ ]*$|`[^`\n]+`", re.M | re.S)


def on_config(config: MkDocsConfig) -> None:
    """Make the anchors of headings as GitHub makes them. So the same link works on GitHub and on the site."""
    from pymdownx.slugs import slugify

    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that the navigation or a page names."""
    waiting = [path.removeprefix(PROJECT) for path in _nav_paths(config.nav) if path.startswith(PROJECT)]
    for file in files.documentation_pages():
        waiting += linked_paths(file.content_string, DOCS + file.src_uri)
    added: set[str] = set()
    while waiting:
        path = waiting.pop()
        text = page_text(path)
        if path in added or text is None or _is_in_site(path):
            continue
        added.add(path)
        files.append(_file(site_path(path), text, config))
        waiting += linked_paths(text, path)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite links to files of the repository."""
    return rewrite(markdown, page.file.src_uri)


def rewrite(markdown: str, src_uri: str) -> str:
    """Return a page's text with its links pointing to where their targets are on the site.

    Args:
        markdown: the page's text.
        src_uri: path of the page on the site, such as `how-to/ray.md` or `project/models/MODEL_CARD.md`.
    """

    def new_link(link: re.Match[str]) -> str:
        target = _target(link["path"], _repository_path(src_uri))
        if target is None or not (ROOT / target).exists() or (not _is_in_site(target) and page_text(target) is None):
            return link[0]
        at = site_path(target)
        # A page of source code has no anchors such as #L10.
        anchor = link["anchor"] if link["anchor"] and target.endswith(".md") else ""
        return link["start"] + posixpath.relpath(at, posixpath.dirname(src_uri) or ".") + anchor

    return _outside_code(lambda text: _LINK.sub(new_link, text), markdown)


def linked_paths(markdown: str, path: str) -> list[str]:
    """Return the repository paths that a text links to.

    Args:
        markdown: the text.
        path: the repository path of the file that holds the text.
    """
    found: list[str] = []

    def remember(text: str) -> str:
        targets = [_target(link["path"], path) for link in _LINK.finditer(text)]
        found.extend(target for target in targets if target is not None)
        return text

    _outside_code(remember, markdown)
    return found


def site_path(path: str) -> str:
    """Return where a file of the repository is on the site, as the path of its source."""
    full = ROOT / path
    inside = path.removeprefix(DOCS) if path.startswith(DOCS) else PROJECT + path
    if full.is_dir():
        return f"{inside}/index.md"
    return inside if path.endswith(".md") or _is_in_site(path) else f"{inside}.md"


def page_text(path: str) -> str | None:
    """Return the Markdown of the page for a file or folder; None if the file cannot be shown."""
    full = ROOT / path
    if full.is_dir():
        names = [child.name for child in sorted(full.iterdir()) if not child.name.startswith((".", "_"))]
        # Links would add every file of the folder to the site. Files in docs/ are there anyway.
        entry = "- [{0}]({0})" if path.startswith(DOCS) else "- `{0}`"
        return "\n".join([f"# {path}/", "", *map(entry.format, names)])
    if not full.is_file() or full.stat().st_size > MAX_BYTES:
        return None
    try:
        text = full.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    if path.endswith(".md"):
        return text
    language = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".sql": "sql"}.get(full.suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n````{language}\n{text.rstrip()}\n````\n"


def _is_in_site(path: str) -> bool:
    """Return whether mkdocs has the file anyway."""
    return path.startswith(DOCS) and (ROOT / path).is_file()


def _target(link: str, path: str) -> str | None:
    """Return the repository path that a link in the file `path` points to; None for web addresses and the like."""
    if re.match(r"[a-zA-Z][\w+.-]*:|/", link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(link)))
    return None if target.startswith("..") or target == "." else target


def _repository_path(src_uri: str) -> str:
    return src_uri.removeprefix(PROJECT) if src_uri.startswith(PROJECT) else DOCS + src_uri


def _outside_code(change: Callable[[str], str], markdown: str) -> str:
    """Apply a function to what is not in a code block or code span."""
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(markdown):
        parts += [change(markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(markdown[end:])])


def _nav_paths(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for inside in nav.values():
            yield from _nav_paths(inside)
    elif isinstance(nav, list):
        for inside in nav:
            yield from _nav_paths(inside)


def _file(src_uri: str, text: str, config: MkDocsConfig) -> File:
    from mkdocs.structure.files import File, InclusionLevel

    return File.generated(config, src_uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV)
