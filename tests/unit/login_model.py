"""A second, small answer to the question who is let in: what the tests of logging in compare the engines with.

Nothing of the engines, the mechanisms or the decision is used here: a model in words of the standards, and the words
that a client of each protocol says.
"""

import base64
import hashlib
import hmac
from collections import Counter
from typing import NamedTuple

from pytest_mailauth.model.canary import Account, Secret

ALICE = Account("alice-1a2b3c4d@example.test", Secret("Pw1f0e2d3c4b"), "alice@example.test", Secret("Tk0011223344"))
BOB = Account("bob-5e6f7a8b@example.test", Secret("Pw9988776655"), "bob@example.test", Secret("Tk5566778899"))
ACCOUNTS = {account.username: account for account in (ALICE, BOB)}
OWNERS = ACCOUNTS | {account.address: account for account in (ALICE, BOB)}
"""The accounts by every name that logs in."""
NOBODY = "anonymous"
STRANGER = "mallory@example.test"
CERTIFICATES = (
    None,
    (),
    (ALICE.username,),
    (ALICE.address,),
    (BOB.username, ALICE.username),
    (STRANGER,),
    (STRANGER, ALICE.username),
)
"""The names in the certificates that clients show; None where there is no TLS to show one in."""
ONE_MESSAGE = ("PLAIN", "XOAUTH2", "OAUTHBEARER", "ANONYMOUS", "EXTERNAL")
SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
SASL = (*ONE_MESSAGE, "LOGIN", "CRAM-MD5", *SCRAM)
UNPROTECTED = tuple(mechanism for mechanism in SASL if mechanism != "EXTERNAL")
"""What can be offered where there is no TLS."""
REJECTIONS = (
    "invalid",
    "too-weak",
    "encryption-needed",
    "temporary",
    "transition",
    "locked",
    "rate-limited",
    "bad-token",
    "oauth-required",
)
NO_BASE64 = b"!not-base64!"
QUALITIES = (
    "right",
    "right",
    "right",
    "wrong",
    "wrong",
    "stranger",
    "for another",
    "for oneself",
    "broken",
    "no base64",
)


class Presented(NamedTuple):
    """What a client sends, and what it claims with that; None when no claim can be read."""

    data: bytes
    claim: tuple[str, str, bool] | None = None
    """Whose account is claimed, with what (password, proof, token, certificate, nothing), and whether rightly."""
    text: bytes = b""
    """A first message of SCRAM as it was before base64: the proof is about it."""


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data)


def show(quality, account, names):
    """Return the message of EXTERNAL, which is the name that the certificate with *names* is to stand for."""
    other = BOB if account is ALICE else ALICE
    asked = {"for oneself": account.username, "for another": other.address, "stranger": STRANGER, "wrong": "guess"}
    authorization = asked.get(quality, "")
    name = authorization if authorization in names else names[0] if names else authorization
    owner = OWNERS.get(name)
    right = owner is not None and authorization in ("", owner.username, owner.address)
    return Presented(b64(authorization), (owner.username if owner else name, "certificate", right))


def present(mechanism, quality, account, challenge=b"", names=()):
    """Return the message of a mechanism that needs one message, or of CRAM-MD5 with its challenge."""
    if quality == "no base64":
        return Presented(NO_BASE64)
    if mechanism == "EXTERNAL":
        return show(quality, account, names)
    if quality == "broken" and mechanism != "ANONYMOUS":
        return Presented(b64("broken"))
    name = STRANGER if quality == "stranger" else account.username
    right = quality in ("right", "for oneself") or (quality == "for another" and mechanism != "PLAIN")
    password = account.password if quality not in ("wrong", "stranger") else "guess"
    token = account.token if quality not in ("wrong", "stranger") else "guess"
    match mechanism:
        case "PLAIN":
            other = BOB if account is ALICE else ALICE
            acting = {"for another": other.username, "for oneself": account.address}.get(quality, "")
            return Presented(b64(f"{acting}\0{name}\0{password}"), (name, "password", right))
        case "XOAUTH2":
            return Presented(b64(f"user={name}\x01auth=Bearer {token}\x01\x01"), (name, "token", right))
        case "OAUTHBEARER":
            return Presented(b64(f"n,a={name},\x01auth=Bearer {token}\x01\x01"), (name, "token", right))
        case "SCRAM-SHA-1" | "SCRAM-SHA-256":
            other = BOB if account is ALICE else ALICE
            acting = {"for another": f"a={other.username}", "for oneself": f"a={account.address}"}.get(quality, "")
            first = f"n,{acting},n={name},r=abc".encode()
            return Presented(b64(first), (name, "proof", quality != "for another"), first)
        case "ANONYMOUS":
            return Presented(b64("trace"), ("trace", "nothing", True))
        case _:
            digest = hmac.digest(password.encode(), challenge, hashlib.md5).hex()
            return Presented(b64(f"{name} {digest}"), (name, "proof", right))


