"""The three layers, rebuilt from the log: resources, items and categories in DuckDB and LanceDB."""
