"""Where rows are compared: reductions, time, and how blocks get there."""
