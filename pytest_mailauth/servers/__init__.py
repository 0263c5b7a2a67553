"""Fake mail servers: decisions (policy), protocol machines (engines), sockets and TLS (wire), and their union."""
