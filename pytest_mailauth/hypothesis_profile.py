"""The Hypothesis profile ``mailauth``: settings that make sense for tests over a network.

Hypothesis calls :func:`register` when it is imported (entry point ``hypothesis``), so that ``--hypothesis-profile
mailauth`` finds it. Nothing is imported here before that: else whoever imports this first would meet the import of
Hypothesis on its way, which asks for :func:`register` before there is one.
"""

from __future__ import annotations

from typing import Final

PROFILE: Final = "mailauth"
"""The name for ``--hypothesis-profile`` and ``settings.load_profile``."""
EXAMPLES: Final = 30
"""Examples of a test: one takes a handshake or two and a login, a few milliseconds each."""
STEPS: Final = 15
"""Steps of a state machine."""


def register() -> None:
    """Register the profile ``mailauth``, unless there is one of this name: a project may have its own.

    - No deadline: how long an example takes is the network's affair, and differs from run to run.
    - Few examples, since each may start a server.
    - No phases ``target`` and ``explain``, which run a failing test many more times.
    - A failure prints the blob for ``@reproduce_failure``, so that a run elsewhere can be repeated here.

    Everything else, health checks above all, is as it was: ``mailauth_factory`` has the scope of the session, which is
    why Hypothesis has nothing against it.

    Examples:
        >>> from hypothesis import settings
        >>> register()
        >>> settings.get_profile("mailauth").deadline is None
        True
    """
    from hypothesis import Phase, settings  # noqa: PLC0415 - see above
    from hypothesis.errors import InvalidArgument  # noqa: PLC0415 - see above

    try:
        settings.get_profile(PROFILE)
    except InvalidArgument:
        settings.register_profile(
            PROFILE,
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        )
