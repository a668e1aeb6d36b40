"""Tells MLflow and W&B of a run, without ever holding it up."""
