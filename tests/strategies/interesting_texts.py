"""What the strategies of texts and bytes shrink to and come to; see ``interesting``."""

from __future__ import annotations

SIMPLEST_TEXTS = {
    "bearer_tokens": "ya29.mailauth-token",
    "capability_lists": ("AUTH PLAIN LOGIN",),
    "hostnames": "mail.example.test",
    "imap_responses": b"* OK ready\r\n",
    "mail_addresses": "alice@example.test",
    "messages": b"From: alice@example.test\r\nTo: bob@example.test\r\nSubject: Welcome\r\n\r\nHello\r\n",
    "passwords": "Password-1",
    "smtp_replies": b"250 OK\r\n",
    "usernames": "alice",
}

_CREDENTIALS = {
    "NUL": lambda text: "\0" in text,
    "a line break": lambda text: "\r\n" in text,
    "8-bit": lambda text: "ä" in text,
    "more than 16 bits": lambda text: "🔑" in text,
    "mapped to a space": lambda text: "\u00a0" in text,
    "mapped to nothing": lambda text: "\u00ad" in text,
    "prohibited": lambda text: "\u0007" in text,
    "of both directions": lambda text: "\u0627" in text,
    "a quote": lambda text: text.startswith('"'),
    "a backslash": lambda text: "\\" in text,
    "space around it": lambda text: text == " a ",
    "for SCRAM to escape": lambda text: "," in text and "=" in text,
    "empty": lambda text: not text,
    "longer than a line": lambda text: len(text) > 512,
    "as long as a line": lambda text: len(text) == 512,
}


def _longest_line(data):
    return max(map(len, data.split(b"\r\n")))


INTERESTING_TEXTS = {
    "usernames": {**_CREDENTIALS, "an address": lambda text: text == "alice@example.test"},
    "passwords": _CREDENTIALS,
    "bearer_tokens": {
        **{
            f"{length + step}": lambda token, length=length + step: len(token) == length
            for length in (497, 512, 998, 12288)
            for step in (-1, 0, 1)
        },
        "a JWT": lambda token: token.startswith("eyJ") and token.count(".") == 2,
        "padded": lambda token: token.endswith("=="),
        "one character": lambda token: len(token) == 1,
        "empty": lambda token: not token,
        "with the separator": lambda token: "\x01" in token,
        "with a line break": lambda token: "\n" in token,
    },
    "hostnames": {
        "matches the wildcard": lambda name: name == "mail.example.test",
        "one label too many": lambda name: name == "a.mail.example.test",
        "one label too few": lambda name: name == "example.test",
        "no dot where one belongs": lambda name: name == "mailexample.test",
        "the name as a beginning": lambda name: name == "mail.example.test.evil.test",
        "a U-label": lambda name: not name.isascii(),
        "mapped by IDNA2003": lambda name: "ß" in name,
        "right to left": lambda name: "مثال" in name,
        "an A-label": lambda name: "xn--" in name,
        "a trailing dot": lambda name: name.endswith("."),
        "upper case": lambda name: name.isupper(),
        "the longest label": lambda name: max(map(len, name.split("."))) == 63,
        "the longest name": lambda name: len(name) == 253,
        "IPv4": lambda name: name == "127.0.0.1",
        "IPv6": lambda name: name == "::1",
    },
    "mail_addresses": {
        "an empty local part": lambda address: address.startswith('""@'),
        "two at signs": lambda address: address.count("@") == 2,
        "a space": lambda address: " " in address,
        "two dots": lambda address: ".." in address,
        "UTF-8 left and right": lambda address: not any(part.isascii() for part in address.split("@")),
        "not in NFC": lambda address: "\u0301" in address,
        "a subaddress": lambda address: address.startswith("alice+"),
        "signs": lambda address: any(sign in address for sign in "{|}~") and '"' not in address,
        "an IPv6 literal": lambda address: address.endswith("[IPv6:::1]"),
        "the longest local part": lambda address: len(address.rpartition("@")[0]) == 64,
        "the longest address": lambda address: len(address) == 254,
    },
    "capability_lists": {
        "nothing": lambda lines: not lines,
        "AUTH=": lambda lines: any(line.startswith("AUTH=") for line in lines),
        "lower case": lambda lines: any(line.startswith("auth ") for line in lines),
        "STARTTLS": lambda lines: "STARTTLS" in lines,
        "no STARTTLS": lambda lines: lines and "STARTTLS" not in lines,
        "twice": lambda lines: len({*lines}) < len(lines),
        "many": lambda lines: len(lines) > 40,
    },
    "smtp_replies": {
        "several lines": lambda reply: reply.count(b"\r\n") == 5,
        "a bare code": lambda reply: len(reply) == 5 and reply[:3].isdigit(),
        "512 bytes": lambda reply: len(reply) == 512,
        "codes that differ": lambda reply: reply[:4] == b"250-" and b"550" in reply,
        "no CR": lambda reply: reply == b"250 OK\n",
        "no end": lambda reply: reply == b"250-mail.example.test\r\n",
        "8 bits": lambda reply: b"\xff" in reply,
        "NUL": lambda reply: b"\0" in reply,
        "beyond any limit": lambda reply: len(reply) > 65536,
        "nothing": lambda reply: not reply,
    },
    "imap_responses": {
        "BYE": lambda line: line.startswith(b"* BYE"),
        "PREAUTH": lambda line: line.startswith(b"* PREAUTH"),
        "a response in a literal": lambda line: b"{10}\r\na\r\n* OK" in line,
        "an empty literal": lambda line: b"{0}\r\n)" in line,
        "a literal that never comes": lambda line: b"{999999}" in line,
        "32 bits": lambda line: b"4294967295" in line,
        "out of range": lambda line: b"99999999999999999999" in line,
        "open parentheses": lambda line: line.count(b"(") > 20,
        "modified UTF-7": lambda line: b"&ZeVnLIqe-" in line,
        "NUL": lambda line: b"\0" in line,
    },
    "messages": {
        "a dot alone": lambda data: b"\r\n.\r\n" in data,
        "a dot first": lambda data: b"\r\n.a" in data,
        "two dots": lambda data: b"\r\n..\r\n" in data,
        "a bare CR": lambda data: data.count(b"\r") > data.count(b"\r\n"),
        "a bare LF": lambda data: data.count(b"\n") > data.count(b"\r\n"),
        "a dot between bare line ends": lambda data: b"a\n.\r\nb" in data,
        "UTF-8": lambda data: "grüße".encode() in data,
        "no UTF-8": lambda data: b"\xe4\xf6" in data,
        "an attached message": lambda data: b"message/rfc822" in data,
        "deep": lambda data: data.count(b"boundary=") >= 3,
        "998 in a line": lambda data: _longest_line(data) == 998,
        "999 in a line": lambda data: _longest_line(data) == 999,
        "no body": lambda data: data.endswith(b"Welcome\r\n\r\n"),
        "no line end at the end": lambda data: not data.endswith(b"\n"),
        "an encoded subject": lambda data: b"Subject: =?utf-8?" in data,
    },
}
