"""One module per subject of the HTTP API; each has a `router` that `api.app` puts under /api/v1."""
