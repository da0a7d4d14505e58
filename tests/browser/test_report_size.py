"""The size of the report file."""

import json

import pandas as pd

from tests.browser.reports import make_report
from tests.conftest import SHARED, needs_abid, write_bucket


def test_huge_record_keeps_the_report_below_one_megabyte(grey_model, tmp_path):
    folder = write_bucket(tmp_path / "w", {"a": (1, 5), "b": (2, 2)})
    items = {f"x{n}": {"asin": "A" * 100_000 + str(n), "name": "n" * 300_000, "quantity": 1} for n in range(5)}
    (folder / "metadata" / "a.json").write_text(json.dumps({"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": 5}))
    assert make_report(folder, grey_model, tmp_path / "out", "r").stat().st_size < 1_000_000


def test_size_is_independent_of_the_number_of_bins(grey_model, tmp_path):
    sizes = []
    for number in (30, 300):
        folder = write_bucket(tmp_path / f"w{number}", {f"{n:05d}": (n % 7, (n * 5) % 7) for n in range(number)})
        sizes.append(make_report(folder, grey_model, tmp_path / f"o{number}", "r", "--capacity", "20").stat().st_size)
    assert sizes[1] < 1.02 * sizes[0]


@needs_abid
def test_report_with_real_photos_stays_within_size_limits(grey_model, tmp_path):
    for capacity, megabytes in ((100, 4), (500, 10)):
        path = make_report(SHARED / "night", grey_model, tmp_path / "out", f"c{capacity}", "--capacity", capacity)
        assert path.stat().st_size <= megabytes * 1e6
        assert len(pd.read_csv(path.parent / "recount.csv")) == capacity
