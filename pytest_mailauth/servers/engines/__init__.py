"""Protocol machines without I/O. An engine takes bytes and returns outputs; it has no socket, clock or thread."""
