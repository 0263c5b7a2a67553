"""A server that a SASL mechanism can talk to without a protocol around it, and the talk itself."""

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.terms import Refusal
from pytest_mailauth.servers import sasl

ACCOUNT = Account.fresh()


class Counter:
    """A server that lets everybody in and knows one password."""

    host = "mail.example.test"
    channel_bindings = {"tls-server-end-point": b"hash of the certificate"}  # noqa: RUF012
    peer_identities = ("alice@example.test",)

    token_help = sasl.TokenHelp("https://mail.example.test/")

    somebody = ACCOUNT

    def __init__(self, *deviations):
        self.deviations = {type(one): one for one in deviations}

    def deviation(self, kind):
        return self.deviations.get(kind)

    def accepts(self, mechanism):
        return mechanism == "SCRAM-SHA-256-PLUS"

    def nonce(self):
        return "server-nonce"

    def password_of(self, identity):
        return Secret("pencil") if identity == "user" else None

    def decide(self, claim):
        fine = claim.proved or claim.kind in (sasl.Kind.PASSWORD, sasl.Kind.TOKEN)
        return sasl.Decision(ACCOUNT) if fine else sasl.Decision(None, Refusal.INVALID)


def run(mechanism, *messages, initial=None, server=None):
    exchange = sasl.begin(mechanism, server or Counter(), initial)
    challenges = []
    try:
        challenges.append(next(exchange))
        for message in messages:
            # Not extend(map(...)): it would take the end of the exchange for the end of the list.
            challenges.append(exchange.send(message(challenges[-1]) if callable(message) else message))
    except StopIteration as done:
        return done.value, challenges
    raise AssertionError(f"the exchange wants more: {challenges}")
