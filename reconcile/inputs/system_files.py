"""Leave out the files that operating systems put into folders, because they are neither photos nor records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconcile.inputs.pages import Page


_FILES = r"\._[^/\n]*|\.ds_store|\.localized|\.directory|desktop\.ini|thumbs\.db|ehthumbs(_vista)?\.db"
_FOLDERS = r"__macosx|@eadir|\.trashes|\.spotlight-v100|\.fseventsd|\$recycle\.bin|system volume information"
_PATTERN = rf"(?im)(^|/)(({_FILES})$|({_FOLDERS})/)"
"""Matches the keys of such files, in Python and in RE2."""
_system_file = re.compile(_PATTERN)


def is_system_file(key: str) -> bool:
    """Return whether an operating system wrote the file, such as `Thumbs.db` or `._1.jpg`.

    Args:
        key: the key of an object, or the path of a file with slashes.
    """
    return _system_file.search(key) is not None


def without_system_files(pages: Iterable[Page]) -> Iterator[Page]:
    """Pass on pages of objects without the files of operating systems."""
    for page in pages:
        if not isinstance(page, list):
            yield page.filter(pc.invert(pc.match_substring_regex(page["key"], _PATTERN)))
        elif _system_file.search("\n".join(stored.key for stored in page)):  # once, because hardly any page has one
            yield [stored for stored in page if not is_system_file(stored.key)]
        else:
            yield page
