"""What a selection gives: plain data, what is remembered of it, and its two stored forms."""
