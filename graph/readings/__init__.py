"""The files of a site's history: a write-ahead log, Parquet segments with roll-ups, and what reads them."""
