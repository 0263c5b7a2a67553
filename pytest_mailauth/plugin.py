"""The pytest plugin: hooks and fixtures, no logic. Nothing heavy is imported before a fixture is used."""
