"""What training on a subset costs: rows that trainings are drawn from, trials, figures, words."""
