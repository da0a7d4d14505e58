"""Helpers that read and use the recount queue of an open report."""

import re

from playwright.sync_api import expect

# bin id: (items in the photo, items on record)
BINS = {f"B-{n:03d}": (n % 7, (n * 3 + n // 7) % 7) for n in range(58)}
BINS |= {"=1+1": (1, 5), "00012": (2, 6), "C-9": (3, 4), "C-10": (5, 1)}


def column_texts(page, index):
    """Return the first line of each cell of a column, from top to bottom."""
    rows = page.locator("#queue-table tbody tr").all()
    return [row.locator("th, td").nth(index).inner_text().strip().split("\n")[0] for row in rows]


def bin_row(page, bin_id):
    """Return the row of a bin."""
    return page.locator("#queue-table tbody tr", has=page.locator(f"text='{bin_id}'"))


def show_all_bins(page):
    """Show all bins on one page."""
    page.get_by_label("Bins per page").select_option("All")


def sort_by(page, title):
    """Click on the head of a column, and wait until the head says that the rows are sorted."""
    head = page.locator("#queue-table thead th", has_text=title).first
    head.click()
    expect(head).to_have_attribute("aria-sort", re.compile("ascending|descending"))
