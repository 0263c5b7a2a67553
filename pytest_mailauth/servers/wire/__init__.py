"""Everything that owns a socket, and the TLS between the socket and an engine."""
