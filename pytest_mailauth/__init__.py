"""Fake SMTP, POP3 and IMAP servers with TLS and authentication policies, and a verdict on mail clients."""
