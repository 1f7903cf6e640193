"""k-center in two rounds, taken apart; knows nothing of what is done with the rows."""
