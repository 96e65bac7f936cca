"""People and phones: sessions, routes, the stream of what is new, the pages."""
