"""The form of the DataTables bundle from itables, which the report embeds."""

import pytest

from reconcile.errors import ReconcileError
from reconcile.reporting import datatables
from reconcile.reporting.datatables import data_table_css, data_table_module


def test_bundle_defines_one_name_and_exports_nothing():
    module = data_table_module()
    assert module.count("const DataTable = ") == 1
    assert "export{" not in module
    assert "dt-container" in data_table_css()


def test_bundle_of_another_form_raises_an_error(monkeypatch):
    monkeypatch.setattr(datatables, "_bundled", lambda _: "export{a as b};")
    with pytest.raises(ReconcileError, match="itables"):
        data_table_module()
