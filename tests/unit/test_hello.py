"""The ClientHello parser against hellos of OpenSSL, hellos built by hand, and hellos broken on purpose."""

import functools
import itertools
import ssl
import struct
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mailauth.model.hello import VERSIONS, ClientHello, rank
from pytest_mailauth.servers.wire.hello import GREASE, LIMIT, RECORD_LIMIT, HelloParser

steady = settings(max_examples=60, deadline=None, derandomize=True)
NAMES = {"1.0": "TLSv1", "1.1": "TLSv1_1", "1.2": "TLSv1_2", "1.3": "TLSv1_3"}
SCSV = 0x00FF
"""OpenSSL's renegotiation signal stands among the cipher suites (RFC 5746 section 3.3)."""


def bytewise(data):
    return [data[i : i + 1] for i in range(len(data))]


def cut_at(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def parse(pieces):
    parser = HelloParser()
    for piece in pieces:
        parser.feed(piece)
        assert len(parser) <= LIMIT
        assert (parser.hello is not None) + parser.not_tls + (parser.error is not None) == parser.done
    return parser.hello, parser.not_tls, parser.error


def hello_of(data):
    hello, not_tls, error = parse([data])
    assert (not_tls, error) == (False, None)
    return hello


def context(oldest="1.2", newest="1.3", ciphers="ALL:@SECLEVEL=0", alpn=()):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = ssl.TLSVersion[NAMES[oldest]]
        made.maximum_version = ssl.TLSVersion[NAMES[newest]]
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def client_bytes(made, server_name="mail.example.test"):
    made.check_hostname = server_name is not None
    outgoing = ssl.MemoryBIO()
    client = made.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@functools.cache
def real(newest="1.3"):
    return client_bytes(context(newest=newest, alpn=("imap", "pop3")))


def record(fragment, kind=22):
    return struct.pack(">BHH", kind, 0x0301, len(fragment)) + fragment


def refragment(data, sizes):
    """Spread the one record of a real hello over records of these sizes, over and over."""
    (length,) = struct.unpack_from(">H", data, 3)
    assert len(data) == 5 + length
    at, records, size = 5, [], itertools.cycle(sizes)
    while at < len(data):
        fragment = data[at : at + next(size)]
        records.append(record(fragment))
        at += len(fragment)
    return b"".join(records)


def vector(width, data):
    return len(data).to_bytes(width, "big") + data


def codes(*numbers):
    return struct.pack(f">{len(numbers)}H", *numbers)


def message(ciphers=b"\x13\x01", extensions=None, *, version=0x0303, session_id=b"", compression=b"\0", behind=b""):
    body = codes(version) + bytes(32) + vector(1, session_id) + vector(2, ciphers) + vector(1, compression)
    if extensions is not None:
        body += vector(2, b"".join(codes(code) + vector(2, data) for code, data in extensions))
    return b"\1" + vector(3, body + behind)


def sslv2(version=0x0301, specs=b"\x01\x00\x80\x00\x00\x2f\x00\x00\xff", session_id=b"", challenge=bytes(16)):
    body = (
        struct.pack(">BHHHH", 1, version, len(specs), len(session_id), len(challenge)) + specs + session_id + challenge
    )
    return codes(0x8000 | len(body)) + body


# OpenSSL as the oracle.


@pytest.mark.parametrize(("oldest", "newest"), list(itertools.combinations_with_replacement(NAMES, 2)))
def test_versions_are_those_of_the_client(oldest, newest):
    hello = hello_of(client_bytes(context(oldest, newest)))
    offered = [version for version in reversed(NAMES) if oldest <= version <= newest]
    assert hello.offered == newest
    assert hello.legacy_version == min(newest, "1.2")
    # Only a client that knows TLS 1.3 states its versions (RFC 8446 section 4.2.1).
    assert hello.versions == (tuple(offered) if newest == "1.3" else ())


@pytest.mark.parametrize(
    "ciphers",
    # OpenSSL lists suites with PSK and SRP, and leaves them out of a hello when it has no such key.
    ["ALL:!PSK:!SRP:@SECLEVEL=0", "DEFAULT:!PSK:!SRP", "ECDHE+AESGCM", "AES128-SHA:@SECLEVEL=0"],
)
@pytest.mark.parametrize("newest", ["1.2", "1.3"])
def test_cipher_suites_are_those_of_the_client_in_its_order(ciphers, newest):
    made = context(newest=newest, ciphers=ciphers)
    hello = hello_of(client_bytes(made))
    able = [cipher for cipher in made.get_ciphers() if newest == "1.3" or cipher["protocol"] != "TLSv1.3"]
    assert hello.ciphers == (*(cipher["id"] & 0xFFFF for cipher in able), SCSV)
    assert hello.compression == (0,)
    assert not hello.sslv2


def test_one_cipher_suite_by_its_code_point():
    hello = hello_of(client_bytes(context(newest="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256")))
    assert hello.ciphers == (0xC02F, SCSV)


@pytest.mark.parametrize("name", ["mail.example.test", "x" * 63 + ".test", None])
@pytest.mark.parametrize("alpn", [(), ("imap",), ("imap", "pop3", "x" * 255)])
def test_server_name_and_alpn_are_those_of_the_client(name, alpn):
    hello = hello_of(client_bytes(context(alpn=alpn), name))
    assert hello.server_name == name
    assert hello.alpn == alpn
    assert (0 in hello.extensions) is (name is not None)
    assert (16 in hello.extensions) is bool(alpn)


def test_groups_and_signature_schemes_hold_what_every_openssl_offers():
    hello = hello_of(real())
    assert {0x001D, 0x0017} <= set(hello.groups)  # X25519, secp256r1
    assert {0x0403, 0x0804} <= set(hello.signature_algorithms)  # ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
    assert len(set(hello.extensions)) == len(hello.extensions)


def test_a_group_chosen_by_the_client_is_the_only_one():
    made = context()
    made.set_ecdh_curve("secp384r1")
    assert hello_of(client_bytes(made)).groups == (0x0018,)


def test_raw_is_the_handshake_message_whatever_the_records_were():
    for size in (1, 7, 300):
        assert hello_of(refragment(real(), [size])).raw == real()[5:]


@pytest.mark.parametrize("newest", ["1.2", "1.3"])
def test_byte_by_byte_and_in_small_records(newest):
    data = real(newest)
    whole = parse([data])
    assert parse(bytewise(data)) == whole
    assert parse(bytewise(refragment(data, [1]))) == whole
    assert parse([refragment(data, [3])]) == whole


@steady
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6), cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_any_records_in_any_pieces(sizes, cuts):
    data = refragment(real(), sizes)
    assert parse(cut_at(data, cuts)) == parse([real()])


