"""The two calls of /api/v1 that are streams: a job's events, and a dataset's bytes."""
