"""The options of the user for reading a table of records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconcile.config import Settings
    from reconcile.setting_types import Aggregate, DecimalMark


@dataclass(frozen=True)
class TableOptions:
    """The options for reading a table of records."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our column names mapped to those of the file, for names that differ. With `changed_at`, that column is read, too.
    With `product_id` or `product_name`, each record gets its product as an item."""
    aggregate: Aggregate | None = None
    """The treatment of several rows of a bin. None refuses the table."""
    decimal: DecimalMark | None = None
    """The decimal mark of the quantities. None takes it from the table."""

    @classmethod
    def from_settings(cls, settings: Settings) -> TableOptions:
        """Return the options that the settings of a run name."""
        return cls(settings.columns_of_table, settings.records_aggregate, settings.records_decimal)

    @property
    def has_products(self) -> bool:
        """Return whether records of this table may have items."""
        return self.aggregate == "sum" or "product_id" in self.columns or "product_name" in self.columns