def test_what_follows_the_hello_is_not_looked_at():
    hello = hello_of(real())
    assert parse([real() + b"USER alice\r\n"]) == (hello, False, None)
    assert parse([real(), real("1.2"), b"\0"]) == (hello, False, None)
    assert hello_of(record(real()[5:] + b"next message")) == hello


# By hand.


def test_sslv2_format():
    hello = hello_of(sslv2())
    assert hello.sslv2
    assert hello.legacy_version == hello.offered == "1.0"
    assert hello.versions == ()
    assert hello.ciphers == (0x010080, 0x002F, 0x00FF)
    assert hello.raw == sslv2()[2:]


@pytest.mark.parametrize(("version", "name"), [(0x0002, "SSL 2.0"), (0x0300, "SSL 3.0"), (0x0303, "1.2")])
def test_sslv2_format_names_the_newest_version(version, name):
    assert hello_of(sslv2(version)).offered == name


@steady
@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_sslv2_format_in_any_pieces(cuts):
    data = sslv2(session_id=bytes(16), challenge=bytes(32))
    assert parse(cut_at(data, cuts)) == parse(bytewise(data)) == (hello_of(data), False, None)


def test_a_hello_without_extensions():
    hello = hello_of(record(message(codes(0x002F, 0x000A), version=0x0300, session_id=bytes(32), compression=b"\1\0")))
    assert hello == ClientHello("SSL 3.0", ciphers=(0x002F, 0x000A), compression=(1, 0), raw=hello.raw)
    assert hello.offered == "SSL 3.0"


