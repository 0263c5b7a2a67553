"""What each strategy shrinks to, and what it has to come to: told by looking at the value, not at the case's name."""

from __future__ import annotations

from interesting_texts import INTERESTING_TEXTS, SIMPLEST_TEXTS

from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy
from pytest_mailauth.model.deviations import Admit, Announce, Greet, Hide, MisplaySCRAM, RefuseHello, Slow, Trail
from pytest_mailauth.model.terms import SOUND, Certificate, PortState, Protocol, Refusal, Security
from pytest_mailauth.strategies import FaultPlan
from pytest_mailauth.worlds import World

SIMPLEST = {
    **SIMPLEST_TEXTS,
    "deviations": Slow(delay=0.001),
    "fault_plans": FaultPlan(),
    "auth_policies": AuthPolicy(),
    "cipher_lists": "ECDHE+AESGCM",
    "mechanism_lists": ("PLAIN", "LOGIN"),
    "networks": {},
    "ports": 465,
    "protocols": Protocol.SMTP,
    "securities": Security.IMPLICIT,
    "server_configs": ServerConfig(protocol="smtp", security="implicit"),
    "tls_policies": TLSPolicy(),
    "worlds": World(),
}

WELL_KNOWN = (25, 110, 143, 465, 587, 993, 995)

