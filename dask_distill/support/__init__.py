"""Text, tables, HTML, small files, digests, drawings: what knows nothing of data sets."""
