"""What training on a subset costs, and how accuracy goes with size."""
