"""The source as blocks, and the first pass over them."""
