"""Clients under test: what they are given, what they declare, and how each kind is run."""
