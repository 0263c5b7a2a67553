"""What cannot be led inside this process: code that looks up names and connects in C, and other programs.

It is told where it helps: at the call, where that can be seen, and else when a test fails to which no client came.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.network.names import canonical, is_here, is_local_name, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.network.directory import Directory

ELSEWHERE: Final = 'network.run(["program", ...]) gives a whole program these names and ports (Linux)'
_OF_UVLOOP: Final = ("getaddrinfo", "create_connection")


def of_uvloop() -> list[tuple[Any, str, Any]]:
    """Return the functions of uvloop to replace, if it is there: it would ask a real server for a mapped name."""
    loop = getattr(sys.modules.get("uvloop"), "Loop", None)
    return [(loop, name, functools.partial(_refuse, name)) for name in _OF_UVLOOP if hasattr(loop, name)]


def _refuse(function: str, real: Any, self: Any, *arguments: Any, **keywords: Any) -> Any:
    places = {"getaddrinfo": 0, "create_connection": 1}
    host = keywords.get("host", arguments[places[function]] if len(arguments) > places[function] else None)
    if isinstance(host, str | bytes):
        plain = literal(host)
        if not (is_here(plain) and not plain.startswith("127.77.") if plain else is_local_name(canonical(host))):
            raise ConfigError(
                f"uvloop looks up {host!r} in C, where no test network can lead it. Run the test on asyncio's own "
                f"loop, or the whole program with its own: {ELSEWHERE}"
            )
    return real(self, *arguments, **keywords)


def told(directory: Directory) -> str | None:
    """Return why no client may have come, for the report of a test that failed; None when one came."""
    if len(directory.journal) or not directory.hosts:
        return None
    names = ", ".join(directory.hosts)
    reasons = [f"- {reason}" for reason in _reasons(directory)]
    return "\n".join(
        [f"no client tried to connect while this network had {names}.", *reasons]
        if reasons
        else [
            f"no client tried to connect while this network had {names}. Was it told one of these names?",
            "Clients that connect in C (uvloop, pycurl) and other programs are not led here.",
            ELSEWHERE,
        ]
    )


def _reasons(directory: Directory) -> Iterator[str]:
    for module in ("uvloop", "pycurl"):
        if module in sys.modules:
            yield f"{module} is imported: it looks up names and connects in C, where it cannot be led. {ELSEWHERE}"
    if directory.led_programs:
        began = ", ".join(dict.fromkeys(directory.led_programs))
        yield f"programs were run with these names and ports ({began}), and connected to none of them"
    if directory.programs:
        began = ", ".join(dict.fromkeys(directory.programs))
        yield f"other programs were started ({began}): they are not led here. {ELSEWHERE}"
