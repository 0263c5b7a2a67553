"""The table of protocols and modes that the tests of the wire run over."""

import ssl

import pytest

from pytest_mailauth.model.terms import Protocol


@pytest.fixture(params=Protocol)
def protocol(request):
    return request.param


@pytest.fixture(params=["starttls", "implicit"])
def security(request):
    return request.param


@pytest.fixture
def serve(mailauth, protocol):
    """Return a function that starts a server of the protocol under test; STARTTLS unless it is told otherwise."""
    return getattr(mailauth, protocol)


@pytest.fixture
def trusting(mailauth_ca):
    """Return a function that makes a verifying client context of one TLS version."""

    def make(version=None):
        context = mailauth_ca.ssl_context()
        if version is not None:
            context.minimum_version = context.maximum_version = getattr(
                ssl.TLSVersion, f"TLSv{version.replace('.', '_')}"
            )
        return context

    return make


@pytest.fixture(params=["1.2", "1.3"])
def version(request):
    return request.param
