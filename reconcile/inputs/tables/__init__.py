"""Table files of any format as rows of named cells: CSV, workbooks, Parquet and JSON Lines."""
