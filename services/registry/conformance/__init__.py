"""Which of the S3 calls a server answers as S3 does: `python -m services.registry.conformance`."""
