"""/api/v1 as the facade shows it: the services' own contracts as JSON over HTTP, by tables."""
