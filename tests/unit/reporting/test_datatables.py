"""The DataTables bundle that itables ships is of the form that the report builds on."""

import pytest

from reconcile.errors import ReconcileError
from reconcile.reporting import datatables
from reconcile.reporting.datatables import data_table_css, data_table_module


def test_the_bundle_binds_one_name_and_exports_nothing():
    module = data_table_module()
    assert module.count("const DataTable = ") == 1
    assert "export{" not in module
    assert "dt-container" in data_table_css()


def test_another_form_of_bundle_is_refused(monkeypatch):
    monkeypatch.setattr(datatables, "_bundled", lambda _: "export{a as b};")
    with pytest.raises(ReconcileError, match="itables"):
        data_table_module()
