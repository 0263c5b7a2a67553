"""Hypothesis strategies for property tests of mail clients: ``from pytest_mailauth import strategies``.

Each strategy says in its docstring how it deals its cases and what it shrinks to, which is the simplest secure case.
Names are collected here; each topic has a module. Importing this package registers the profile ``mailauth``.
"""

from __future__ import annotations

from pytest_mailauth.hypothesis_profile import register
from pytest_mailauth.strategies.connections import ports, protocols, securities
from pytest_mailauth.strategies.logins import auth_policies, mechanism_lists
from pytest_mailauth.strategies.networks import networks
from pytest_mailauth.strategies.servers import server_configs
from pytest_mailauth.strategies.tls import cipher_lists, tls_policies
from pytest_mailauth.strategies.worlds import worlds

__all__ = [
    "auth_policies",
    "cipher_lists",
    "mechanism_lists",
    "networks",
    "ports",
    "protocols",
    "securities",
    "server_configs",
    "tls_policies",
    "worlds",
]

register()
