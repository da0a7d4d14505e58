"""The check that keeps the README and its sentences short."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.check_readme import MAX_SENTENCE_WORDS, MAX_WORDS, measure

ROOT = Path(__file__).parents[2]


def sentence(words):
    return " ".join(["Word", *["word"] * (words - 1)]) + "."


def test_measure_when_paragraph_wraps_returns_whole_sentences():
    measured = measure("One two\nthree. Four five!\n\nSix seven")
    assert measured.sentences == ["One two three.", "Four five!", "Six seven"]
    assert (measured.words, measured.longest) == (7, 3)
    assert measured.mean == pytest.approx(7 / 3)


def test_measure_when_sentence_starts_with_markup_splits_there():
    measured = measure("It runs. **reconcile** counts. `run` stops, e.g. `now`. (It does.) Done.")
    assert len(measured.sentences) == 5


def test_measure_when_text_holds_versions_keeps_one_sentence():
    assert measure("Python 3.11 or newer gives 43.8 % here.").lengths == [7]


def test_measure_when_code_is_fenced_ignores_it():
    measured = measure("Run this:\n\n```sh\nmake demo # a comment. Another one.\n```\n\nThen stop.\n<!-- a\nremark -->")
    assert measured.sentences == ["Run this:", "Then stop."]
    assert measured.words == 4


def test_measure_when_code_is_inline_counts_one_word():
    assert measure("Run `reconcile run --bucket my-bins` now.").words == 3


@pytest.mark.parametrize(
    "link",
    ["[the page](docs/a.md)", '[the page](docs/a.md "A title")', "[the page][1]", "[![the page](b.svg)](https://x/y)"],
)
def test_measure_when_link_has_target_counts_its_text(link):
    assert measure(f"See {link} now.\n\n[1]: https://example.com/a/long/address").words == 4


def test_measure_when_table_has_cells_counts_only_sentences():
    measured = measure("| a | two words |\n| --- | :-: |\n| `x \\| y` | This is one. This is two. |")
    assert measured.sentences == ["This is one.", "This is two."]
    assert measured.words == 10


def test_measure_when_list_has_items_keeps_them_apart():
    assert measure("# A title\nText\n- one two\n  three\n- four\n1. five").lengths == [1, 3, 1, 2]


def test_measure_when_quote_wraps_returns_whole_sentences():
    assert measure("> One two\n> three.\n>\n> Four.").sentences == ["One two three.", "Four."]


def test_measure_when_document_is_empty_returns_zeros():
    measured = measure("")
    assert (measured.words, measured.longest, measured.mean, measured.problems()) == (0, 0, 0, [])


def test_problems_when_limits_are_met_returns_none():
    measured = measure(" ".join([sentence(MAX_SENTENCE_WORDS)] * (MAX_WORDS // MAX_SENTENCE_WORDS)))
    assert measured.words == MAX_WORDS
    assert measured.problems() == []


def test_problems_when_limits_are_exceeded_names_each():
    measured = measure(" ".join([*[sentence(10)] * 90, sentence(MAX_SENTENCE_WORDS + 1)]))
    too_many, too_long = measured.problems()
    assert too_many == "931 words are more than 900"
    assert too_long.startswith("a sentence of 31 words is longer than 30: Word word")


@pytest.mark.parametrize(("words", "code"), [(30, 0), (31, 1)])
def test_command_when_sentence_is_too_long_exits_with_one(tmp_path, words, code):
    (tmp_path / "text.md").write_text(sentence(words))
    command = [sys.executable, ROOT / "tools" / "check_readme.py", tmp_path / "text.md"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == f"text.md: {words} words, longest sentence {words} words, mean sentence {words}.0 words\n"
