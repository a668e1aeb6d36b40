"""One bucket of any S3 server, for the services that keep files."""
