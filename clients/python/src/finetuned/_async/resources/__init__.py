"""Methods that only call a route, generated."""
