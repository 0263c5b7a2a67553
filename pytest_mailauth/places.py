"""Where a secret may have been left: every text that can be got out of a log, a capture, an exception, an object.

A row a kind of object. What is found is bytes with the name of the place, and nothing is judged here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pytest_mailauth.model.errors import ConfigError

DEPTH: Final = 4
"""How many objects may stand within each other whose attributes are looked at."""
MOST: Final = 20_000
"""Objects that are looked at in one walk."""
_NOT_ENTERED: Final = frozenset(
    {"_pytest", "pytest", "pytest_mailauth", "asyncio", "logging", "socket", "ssl", "threading"}
)
"""Top-level packages whose objects keep their attributes to themselves: machinery that leads to everything else, and
our own, which hold secrets and do not show them."""
_PHASES: Final = ("setup", "call", "teardown")


class Place(NamedTuple):
    """A text, as bytes, with the name of where it was found; *root* is what the search began with."""

    root: str
    name: str
    data: bytes

    def __repr__(self) -> str:
        return f"Place({self.root!r}, <{len(self.data)} bytes>)"


def places(thing: object, *, frame_locals: bool = False, attributes: bool = False) -> Iterator[Place]:
    """Yield every text that can be got out of *thing*.

    Args:
        thing: What to look into.
        frame_locals: Whether the local variables in the frames of tracebacks are shown too.
        attributes: Whether the attributes of objects are looked into, and those of the objects they hold.

    Raises:
        ConfigError: A path does not exist, or attributes lead to everything there is.
    """
    walk = _Walk(frame_locals=frame_locals, attributes=attributes)
    root = walk.named(thing)
    for name, data in walk.into(thing, root):
        yield Place(root, name, data)


def put_back(thing: object, taken: Sequence[Place], clean: Callable[[str], str]) -> None:
    """Write what was taken out of a capture back into it, each text as *clean* returns it."""
    if isinstance(thing, pytest.CaptureFixture):
        for stream, place in zip((sys.stdout, sys.stderr), taken, strict=True):
            stream.flush()
            # Bytes, whatever the kind of the capture: text goes through the same buffer.
            text = clean(place.data.decode("utf-8", "surrogateescape"))
            stream.buffer.write(text.encode("utf-8", "surrogateescape"))
            stream.flush()


def _may_be_entered(thing: object) -> bool:
    kind = type(thing)
    if isinstance(thing, type | types.ModuleType | types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return False
    return str(getattr(kind, "__module__", "")).partition(".")[0] not in _NOT_ENTERED


def _attributes_of(thing: object) -> Iterator[tuple[str, object]]:
    """Yield what *thing* keeps in its dictionary and its slots. No property and no method of its class is called."""
    for kind in type(thing).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # a slot that was never filled
                    yield name, member.__get__(thing)
            elif name == "__dict__" and isinstance(member, types.GetSetDescriptorType):
                yield from tuple(member.__get__(thing).items())


_Texts = Iterator[tuple[str, bytes]]


class _Walk:
    """One walk through an object and what it holds. Nothing is entered twice."""

    def __init__(self, *, frame_locals: bool, attributes: bool) -> None:
        self._frame_locals = frame_locals
        self._entered: dict[int, object] = {}
        self._depth = 0 if attributes else DEPTH

    def named(self, thing: object) -> str:
        """Return what the thing is called in front of people."""
        match thing:
            case pytest.LogCaptureFixture():
                return "caplog"
            case pytest.CaptureFixture():
                return "the captured output"
            case pytest.WarningsRecorder():
                return "recwarn"
            case pytest.ExceptionInfo():
                return self.named(thing.value)
            case BaseException():
                return f"the exception {type(thing).__name__}"
            case Path():
                return f"the {'folder' if thing.is_dir() else 'file'} {thing.name}"
            case logging.LogRecord():
                return f"the record of {thing.name!r}"
            case _:
                return f"the {type(thing).__name__}"

    def into(self, thing: object, name: str) -> _Texts:
        """Yield the texts of *thing* with the names of their places."""
        if isinstance(thing, str):
            yield name, thing.encode("utf-8", "surrogatepass")
            return
        if isinstance(thing, bytes | bytearray | memoryview):
            yield name, bytes(thing)
            return
        if id(thing) in self._entered:
            return
        self._entered[id(thing)] = thing  # kept, so that its id is not given to another
        for kind, enter in self._KINDS:
            if isinstance(thing, kind):
                yield from enter(self, thing, name)
                return
        yield from self._shown(thing, name)
        yield from self._attributes(thing, name)

    def _attributes(self, thing: object, name: str) -> _Texts:
        if self._depth == DEPTH or not _may_be_entered(thing):
            return
        if len(self._entered) > MOST:
            raise ConfigError(f"more than {MOST} objects hang together with {name}; give what is logged or sent of it")
        self._depth += 1
        try:
            for key, value in _attributes_of(thing):
                yield from self.into(value, f"{name}, {key}")
        finally:
            self._depth -= 1

    def _shown(self, thing: object, name: str) -> _Texts:
        for word, show in (("repr", repr), ("text", str)):
            try:
                text = show(thing)
            except Exception as error:  # noqa: BLE001 - the object's own mistake, which says something too
                text = f"{type(error).__name__}: {error}"
            yield from self.into(text, f"the {word} of {name}")

    def _caplog(self, caplog: pytest.LogCaptureFixture, _name: str) -> _Texts:
        phases = [caplog.get_records(phase) for phase in _PHASES]
        records = {id(record): record for phase in (*phases, caplog.records) for record in phase}
        for number, record in enumerate(records.values(), 1):
            yield from self.into(record, f"caplog, record {number} of {record.name!r}")

    def _record(self, record: logging.LogRecord, name: str) -> _Texts:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # wrong arguments for its format: they are looked at below
            message = ""
        yield from self.into(message, f"{name}, message")
        for key, value in vars(record).items():
            if value is not None:
                yield from self.into(value, f"{name}, {key}")

    def _capture(self, capture: pytest.CaptureFixture[Any], _name: str) -> _Texts:
        for stream, text in zip(("stdout", "stderr"), capture.readouterr(), strict=True):
            yield from self.into(text, f"what was printed to {stream}")

    def _exception(self, error: BaseException, name: str) -> _Texts:
        yield from self._shown(error, name)
        shown = traceback.TracebackException.from_exception(error, capture_locals=self._frame_locals)
        yield from self.into("".join(shown.format(chain=False)), f"{name}, traceback")
        members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        for other in (error.__cause__, error.__context__, *members):
            if other is not None:
                yield from self.into(other, f"{name}, {type(other).__name__} behind it")
        # Last: the members of a group are among its arguments.
        yield from self.into(error.args, f"{name}, args")
        for key, value in _attributes_of(error):
            yield from self.into(value, f"{name}, {key}")

    def _path(self, path: Path, name: str) -> _Texts:
        if not path.exists():
            raise ConfigError(f"{path} does not exist, so nothing can be looked for in it")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            where = name if file == path else f"{name}, {file.relative_to(path)}"
            yield from self.into(str(file), f"the name of {where}")
            if file.is_file():
                yield where, file.read_bytes()

    def _mapping(self, mapping: Mapping[object, object], name: str) -> _Texts:
        for number, (key, value) in enumerate(mapping.items(), 1):
            yield from self.into(key, f"{name}, key {number}")
            yield from self.into(value, f"{name}, {key!r}")

    def _items(self, items: Sequence[object] | AbstractSet[object], name: str) -> _Texts:
        for number, item in enumerate(items, 1):
            yield from self.into(item, f"{name}, item {number}")

    def _warning(self, warning: warnings.WarningMessage, name: str) -> _Texts:
        yield from self.into(warning.message, name)

    def _memory(self, memory: io.StringIO | io.BytesIO, name: str) -> _Texts:
        yield from self.into(memory.getvalue(), name)

    _KINDS: Final[tuple[tuple[Any, Callable[[_Walk, Any, str], _Texts]], ...]] = (
        (pytest.LogCaptureFixture, _caplog),
        (logging.LogRecord, _record),
        (pytest.CaptureFixture, _capture),
        (pytest.ExceptionInfo, lambda walk, info, name: walk.into(info.value, name)),
        (BaseException, _exception),
        (pytest.WarningsRecorder, lambda walk, recorder, name: walk.into(recorder.list, name)),
        (warnings.WarningMessage, _warning),
        (Path, _path),
        ((io.StringIO, io.BytesIO), _memory),
        (Mapping, _mapping),
        ((Sequence, AbstractSet), _items),
    )
