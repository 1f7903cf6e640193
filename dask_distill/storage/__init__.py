"""Targets that are there whole or not at all: a zarr group, a folder of parquet files."""
