"""Which port and which TLS mode a client should choose: the documented table, the laws behind it, and their checker."""