def test_extensions_keep_the_order_of_the_client():
    extensions = [(43, vector(1, codes(0x0303, 0x0304))), (0xFE0D, b"?"), (0, vector(2, b"\0" + vector(2, b"a.test")))]
    hello = hello_of(record(message(extensions=extensions)))
    assert hello.extensions == (43, 0xFE0D, 0)
    assert hello.server_name == "a.test"
    assert hello.versions == ("1.3", "1.2")


def test_grease_is_left_out_of_every_list():
    hello = hello_of(
        record(
            message(
                codes(0x2A2A, 0x1301, 0xFAFA),
                [
                    (0x0A0A, b""),
                    (10, vector(2, codes(0x4A4A, 29))),
                    (13, vector(2, codes(0x1A1A, 0x0403))),
                    (16, vector(2, vector(1, b"\x8a\x8a") + vector(1, b"imap"))),
                    (43, vector(1, codes(0x7A7A, 0x0304, 0x0303))),
                    (0xDADA, b"\0"),
                ],
            )
        )
    )
    assert hello.ciphers == (0x1301,)
    assert hello.extensions == (10, 13, 16, 43)
    assert hello.groups == (29,)
    assert hello.signature_algorithms == (0x0403,)
    assert hello.alpn == ("imap",)
    assert hello.versions == ("1.3", "1.2")


def test_the_grease_values():
    assert sorted(GREASE) == [int(f"0x{digit}a{digit}a", 16) for digit in "0123456789abcdef"]


def test_versions_sort_by_age_and_strangers_come_last():
    stated = vector(1, codes(0x7F1C, 0x0300, 0x0301, 0x0304, 0x0302))
    hello = hello_of(record(message(extensions=[(43, stated)])))
    assert hello.versions == ("1.3", "1.1", "1.0", "SSL 3.0", "0x7f1c")
    assert hello.offered == "1.3"


def test_old_versions_rank_below_new_ones():
    assert [rank(version) for version in VERSIONS] == sorted(rank(version) for version in VERSIONS)
    assert ClientHello("1.2", versions=("SSL 3.0", "1.0")).offered == "1.0"
    assert rank("0x7f1c") < rank("SSL 2.0")


def test_a_name_that_is_no_host_name_is_passed_over():
    names = vector(2, b"\7" + vector(2, b"opaque") + b"\0" + vector(2, b"a.test"))
    assert hello_of(record(message(extensions=[(0, names)]))).server_name == "a.test"
    only = vector(2, b"\7" + vector(2, b"opaque"))
    assert hello_of(record(message(extensions=[(0, only)]))).server_name is None


def test_names_that_are_no_text_stay_readable():
    extensions = [(0, vector(2, b"\0" + vector(2, b"\xff.test"))), (16, vector(2, vector(1, b"\xfe")))]
    hello = hello_of(record(message(extensions=extensions)))
    assert (hello.server_name, hello.alpn) == ("\\xff.test", ("\\xfe",))


# Not TLS, and broken TLS.


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"USER alice\r\n", 1),
        (b"EHLO client\r\n", 1),
        (b"\0\0\0", 1),
        (b"\x16\x02\x01", 2),
        (b"\x19\x03\x01", 1),
        (b"\x80\x2e\x04\x03\x01", 3),
        (b"\x80\x2e\x01\x02\x01", 4),
        (b"\x80\x2e\x01\x00\x03", 5),
        ("é hé".encode(), 3),
    ],
)
def test_what_is_not_tls_is_known_at_its_first_wrong_byte(data, wrong):
    assert parse([data]) == parse(bytewise(data)) == (None, True, None)
    assert parse([data[:wrong]]) == (None, True, None)
    assert parse([data[: wrong - 1]]) == (None, False, None)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x16", b"\x16\x03\x01\x02", b"\x80", b"\x80\x2e\x01\x03\x01", b"\x80\x2e\x01\x00\x02", b"\x15\x03\x03\x00"],
)
def test_what_may_become_tls_is_waited_for(data):
    assert parse([data]) == parse(bytewise(data)) == (None, False, None)


