"""The REST face: routes, models of what goes over the wire, and the error format."""
