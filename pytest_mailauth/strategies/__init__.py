"""Hypothesis strategies for property tests of mail clients: ``from pytest_mailauth import strategies``.

Each strategy says in its docstring how it deals its cases and what it shrinks to, which is the simplest secure case.
Names are collected here; each topic has a module. Importing this package registers the profile ``mailauth``.
"""

from __future__ import annotations

from pytest_mailauth.hypothesis_profile import register
from pytest_mailauth.strategies.addresses import mail_addresses
from pytest_mailauth.strategies.connections import ports, protocols, securities
from pytest_mailauth.strategies.credentials import bearer_tokens, passwords, usernames
from pytest_mailauth.strategies.hostnames import hostnames
from pytest_mailauth.strategies.logins import auth_policies, mechanism_lists
from pytest_mailauth.strategies.messages import messages
from pytest_mailauth.strategies.misbehaviour import Fault, FaultPlan, deviations, fault_plans
from pytest_mailauth.strategies.networks import networks
from pytest_mailauth.strategies.responses import capability_lists, imap_responses, smtp_replies
from pytest_mailauth.strategies.servers import server_configs
from pytest_mailauth.strategies.tls import cipher_lists, tls_policies
from pytest_mailauth.strategies.worlds import worlds

__all__ = [
    "Fault",
    "FaultPlan",
    "auth_policies",
    "bearer_tokens",
    "capability_lists",
    "cipher_lists",
    "deviations",
    "fault_plans",
    "hostnames",
    "imap_responses",
    "mail_addresses",
    "mechanism_lists",
    "messages",
    "networks",
    "passwords",
    "ports",
    "protocols",
    "securities",
    "server_configs",
    "smtp_replies",
    "tls_policies",
    "usernames",
    "worlds",
]

register()
