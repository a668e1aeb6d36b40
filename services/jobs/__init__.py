"""Takes long work on, has Airflow carry it out, and shows how far it has come."""
