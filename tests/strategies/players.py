"""Clients that play in worlds: right ones over the standard library, and wrong ones with one mistake each."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import ssl
import warnings
from dataclasses import replace

from pytest_mailauth.model.terms import STANDARD_PORTS, Protocol, Security

FAILURES = (OSError, imaplib.IMAP4.error, poplib.error_proto, EOFError)


def context_of(case):
    return case.ssl_context()


def careless(case):
    context = case.ssl_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def old(case):
    context = case.ssl_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def smtp(case, context):
    implicit = case.security is Security.IMPLICIT
    how = {"timeout": case.timeout}
    with (
        smtplib.SMTP_SSL(case.host, case.port, context=context, **how)
        if implicit
        else smtplib.SMTP(case.host, case.port, **how)
    ) as client:
        if case.security is Security.STARTTLS:
            client.starttls(context=context)
        client.login(case.username, case.password)


def imap(case, context):
    how = {"timeout": case.timeout}
    implicit = case.security is Security.IMPLICIT
    client = (
        imaplib.IMAP4_SSL(case.host, case.port, ssl_context=context, **how)
        if implicit
        else imaplib.IMAP4(case.host, case.port, **how)
    )
    with client:
        if case.security is Security.STARTTLS:
            client.starttls(ssl_context=context)
        client.login(case.username, case.password)


def pop3(case, context):
    how = {"timeout": case.timeout}
    implicit = case.security is Security.IMPLICIT
    client = (
        poplib.POP3_SSL(case.host, case.port, context=context, **how)
        if implicit
        else poplib.POP3(case.host, case.port, **how)
    )
    with contextlib.closing(client):
        if case.security is Security.STARTTLS:
            client.stls(context=context)
        client.user(case.username)
        client.pass_(case.password)


SPEAKS = {Protocol.SMTP: smtp, Protocol.IMAP: imap, Protocol.POP3: pop3}


def log_in(case, context=context_of, **other):
    """Log in once. *other* are settings other than those of the case."""
    told = {"port": case.port, "security": case.security} | other
    SPEAKS[case.protocol](replace(case, **told), context(case))


def secure_ports(case):
    """The stated port, then the standard ports with TLS."""
    standard = [(STANDARD_PORTS[case.protocol, mode], mode) for mode in (Security.IMPLICIT, Security.STARTTLS)]
    return [(case.port, case.security), *(one for one in standard if one[0] != case.port)]


def planner(case):
    """Right: tries what is secure, one after the other."""
    failures = []
    for port, security in secure_ports(case):
        try:
            return log_in(case, port=port, security=security)
        except FAILURES as failure:
            failures.append(f"port {port}: {failure}")
    raise ConnectionError("; ".join(failures))


def modest(case):
    """Right: tries what the account states, and nothing else."""
    log_in(case)


def clear_when_stripped(case):
    try:
        log_in(case)
    except FAILURES as failure:
        if "not supported" not in str(failure):
            raise
        log_in(case, security=Security.NONE)


def unverified_after_bad_certificate(case):
    try:
        log_in(case)
    except ssl.SSLCertVerificationError:
        log_in(case, careless)


def clear_on_587_after_465(case):
    try:
        log_in(case)
    except FAILURES:
        if case.port != 465:
            raise
        log_in(case, port=587, security=Security.NONE)


def older_tls(case):
    try:
        log_in(case)
    except ssl.SSLError:
        log_in(case, old)


def relay_in_the_end(case):
    """Every password crosses inside TLS; the last port is the one of a relay."""
    try:
        planner(case)
    except FAILURES:
        log_in(case, port=25, security=Security.STARTTLS)
