"""From facts to verdicts: scenarios set up a trial, clients run in it, rules read what was observed."""