INTERESTING = {
    **INTERESTING_TEXTS,
    "fault_plans": {
        **{
            act: lambda plan, act=act: any(fault.act == act for fault in plan.faults)
            for act in ("drop", "reset", "garble", "delay", "drip", "refuse", "later")
        },
        "at STARTTLS": lambda plan: any(fault.verb == "STARTTLS" for fault in plan.faults),
        "at the message": lambda plan: any(fault.verb == "message" for fault in plan.faults),
        "several": lambda plan: len(plan.faults) == 4,
        "a seed": lambda plan: plan.seed is not None and not plan.faults,
        "both": lambda plan: plan.seed is not None and plan.faults,
        "every command": lambda plan: plan.rate == 1.0,
    },
    "deviations": {
        "STARTTLS left out": lambda one: one == Hide(names=("STARTTLS",)),
        "injected": lambda one: isinstance(one, Trail),
        "announced in clear": lambda one: isinstance(one, Announce) and not one.over_tls,
        "let in": lambda one: isinstance(one, Admit),
        "no signature": lambda one: isinstance(one, MisplaySCRAM) and one.signature == "missing",
        "no greeting": lambda one: one == Greet(data=b""),
        "an alert": lambda one: isinstance(one, RefuseHello),
    },
    "ports": {
        **{str(port): lambda value, port=port: value == port for port in (*WELL_KNOWN, 0, 2525, 65535)},
        "beside a well-known one": lambda port: port in (24, 26, 464, 466, 586, 588, 992, 996),
        "any": lambda port: port > 20000 and port != 65535,
    },
    "protocols": {one.value: lambda value, one=one: value is one for one in Protocol},
    "securities": {one.value: lambda value, one=one: value is one for one in Security},
    "cipher_lists": {
        "one suite by name": lambda text: text.startswith("ECDHE-") and ":" not in text and "GCM" in text,
        "several suites": lambda text: text.count("ECDHE-") > 2,
        "static RSA": lambda text: text.startswith("AES"),
        "no encryption": lambda text: text == "NULL",
        "nobody authenticated": lambda text: text == "aNULL",
    },
    "tls_policies": {
        "only TLS 1.0": lambda policy: policy.max_version == "1.0",
        "only TLS 1.1": lambda policy: policy.max_version == "1.1",
        "TLS 1.0 too": lambda policy: policy.min_version == "1.0" and policy.max_version is None,
        "only TLS 1.3": lambda policy: policy.min_version == "1.3",
        "weak ciphers": lambda policy: policy.ciphers is not None and not policy.ciphers.startswith("ECDHE"),
        "nobody authenticated": lambda policy: policy.is_anonymous,
        "a client's certificate": lambda policy: policy.client_certificate == "required",
        "tickets": lambda policy: policy.resumption,
    },
    "mechanism_lists": {
        "LOGIN first": lambda names: names[:1] == ("LOGIN",),
        "no mechanism": lambda names: names == (),
        "SCRAM without a password mechanism": lambda names: set(names) >= {"SCRAM-SHA-256"} and "PLAIN" not in names,
        "tokens and passwords": lambda names: {"PLAIN", "LOGIN"} & {*names} and {"XOAUTH2", "OAUTHBEARER"} & {*names},
        "tokens only": lambda names: names and {*names} <= {"XOAUTH2", "OAUTHBEARER"},
        "nobody": lambda names: "ANONYMOUS" in names,
    },
    "auth_policies": {
        "in clear": lambda policy: policy.before_tls,
        "commands in clear": lambda policy: policy.password_commands == "always",
        "token required": lambda policy: not policy.less_secure_apps,
        "no password mechanism": lambda policy: not {"PLAIN", "LOGIN"} & {*policy.mechanisms},
        "locks": lambda policy: policy.lockout is not None,
        "counts": lambda policy: policy.rate_limit is not None,
        "not announced": lambda policy: not policy.advertised,
        "too weak": lambda policy: policy.too_weak,
        **{f"refuses: {one}": lambda policy, one=one: policy.reject is one for one in (Refusal.INVALID,)},
    },
    "server_configs": {
        **{one.value: lambda config, one=one: config.protocol is one for one in Protocol},
        **{one.value: lambda config, one=one: config.security is one for one in Security},
        "a certificate with a fault": lambda config: config.certificate not in SOUND,
        "another good certificate": lambda config: config.certificate in SOUND - {Certificate.VALID},
        "old TLS": lambda config: config.tls.is_legacy,
        "in clear": lambda config: config.auth.before_tls and config.security is Security.STARTTLS,
        "no TLS and a login": lambda config: config.security is Security.NONE and config.reachable_mechanisms,
        "refuses": lambda config: config.auth.reject is not None,
        "a blocked port": lambda config: config.port_state is PortState.TIMEOUT,
        "an intercepted port": lambda config: config.port_state is PortState.INTERCEPTED,
        "login first": lambda config: config.relay.login_first,
        "lenient": lambda config: config.line_limits == "lenient",
    },
    "networks": {
        "25 never answers": lambda blocks: blocks == {25: PortState.TIMEOUT},
        "25 is somebody else's": lambda blocks: blocks.get(25) is PortState.INTERCEPTED,
        "closed": lambda blocks: PortState.REFUSED in blocks.values(),
        "several": lambda blocks: len({*blocks.values()}) > 2,
        "only 587 is left": lambda blocks: len(blocks) == 6 and 587 not in blocks,
        "only 993 is left": lambda blocks: len(blocks) == 6 and 993 not in blocks,
    },
    "worlds": {
        **{one.value: lambda world, one=one: world.protocol is one for one in Protocol},
        **{one.value: lambda world, one=one: world.stated[1] is one for one in (Security.IMPLICIT, Security.STARTTLS)},
        "honest": lambda world: world.is_honest,
        "stripped, and passwords in clear": lambda world: world.ports[0].strips and world.ports[0].auth.before_tls,
        "a certificate with a fault": lambda world: world.ports[0].certificate not in SOUND,
        "old TLS": lambda world: world.ports[0].tls.is_legacy,
        "465 blocked, 587 tempts": lambda world: (
            world.ports[0].number == 465
            and world.ports[0].state is PortState.TIMEOUT
            and any(one.number == 587 and one.auth.before_tls for one in world.ports[1:])
        ),
        "25 is open, too": lambda world: any(one.number == 25 for one in world.ports[1:]),
        "a port of its own": lambda world: world.stated[0] == 2525,
        "every login is refused": lambda world: world.ports[0].auth.reject is Refusal.INVALID,
        "intercepted": lambda world: world.ports[0].state is PortState.INTERCEPTED,
    },
}
