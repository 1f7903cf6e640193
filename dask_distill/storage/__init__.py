"""A zarr group that is there whole or not at all; knows arrays and attributes alone."""
