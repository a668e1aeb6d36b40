"""Knows every model and version: evidence, promotion, traffic, lineage; over MLflow and S3."""
