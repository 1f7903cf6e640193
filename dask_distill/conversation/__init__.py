"""Questions and answers between a coordinator and blocks, and the journal of what was said."""