def prove(mechanism, first, password, challenge):
    """Return the second message of SCRAM: the proof over everything that was said (RFC 5802 section 3)."""
    fields = dict(field.split(b"=", 1) for field in challenge.split(b","))
    digest = SCRAM[mechanism]
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    flag, acting, bare = first.split(b",", 2)
    without = b"c=" + base64.b64encode(flag + b"," + acting + b",") + b",r=" + fields[b"r"]
    signature = hmac.digest(hashlib.new(digest, key).digest(), b",".join((bare, challenge, without)), digest)
    return b64(without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))))


class Expected(NamedTuple):
    """What a step has to lead to: the reply's code, the credentials that were seen, a word of a lock-out."""

    reply: str
    accepted: int = 0
    refused: int = 0
    locked: bool = False


class Model:
    """The login of one server, over any number of sessions one after the other.

    Args:
        protocol: Its words for what happens are expected.
        config: The settings, from which only plain values are read.
    """

    def __init__(self, protocol, config):
        self.protocol = protocol
        self.replies = REPLIES[protocol]
        self.security = str(config.security)
        self.auth = config.auth
        self.failures = Counter()
        self.connect(None)

    def connect(self, names):
        self.names = names
        """What the client's certificate says; None or nothing where there is none."""
        self.over_tls = self.security == "implicit"
        self.forget()

    def forget(self):
        """Begin anew, as at the start and after STARTTLS."""
        self.login = None
        self.greeted = False
        self.name = None
        self.waiting = None
        """What an exchange waits for: the mechanism, and ``message``, ``user``, ``password`` or ``error``."""

    # Where what is possible.

    def offers(self, mechanism):
        if mechanism == "EXTERNAL" and not self.names:
            return False
        return mechanism in (self.auth.mechanisms if self.over_tls else self.auth.before_tls)

    def not_offered(self, mechanism):
        """Return why a mechanism is not taken here."""
        curable = not self.over_tls and mechanism in self.auth.mechanisms
        return "encryption-needed" if curable else "not offered"

    @property
    def offered(self):
        return {mechanism for mechanism in SASL if self.offers(mechanism)}

    @property
    def takes_passwords(self):
        return self.auth.password_commands == "always" or (self.auth.password_commands == "tls" and self.over_tls)

    @property
    def no_passwords(self):
        """Why a command that takes a password is not taken here."""
        return "encryption-needed" if self.auth.password_commands == "tls" and not self.over_tls else "not offered"

    @property
    def may_start_tls(self):
        return self.security == "starttls" and not self.over_tls

    # Who is let in.

    def decide(self, claim, mechanism):
        """Return who comes in, or what the reason against it is."""
        name, kind, right = claim
        if self.auth.reject is not None:
            return None, str(self.auth.reject)
        if self.auth.lockout is not None and self.failures[name] >= self.auth.lockout:
            return None, "locked"
        if mechanism in self.auth.too_weak:
            return None, "too-weak"
        known = name in ACCOUNTS or kind == "nothing"
        if not (right and known):
            self.failures[name] += 1
            return None, "bad-token" if kind == "token" else "invalid"
        if not self.auth.less_secure_apps and kind in ("password", "proof"):
            return None, "oauth-required"  # what was presented was right: no step towards a lock-out
        self.failures[name] = 0
        return (NOBODY if kind == "nothing" else name), None

    def judge(self, claim, mechanism):
        """Take a complete claim where it may be made."""
        self.waiting = None
        login, refusal = self.decide(claim, mechanism)
        if login is not None:
            self.login = login
            return Expected(self.replies["in"], accepted=1)
        if claim[1] == "token" and mechanism is not None:
            # Told in an error challenge first, and the reply follows the client's answer to it.
            self.waiting = (mechanism, "error", refusal)
            return Expected(self.replies["go on"], refused=1)
        return self.answer(refusal, seen=1)

    def answer(self, refusal, seen=0):
        return Expected(self.replies[refusal], refused=seen, locked=refusal == "locked")

    # What a client does.

    def begin(self, mechanism, initial):
        """A mechanism is begun, with an initial response (a Presented) or without one."""
        wrong_time = "already" if self.login is not None else None
        if self.protocol == "smtp" and not self.greeted:
            wrong_time = "already"
        if wrong_time or not self.offers(mechanism):
            seen = initial is not None and mechanism in ONE_MESSAGE and initial.claim is not None
            reason = wrong_time or self.not_offered(mechanism)
            if self.protocol == "imap" and initial is not None and initial.data == NO_BASE64:
                reason = "malformed"  # syntax comes first there
            return Expected(self.replies[reason], refused=int(seen))
        if initial is None:
            self.waiting = (mechanism, "user" if mechanism == "LOGIN" else "message", None)
            return Expected(self.replies["go on"])
        if initial.data == NO_BASE64 or mechanism == "CRAM-MD5":
            return Expected(self.replies["malformed"])
        if mechanism == "LOGIN":
            self.waiting = (mechanism, "password", initial.claim[0] if initial.claim else "broken")
            return Expected(self.replies["go on"])
        return self.message(mechanism, initial)

    def message(self, mechanism, presented):
        """The one message of a mechanism arrives."""
        self.waiting = None
        if presented.claim is None:
            return Expected(self.replies["malformed"])
        if mechanism in SCRAM:
            self.waiting = (mechanism, "proof", presented)
            return Expected(self.replies["go on"])
        return self.judge(presented.claim, mechanism)

    def proved(self, claim, mechanism):
        """The proof of SCRAM arrives: a right one is answered with the server's own, which the client has to take."""
        login, refusal = self.decide(claim, mechanism)
        self.waiting = None
        if login is None:
            return self.answer(refusal, seen=1)
        self.waiting = (mechanism, "signature", login)
        return Expected(self.replies["go on"])

    def signature_taken(self):
        """The empty response to the server's proof arrives."""
        _, _, self.login = self.waiting
        self.waiting = None
        return Expected(self.replies["in"], accepted=1)

    def name_given(self, name):
        """LOGIN has the name."""
        self.waiting = ("LOGIN", "password", name)
        return Expected(self.replies["go on"])

    def error_read(self):
        """The answer to an error challenge arrives."""
        _, _, refusal = self.waiting
        self.waiting = None
        return self.answer(refusal)

    def broken_off(self, how="malformed"):
        """The exchange ends without a claim: ``cancelled``, or with a line that is ``malformed`` or ``too long``."""
        self.waiting = None
        return Expected(self.replies[how])

    def password_command(self, claim):
        """IMAP LOGIN, or POP3 PASS with the name from USER."""
        if self.login is not None:
            return Expected(self.replies["already"], refused=1)
        if not self.takes_passwords:
            return Expected(self.replies[self.no_passwords], refused=1)
        return self.judge(claim, None)

    def start_tls(self):
        if self.login is not None and self.protocol != "smtp":
            return Expected(self.replies["already"])
        if not self.may_start_tls:
            return Expected(self.replies["no tls"])
        self.over_tls = True
        self.forget()
        return Expected(self.replies["tls"])


