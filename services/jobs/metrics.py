"""What the jobs service measures of itself, beside what every server does."""

from prometheus_client import Counter, Gauge

JOBS = Gauge("parley_jobs", "Jobs, by where they stand.", ["state"])
REPORTS = Counter("parley_job_reports_total", "Reports of tasks' processes.", ["answer"])
WATCHERS = Gauge("parley_job_watchers", "Streams that follow a job.")
AIRFLOW_UP = Gauge("parley_airflow_up", "Whether Airflow answered when it was last asked.")
