"""From a request to the rows: one stage a file."""