BROKEN = {
    "alert first": record(b"\2\x28", kind=21),
    "other record within": record(message()[:9]) + record(b"\2\x28", kind=21),
    "not a record within": record(message()[:9]) + b"NOOP\r\n",
    "empty record": record(b""),
    "record too long": b"\x16\x03\x01" + codes(RECORD_LIMIT + 1),
    "other handshake message": record(b"\2" + message()[1:]),
    "hello too long": record(b"\1" + (LIMIT - 3).to_bytes(3, "big")),
    "empty hello": record(b"\1\0\0\0"),
    "cut off in the ciphers": record(b"\1" + vector(3, message()[4:40])),
    "odd ciphers": record(message(b"\0\1\2")),
    "no compression list": record(b"\1" + vector(3, message()[4:-2])),
    "bytes behind the extensions": record(message(extensions=[], behind=b"\0")),
    "one byte of extensions": record(message(behind=b"\0")),
    "extension cut off": record(message(behind=vector(2, b"\0\x10\0\5"))),
    "half an extension header": record(message(behind=vector(2, b"\0\x10\0"))),
    "extension twice": record(message(extensions=[(23, b""), (23, b"")])),
    "odd groups": record(message(extensions=[(10, vector(2, b"\0"))])),
    "signature list with a rest": record(message(extensions=[(13, vector(2, codes(1)) + b"\0")])),
    "name cut off": record(message(extensions=[(0, vector(2, b"\0\0\7abc"))])),
    "ALPN cut off": record(message(extensions=[(16, vector(2, b"\7abc"))])),
    "versions cut off": record(message(extensions=[(43, b"\4\3\4")])),
    "SSLv2 too short": b"\x80\x08\x01\x03\x01\0\0\0\0\0",
    "SSLv2 ciphers": sslv2(specs=b"\0\0"),
    "SSLv2 lengths": sslv2()[:2] + sslv2()[2:5] + codes(9, 0, 99) + sslv2()[11:],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_hello_ends_in_an_error(name):
    outcome = parse([BROKEN[name]])
    assert outcome[:2] == (None, False)
    assert outcome[2]
    assert parse(bytewise(BROKEN[name])) == outcome
    assert parse([BROKEN[name], real()]) == outcome


def test_the_longest_hello_is_read_and_takes_no_more_than_the_limit():
    rest = LIMIT - len(message(extensions=[(21, b"")]))
    longest = message(extensions=[(21, bytes(rest))])
    assert len(longest) == LIMIT
    data = b"".join(record(longest[at : at + RECORD_LIMIT]) for at in range(0, LIMIT, RECORD_LIMIT))
    assert hello_of(data).raw == longest
    assert parse(cut_at(data, range(0, len(data), 1000))) == parse([data])


def test_a_hello_of_extensions_only_is_read_in_reasonable_time():
    extensions = [(code, b"") for code in range(0x1000, 0x1000 + 16_000)]
    assert len(hello_of(b"".join(map(record, batches(message(extensions=extensions))))).extensions) > 15_900


def batches(data):
    return [data[at : at + RECORD_LIMIT] for at in range(0, len(data), RECORD_LIMIT)]


@settings(steady, max_examples=300)
@given(
    base=st.sampled_from(["1.2", "1.3", "sslv2"]),
    edits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=5),
    length=st.one_of(st.none(), st.integers(0, 600)),
    cuts=st.lists(st.integers(0, 700), max_size=5),
)
def test_mutations_never_raise_and_never_depend_on_the_cut(base, edits, length, cuts):
    data = sslv2() if base == "sslv2" else real(base)
    for at, removed, inserted in edits:
        place = at % len(data)
        data = data[:place] + inserted + data[place + removed :] or b"\x16"
    data = data[:length]
    assert parse([data]) == parse(bytewise(data)) == parse(cut_at(data, cuts))


@settings(steady, max_examples=300)
@given(
    start=st.sampled_from(
        [b"", b"\x16\x03\x01", b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03", b"\x80\x2e\x01\x03\x01"]
    ),
    rest=st.binary(max_size=200),
)
def test_noise_never_raises(start, rest):
    assert parse([start + rest]) == parse(bytewise(start + rest))
