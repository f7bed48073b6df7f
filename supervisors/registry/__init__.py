"""Names: registries, and process groups."""
