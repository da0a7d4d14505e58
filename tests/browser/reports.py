"""Helpers that make and read reports, and the hostile names in them."""

from tests.conftest import reconcile

HOSTILE = "<img src=x onerror=document.title='owned'>"
CLOSING = "</script><script>document.title='owned'</script>"


def make_report(folder, model, out, run_id, *more):
    """Run `reconcile run`, and return the path of its report."""
    done = reconcile(
        "run", "--bucket", folder, "--model", model, "--out", out, "--run-id", run_id, "--max-unreadable", "1", *more
    )
    assert done.returncode == 0, done.stderr
    return out / "runs" / run_id / "report.html"


def table_rows(page, table):
    """Return the texts of the cells of each row of a table, by its id."""
    return [
        [cell.inner_text().strip() for cell in row.locator("th, td").all()]
        for row in page.locator(f"#{table} tbody tr").all()
    ]
