"""Where a run takes place: a cluster that is started, or one that is there."""
