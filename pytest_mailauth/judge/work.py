"""What a client is told of its work in one trial: what a row says in general, filled in for the servers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mailauth.judge.stage import fingerprint
from pytest_mailauth.model.reports import WORK
from pytest_mailauth.model.terms import Certificate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.judge.stage import Stage
    from pytest_mailauth.servers.environment import MailServers


def work_told(environment: MailServers, stage: Stage, tells: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the client is told of its work.

    Its certificates are files by now, the accepted one is a hash, TLSA records are text, and a policy names the host.
    """
    work = {name: told for name, told in tells.items() if name in WORK}
    if isinstance(kind := work.get("pinned"), Certificate):
        work["pinned"] = fingerprint(environment, stage.config, kind)
    if "client_certificates" in work:
        file = environment.ca.client_file
        work["client_certificates"] = {name: file(name) for name in work["client_certificates"]}
    if isinstance(kind := work.get("tlsa"), Certificate):
        # DANE-EE, the whole certificate, SHA-256 (RFC 6698 section 2.1): no two kinds share one, as they may a key.
        work["tlsa"] = (f"3 0 1 {fingerprint(environment, stage.config, kind)}",)
    if "sts_policy" in work:
        work["sts_policy"] = work["sts_policy"].format(host=stage.host)
    return work
