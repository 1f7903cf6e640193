"""The cheap models that judge rows, and the user's own."""
