"""Jobs processes on a real PostgreSQL, beside a small Airflow, MLflow and registry."""

from tests.contract.jobs.conftest import around, database_uri, folder, postgres

__all__ = ["around", "database_uri", "folder", "postgres"]
