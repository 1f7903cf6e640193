"""What strategies are put together from; no part knows a strategy."""
