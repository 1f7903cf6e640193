"""Columns of tables as numbers: how each is read, and the encoding; knows Arrow, and no files."""
