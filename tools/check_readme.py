"""Check that README.md is short and that its sentences are short.

    python tools/check_readme.py [FILE]

Prints the number of words, the length of the longest sentence and the mean length. Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_WORDS = 900
MAX_SENTENCE_WORDS = 30

_FENCE = re.compile(r"\s*(```|~~~)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\](?:\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\]]*\])")
_LINK_DEFINITION = re.compile(r"\s*\[[^\]]+\]:\s")
_ADDRESS = re.compile(r"<?https?://[^\s>]+>?")
_CODE = re.compile(r"`+[^`]*`+")
_QUOTE_MARK = re.compile(r"^\s*(?:>\s?)+")
_NEW_BLOCK = re.compile(r"\s*(?:[-*+]\s|\d+[.)]\s|#+\s)")
_TABLE_RULE = re.compile(r"\s*\|?[\s:|-]+\|?\s*")
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)[*_)\"”]*\s+(?=[A-Z0-9*_(\"“`])")
_WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True)
class Readability:
    """The words and the sentences of a Markdown document."""

    words: int
    sentences: list[str]

    @property
    def lengths(self) -> list[int]:
        """Return the number of words of each sentence."""
        return [_count_words(sentence) for sentence in self.sentences]

    @property
    def longest(self) -> int:
        """Return the number of words of the longest sentence, or 0."""
        return max(self.lengths, default=0)

    @property
    def mean(self) -> float:
        """Return the mean number of words of a sentence, or 0."""
        return sum(self.lengths) / len(self.lengths) if self.lengths else 0.0

    def problems(self) -> list[str]:
        """Return one line for each exceeded limit."""
        lines = []
        if self.words > MAX_WORDS:
            lines.append(f"{self.words} words are more than {MAX_WORDS}")
        for sentence, length in zip(self.sentences, self.lengths, strict=True):
            if length > MAX_SENTENCE_WORDS:
                lines.append(f"a sentence of {length} words is longer than {MAX_SENTENCE_WORDS}: {sentence}")
        return lines


def measure(markdown: str) -> Readability:
    """Measure a Markdown document.

    Fenced code blocks, comments and link targets do not count. Inline code counts as one word. The words of headings
    and table cells count, but a heading or a cell is a sentence only if it ends with a full stop.
    """
    words, sentences = 0, []
    for block in _blocks(markdown):
        words += _count_words(block.text)
        if block.is_prose or block.text.rstrip('*_`)"”').endswith((".", "!", "?")):
            sentences += [part.strip() for part in _SENTENCE_END.split(block.text) if _count_words(part)]
    return Readability(words, sentences)


@dataclass(frozen=True)
class _Block:
    """A paragraph, a list item, a heading or a table cell."""

    text: str
    is_prose: bool


def _blocks(markdown: str) -> list[_Block]:
    """Split a document into blocks of text without markup."""
    blocks: list[_Block] = []
    paragraph: list[str] = []

    def end_paragraph() -> None:
        if paragraph:
            text = " ".join(paragraph)
            blocks.append(_Block(text, is_prose=not text.startswith("#")))
            paragraph.clear()

    in_code = False
    for quoted_line in _without_targets(_COMMENT.sub("", markdown)).splitlines():
        line = _QUOTE_MARK.sub("", quoted_line)
        if _FENCE.match(line):
            in_code = not in_code
            end_paragraph()
        elif in_code:
            continue
        elif not line.strip():
            end_paragraph()
        elif line.lstrip().startswith("|"):
            end_paragraph()
            if not _TABLE_RULE.fullmatch(line):
                blocks += [_Block(cell.strip(), is_prose=False) for cell in _CELL_BORDER.split(line) if cell.strip()]
        else:
            if _NEW_BLOCK.match(line) or (paragraph and paragraph[0].startswith("#")):
                end_paragraph()
            paragraph.append(line.strip())
    end_paragraph()
    return blocks


def _without_targets(markdown: str) -> str:
    """Replace links by their text, and remove link definitions and the addresses that stand alone."""
    lines = (line for line in markdown.splitlines() if not _LINK_DEFINITION.match(line))
    text = "\n".join(lines)
    for _ in range(2):  # a badge is an image inside a link
        text = _LINK.sub(r"\1", text)
    return text


def _count_words(text: str) -> int:
    """Count the words of a text. Inline code is one word, and so is an address."""
    return len(_WORD.findall(_ADDRESS.sub("address", _CODE.sub("code", text))))


def main(arguments: list[str]) -> int:
    """Print the figures of a file and return the exit code."""
    path = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[1] / "README.md"
    found = measure(path.read_text(encoding="utf-8"))
    print(
        f"{path.name}: {found.words} words, longest sentence {found.longest} words, "
        f"mean sentence {found.mean:.1f} words"
    )
    problems = found.problems()
    for problem in problems:
        print(f"{path.name}: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
