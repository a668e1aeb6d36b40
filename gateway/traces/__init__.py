"""One span for each generation, for MLflow: what was asked, what answered, and what it took."""