SMTP = {
    "in": "235 2.7.0",
    "invalid": "535 5.7.8",
    "bad-token": "535 5.7.8",
    "locked": "535 5.7.8",
    "too-weak": "534 5.7.9",
    "oauth-required": "534 5.7.9",
    "encryption-needed": "538 5.7.11",
    "temporary": "454 4.7.0",
    "rate-limited": "454 4.7.0",
    "transition": "432 4.7.12",
    "go on": "334",
    "malformed": "501 5.5.2",
    "cancelled": "501 5.7.0",
    "too long": "500 5.5.6",
    "rubbish": "500 5.5.2",
    "already": "503 5.5.1",
    "not offered": "504 5.5.4",
    "no tls": "502 5.5.1",
    "tls": "220 2.0.0",
}
"""RFC 4954 sections 4 and 6, RFC 5321 section 4.2, RFC 3207 section 4."""
POP3 = dict.fromkeys(SMTP, "-ERR [AUTH]") | {
    "in": "+OK",
    "temporary": "-ERR [SYS/TEMP]",
    "rate-limited": "-ERR [SYS/TEMP]",
    "go on": "+",
    **dict.fromkeys(
        ("malformed", "cancelled", "too long", "rubbish", "already", "not offered", "no tls"),
        "-ERR",
    ),
    "tls": "+OK",
}
"""RFC 3206 section 4."""
IMAP = dict.fromkeys(SMTP, "BAD") | {
    "in": "OK [CAPABILITY]",
    **dict.fromkeys(("invalid", "bad-token", "too-weak", "oauth-required"), "NO [AUTHENTICATIONFAILED]"),
    "locked": "NO [CONTACTADMIN]",
    "encryption-needed": "NO [PRIVACYREQUIRED]",
    "temporary": "NO [UNAVAILABLE]",
    "rate-limited": "NO [LIMIT]",
    "transition": "NO [EXPIRED]",
    "go on": "+",
    "not offered": "NO",
    "tls": "OK",
}
"""RFC 5530 section 3, RFC 3501 section 6.2."""
REPLIES = {"smtp": SMTP, "pop3": POP3, "imap": IMAP}
