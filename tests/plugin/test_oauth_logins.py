"""Mail servers that ask the issuer whether a bearer token is good, and the search for tokens it has issued."""

from __future__ import annotations

import contextlib
import imaplib
import json
import smtplib

import pytest

from pytest_mailauth import AuthPolicy, ConfigError, OAuthServer, assert_commands
from pytest_mailauth.model.canary import find


@pytest.mark.parametrize("protocol", ["smtp", "imap"])
def test_a_mail_server_asks_the_issuer(mailauth, mailauth_oauth, protocol):
    auth = AuthPolicy(mechanisms=("OAUTHBEARER",), accept_token=mailauth_oauth.admits)
    server = getattr(mailauth, protocol)(security="implicit", auth=auth)
    tokens = {
        "good": mailauth_oauth.issue(mailauth.account),
        "narrow": mailauth_oauth.issue(mailauth.account, scope="profile"),
        "old": mailauth_oauth.issue(mailauth.account),
        "revoked": mailauth_oauth.issue(mailauth.account),
        "for a calendar": mailauth_oauth.issue(mailauth.account, audience="calendar.example.test"),
        "of another": mailauth_oauth.issue("bob@example.test"),
        "signed, for a calendar": mailauth_oauth.issue(
            mailauth.account, audience="calendar.example.test", format="jwt"
        ),
        "signed": mailauth_oauth.issue(mailauth.account, format="jwt"),
    }
    mailauth_oauth.expire(tokens["old"])
    mailauth_oauth.revoke(tokens["revoked"])
    told = {name: said_to(server, token) for name, token in tokens.items()}
    wrong = dict.fromkeys(("old", "revoked", "for a calendar", "of another", "signed, for a calendar"), "invalid_token")
    assert told == wrong | {"good": None, "signed": None, "narrow": "insufficient_scope"}
    accepted = [fact.accepted for session in server.sessions for fact in session.auth]
    assert accepted == [name in ("good", "signed") for name in tokens]


@pytest.mark.mailauth_oauth(scope="https://mail.google.com/")
def test_the_issuer_says_what_a_token_needs_and_where_to_get_it(mailauth, mailauth_oauth):
    auth = AuthPolicy(mechanisms=("OAUTHBEARER",), accept_token=mailauth_oauth.admits)
    server = mailauth.imap(security="implicit", auth=auth)
    told = challenge_of(server, "nonsense")
    assert told == {"status": "invalid_token", "scope": "https://mail.google.com/"}
    url = mailauth_oauth.discovery_url  # starts the endpoints
    assert challenge_of(server, "nonsense") == {**told, "openid-configuration": url}


def said_to(server, token):
    """Log in with OAUTHBEARER; return the error code of the error challenge, or None."""
    return challenge_of(server, token).get("status")


def challenge_of(server, token):
    """Log in with OAUTHBEARER; return the error challenge, empty if there was none."""
    errors = []
    first = f"n,a={server.account.username},\x01auth=Bearer {token}\x01\x01"

    def answer(challenge=None):
        if not challenge:
            return first
        errors.append(json.loads(challenge))
        return "\x01"

    if server.protocol == "smtp":
        with smtplib.SMTP_SSL(server.host, server.port, context=server.ssl_context(), timeout=5) as client:
            client.ehlo()
            with contextlib.suppress(smtplib.SMTPAuthenticationError):
                client.auth("OAUTHBEARER", answer)
    else:
        client = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=server.ssl_context(), timeout=5)
        with contextlib.suppress(imaplib.IMAP4.error):
            client.authenticate("OAUTHBEARER", lambda challenge: answer(challenge).encode())
        client.logout()
    return errors[0] if errors else {}


def test_issued_tokens_are_searched_for(mailauth_oauth, mailauth_secrets):
    token = mailauth_oauth.issue("alice@example.test")
    mailauth_secrets.assert_absent("nothing")
    with pytest.raises(AssertionError, match="access token 1"):
        mailauth_secrets.assert_absent(f"the token is {token}")


def test_several_accounts_each_with_its_own_password_and_inbox(mailauth):
    smtp, imap = mailauth.smtp(security="implicit"), mailauth.imap(security="implicit")
    bob = mailauth.add_account("bob@example.test", username="robert", password="correct horse")
    assert (bob.username, bob.password, bob.address) == ("robert", "correct horse", "bob@example.test")
    with smtplib.SMTP_SSL(smtp.host, smtp.port, context=smtp.ssl_context(), timeout=5) as client:
        client.login("robert", "correct horse")
        client.sendmail(bob.address, [mailauth.account.address], "Subject: From Bob\r\n\r\n")
        client.sendmail(bob.address, [bob.address], "Subject: To himself\r\n\r\n")
    for account, subject in ((mailauth.account, b"From Bob"), (bob, b"To himself")):
        client = imaplib.IMAP4_SSL(imap.host, imap.port, ssl_context=imap.ssl_context(), timeout=5)
        client.login(account.username, account.password)
        client.select()
        assert client.search(None, "ALL") == ("OK", [b"1"])
        assert subject in client.fetch("1", "(BODY[])")[1][0][1]
        client.logout()
    with pytest.raises(ConfigError, match="'robert' is the login name or address of another account"):
        mailauth.add_account("other@example.test", username="robert")
    assert "correct horse" not in imap.transcript()


def test_the_password_of_one_account_does_not_open_another(mailauth):
    bob = mailauth.add_account("bob@example.test")
    server = mailauth.smtp(security="implicit")
    with smtplib.SMTP_SSL(server.host, server.port, context=server.ssl_context(), timeout=5) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(bob.username, mailauth.account.password)
        client.rset()
        client.login(bob.username, bob.password)


def said_in_clear(server, *lines):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        for line in lines:
            client.docmd(line)


def test_a_token_that_was_issued_is_hidden_wherever_a_client_sends_it(mailauth, mailauth_oauth):
    server = mailauth.smtp()
    token = mailauth_oauth.issue(mailauth.account)
    said_in_clear(server, f"EHLO {token}", f"NOOP {token.refresh_token}", f"NOOP {mailauth_oauth.client_secret}")
    transcript = server.transcript()
    for secret in (token, token.refresh_token, mailauth_oauth.client_secret):
        assert find(secret, transcript.encode()) is None
    assert "C: EHLO <access token 1>\n" in transcript
    assert "C: NOOP <client secret>\n" in transcript


def test_the_issuer_that_a_server_asks_is_known_by_its_method(mailauth):
    with OAuthServer() as first, OAuthServer() as second:
        for oauth in (first, first, second):
            server = mailauth.smtp(auth=AuthPolicy(mechanisms=("XOAUTH2",), accept_token=oauth.admits))
        tokens = [oauth.issue(mailauth.account) for oauth in (first, second)]
        said_in_clear(server, *(f"NOOP {token}" for token in tokens))
        assert server.transcript().count("C: NOOP <access token 1>\n") == 2


def test_a_token_that_only_a_function_knows_is_hidden_once_it_was_presented(mailauth):
    token = "eYI9j1ZYQydUgCZ7LECbuH1CM"
    auth = AuthPolicy(mechanisms=("OAUTHBEARER",), accept_token=lambda told, _account: told == token)
    server = mailauth.smtp(security="implicit", auth=auth)
    with smtplib.SMTP_SSL(server.host, server.port, context=server.ssl_context(), timeout=5) as client:
        client.ehlo(token)
    assert said_to(server, token) is None
    assert "C: EHLO <secret>\n" in server.transcript()
    with pytest.raises(AssertionError) as failure:
        assert_commands(server, ["NOOP"], session=1)
    assert token not in str(failure.value)
