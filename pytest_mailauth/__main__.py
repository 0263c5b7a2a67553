"""``python -m pytest_mailauth`` is the command ``mailauth``."""

from pytest_mailauth.cli import main

main()
