"""PostgreSQL, the object store, MLflow and the registry on one machine: how each is made ready and
started, where the user has not named one of their own.
"""
