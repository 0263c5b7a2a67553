"""A network of its own for a program: names, ports and blocks inside, and nothing changed or left outside."""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from wire_client import DEADLINE

import pytest_mailauth
from pytest_mailauth.model.errors import CannotServe, ConfigError, ServerFault
from pytest_mailauth.network import blocking, files, namespace
from pytest_mailauth.network.namespace import Namespace

if Namespace.probe() is not None:
    pytest.skip(Namespace.probe(), allow_module_level=True)

ROOM = "127.42.0.7"
NAME = "smtp.mail.example.test"
FOR_EVER = "86400"
PACKAGE = Path(pytest_mailauth.__file__).parent.parent


@pytest.fixture
def inside():
    with Namespace() as one:
        yield one


@pytest.fixture(params=[ROOM, "::1"])
def address(request, inside):
    try:
        inside.listen(request.param, 0).close()
    except CannotServe as refusal:
        pytest.skip(str(refusal))
    return request.param


def python(inside, program, *arguments, **options):
    """Run a Python program inside and return what it prints."""
    command = [sys.executable, "-I", "-S", "-c", program, *map(str, arguments)]
    return inside.run(command, text=True, check=True, timeout=DEADLINE, **options).stdout.strip()


CONNECT = """
import errno, socket, sys
host, port, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
try:
    with socket.create_connection((host, port), timeout) as one:
        print(one.recv(100).decode() if len(sys.argv) > 4 else "connected")
except TimeoutError:
    print("timed out")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
SHORT = 0.3
"""Seconds after which a client has waited long enough for something that must not come."""


def needs_block(*ways):
    """Skip where the kernel cannot block a port in one of these ways."""
    for how in ways:
        reason = Namespace.probe(how)
        if reason is not None:
            pytest.skip(reason)


def connect(inside, host, port, timeout=DEADLINE):
    return python(inside, CONNECT, host, port, timeout)


@contextlib.contextmanager
def greeting(listener, text):
    """Greet whoever comes, in a thread that ends with the listener."""

    def greet():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.sendall(text.encode())

    thread = threading.Thread(target=greet)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE)


# Names and ports.


@pytest.mark.parametrize("port", [25, 110, 143, 465, 587, 993, 995])
def test_a_program_finds_a_real_name_on_a_real_port(inside, port):
    inside.names({NAME: ROOM})
    with inside.listen(ROOM, port) as listener, greeting(listener, f"port {port}"):
        assert listener.getsockname() == (ROOM, port)
        assert python(inside, CONNECT, NAME, port, DEADLINE, "read") == f"port {port}"


def test_one_port_on_several_addresses_is_several_ports(inside, address):
    addresses = ("127.42.0.8", "127.42.0.9", address)
    with contextlib.ExitStack() as open_still:
        for each in addresses:
            listener = open_still.enter_context(inside.listen(each, 587))
            open_still.enter_context(greeting(listener, each))
        for each in addresses:
            assert python(inside, CONNECT, each, 587, DEADLINE, "read") == each


def test_a_name_may_have_several_addresses_and_another_replaces_it(inside):
    look_up = "import socket, sys; print(*sorted({one[4][0] for one in socket.getaddrinfo(sys.argv[1], 25)}))"
    inside.names({NAME: (ROOM, "127.42.0.8"), "localhost.example.test": "::1"})
    assert python(inside, look_up, NAME) == "127.42.0.7 127.42.0.8"
    assert "127.0.0.1" in python(inside, look_up, "localhost")
    inside.names({"other.example.test": "127.42.0.9"})
    assert python(inside, look_up, "other.example.test") == "127.42.0.9"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python(inside, look_up, NAME)
    assert "Name or service not known" in failed.value.stderr  # at once, by nobody outside


def test_a_thousand_names(inside):
    inside.names(
        {f"host-{number}.example.test": f"127.42.{number // 250}.{number % 250 + 1}" for number in range(1000)}
    )
    look_up = "import socket; print(socket.gethostbyname('host-999.example.test'))"
    assert python(inside, look_up) == "127.42.3.250"
    assert python(inside, "print(len(open('/etc/hosts').readlines()))") in ("1002", "1003")


@pytest.mark.skipif(os.uname().nodename == "localhost", reason="this machine has no other name")
def test_this_machine_has_its_name(inside):
    look_up = "import socket; print(socket.gethostbyname(socket.gethostname()))"
    assert python(inside, look_up) == "127.0.1.1"
    inside.names({os.uname().nodename: ROOM})
    assert python(inside, look_up) == ROOM


def test_namespaces_do_not_see_each_other_and_nobody_outside_sees_them(inside):
    with Namespace() as other, inside.listen(ROOM, 587) as mine, other.listen(ROOM, 587) as theirs:
        with greeting(mine, "mine"), greeting(theirs, "theirs"):
            assert python(inside, CONNECT, ROOM, 587, DEADLINE, "read") == "mine"
            assert python(other, CONNECT, ROOM, 587, DEADLINE, "read") == "theirs"
        with socket.socket() as outside:
            outside.settimeout(DEADLINE)
            assert outside.connect_ex((ROOM, 587)) == errno.ECONNREFUSED


def test_there_is_no_other_network(inside):
    reach = "import socket\none = socket.socket(type=socket.SOCK_DGRAM)\nprint(one.connect_ex(('192.0.2.1', 53)))"
    assert python(inside, reach) == str(errno.ENETUNREACH)
    assert python(inside, "print(open('/etc/resolv.conf').read())") == "nameserver 127.0.0.1\nsearch ."
    assert python(inside, "import socket; print([name for _, name in socket.if_nameindex()])") == "['lo']"


def test_a_socket_belongs_to_its_owner(inside):
    with inside.listen(ROOM, 25) as listener:
        assert not listener.get_inheritable()
        with pytest.raises(ConfigError, match=r"127\.42\.0\.7 port 25 is taken in this namespace"):
            inside.listen(ROOM, 25)
    assert connect(inside, ROOM, 25) == "ECONNREFUSED"  # nobody holds it beside the owner
    inside.listen(ROOM, 25).close()


def test_the_system_chooses_a_port(inside):
    with inside.listen(ROOM, 0) as listener:
        assert connect(inside, ROOM, listener.getsockname()[1]) == "connected"


WRONG = [
    (lambda one: one.names({NAME: "192.0.2.1"}), r"'192\.0\.2\.1' is no address in a namespace; use one in 127\.0"),
    (lambda one: one.names({NAME: (ROOM, "::2")}), "'::2' is no address in a namespace"),
    (lambda one: one.names({"two words": ROOM}), "'two words' is no name of a host"),
    (lambda one: one.names({"a\n127.0.0.1 b": ROOM}), "is no name of a host"),
    (lambda one: one.listen("example.test", 25), "'example.test' is no address"),
    (lambda one: one.listen("0.0.0.0", 25), "is no address"),  # noqa: S104 - refused
    (lambda one: one.listen(ROOM, 65536), "port=65536 must be a number from 0 to 65535"),
    (lambda one: one.block(ROOM, 0), "port=0 must be a number from 1 to 65535"),
    (lambda one: one.block(ROOM, "25"), "port='25' must be a number"),
    (lambda one: one.block("192.0.2.1", 25), "is no address"),
    (lambda one: one.block(ROOM, 25, how="closed"), "how='closed' is not known; use one of 'timeout', 'refused', 'res"),
    (lambda one: one.lift("192.0.2.1"), "is no address"),
    (lambda one: one.resolver("192.0.2.1"), "is no address"),
    (lambda one: one.run([]), "there is no program to run"),
]


@pytest.mark.parametrize(("do", "message"), WRONG)
def test_what_makes_no_sense_is_refused(inside, do, message):
    with pytest.raises(ConfigError, match=message):
        do(inside)


def test_an_own_resolver_of_a_program_finds_a_dns_server(inside):
    question = b"\x03own\x07example\x04test\x00"
    inside.resolver("127.42.0.53")
    with inside.listen("127.42.0.53", 53, datagrams=True) as server:
        server.settimeout(DEADLINE)

        def answer():
            for _ in range(2):  # A and AAAA
                query, client = server.recvfrom(512)
                kind = query[12 + len(question) : 14 + len(question)]
                found = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x2a\x00\x63" if kind == b"\0\1" else b""
                head = query[:2] + b"\x85\x80\0\1" + (b"\0\1" if found else b"\0\0") + bytes(4)
                server.sendto(head + query[12 : 16 + len(question)] + found, client)

        thread = threading.Thread(target=answer)
        thread.start()
        look_up = "import socket; print({one[4][0] for one in socket.getaddrinfo('own.example.test', 25)})"
        assert python(inside, look_up) == "{'127.42.0.99'}"
        thread.join(DEADLINE)
    assert python(inside, "print(open('/etc/resolv.conf').read())") == "nameserver 127.42.0.53\nsearch ."


# Blocked ports.

MEETS = {
    "timeout": ("timed out", "timed out"),
    "refused": ("ECONNREFUSED", "ECONNREFUSED"),
    "reset": ("ECONNRESET", "ECONNRESET"),
    "prohibited": ("EHOSTUNREACH", "EACCES"),
    "unreachable": ("EHOSTUNREACH", "EHOSTUNREACH"),
}


def test_every_way_to_block_is_tested():
    assert set(MEETS) == set(blocking.HOW)


@pytest.mark.parametrize("how", MEETS)
def test_a_blocked_port_although_somebody_listens(inside, address, how):
    needs_block(how)
    expected = MEETS[how][address == "::1"]
    with inside.listen(address, 25) as listener, inside.listen(address, 587):
        assert connect(inside, address, 25) == "connected"
        with listener.accept()[0]:
            pass
        inside.block(address, 25, how=how)
        assert connect(inside, address, 25, SHORT if how == "timeout" else DEADLINE) == expected
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert connect(inside, address, 587) == "connected"
        inside.lift(address, 25)
        assert connect(inside, address, 25) == "connected"


@pytest.mark.parametrize("how", ["prohibited", "unreachable"])
def test_unreachable_is_said_at_once(inside, address, how):
    needs_block(how)
    inside.block(address, 25, how=how)
    program = (
        "import errno, socket, sys\n"
        "one = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)\n"
        "one.setblocking(False)\n"
        "print(errno.errorcode[one.connect_ex((sys.argv[1], 25))])\n"
    )
    assert python(inside, program, address) == MEETS[how][address == "::1"]


@pytest.mark.parametrize("how", MEETS)
def test_a_blocked_port_where_nobody_listens(inside, address, how):
    needs_block(how)
    inside.block(address, 25, how=how)
    expected = "ECONNREFUSED" if how == "reset" else MEETS[how][address == "::1"]
    assert connect(inside, address, 25, SHORT if how == "timeout" else DEADLINE) == expected


@pytest.mark.parametrize("every", MEETS)
@pytest.mark.parametrize("one", ["refused", "unreachable"])
def test_the_block_of_one_address_counts_before_that_of_every_address(inside, address, one, every):
    needs_block(one, every)
    other = "127.42.0.8" if address == ROOM else ROOM
    with inside.listen(address, 25), inside.listen(other, 25):
        inside.block(None, 25, how=every)
        inside.block(address, 25, how=one)
        assert connect(inside, address, 25) == MEETS[one][address == "::1"]
        assert connect(inside, other, 25, SHORT if every == "timeout" else DEADLINE) == MEETS[every][other == "::1"]
        inside.lift(None, 25)
        assert connect(inside, address, 25) == connect(inside, other, 25) == "connected"


def test_blocks_come_and_go(inside):
    needs_block("refused", "unreachable")
    with inside.listen(ROOM, 25), inside.listen(ROOM, 587):
        inside.block(ROOM, 25, how="refused")
        inside.block(ROOM, 25, how="unreachable")  # another one of the same port replaces it
        inside.block(ROOM, 587, how="refused")
        assert [connect(inside, ROOM, port) for port in (25, 587)] == ["EHOSTUNREACH", "ECONNREFUSED"]
        inside.lift("127.42.0.8")
        inside.lift(port=465)
        assert [connect(inside, ROOM, port) for port in (25, 587)] == ["EHOSTUNREACH", "ECONNREFUSED"]
        inside.lift(port=587)
        assert [connect(inside, ROOM, port) for port in (25, 587)] == ["EHOSTUNREACH", "connected"]
        inside.lift()
        assert [connect(inside, ROOM, port) for port in (25, 587)] == ["connected", "connected"]


@pytest.mark.parametrize("how", ["timeout", "refused"])
def test_an_open_connection_goes_on_when_new_ones_are_blocked(inside, how):
    needs_block(how)
    program = (
        "import socket, sys\n"
        "one = socket.create_connection((sys.argv[1], 25))\n"
        "one.recv(1)\n"
        "one.sendall(b'still here')\n"
    )
    with inside.listen(ROOM, 25) as listener:
        listener.settimeout(DEADLINE)
        with inside.popen([sys.executable, "-c", program, ROOM]) as process, listener.accept()[0] as client:
            client.settimeout(DEADLINE)
            inside.block(ROOM, 25, how=how)
            client.sendall(b"x")
            assert client.recv(100) == b"still here"
        assert process.returncode == 0


UNKNOWN = {
    "timeout": ("filters", lambda _: blocking.filters(()).replace(b"filter\0", b"kettle\0")),
    "unreachable": ("foundation", lambda _: blocking._message(1000, 0, bytes(16))),
}


@pytest.mark.parametrize("how", UNKNOWN)
def test_a_kernel_that_cannot_block(inside, monkeypatch, how):
    needs_block(how)
    part, message = UNKNOWN[how]
    unknown = message(())
    with inside.listen(ROOM, 25), monkeypatch.context() as patched:
        patched.setattr(blocking, part, lambda *_: unknown)
        with pytest.raises(CannotServe, match="this kernel cannot block a port: "):
            inside.block(ROOM, 25, how=how)
        patched.undo()
        assert connect(inside, ROOM, 25) == "connected"
        inside.block(ROOM, 587, how=how)
        assert connect(inside, ROOM, 25) == "connected"


# Programs.


def test_a_program_is_run_as_it_would_be_outside(inside, tmp_path):
    (tmp_path / "file").write_text("here")
    done = inside.run(
        ["sh", "-c", "cat file -; pwd; echo $WORD >&2; exit 3"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "WORD": "said"},
        input=b" and there\n",
    )
    assert done.returncode == 3
    assert done.stdout == f"here and there\n{tmp_path}\n".encode()
    assert done.stderr == b"said\n"
    assert done.args == ["sh", "-c", "cat file -; pwd; echo $WORD >&2; exit 3"]


def test_a_failing_program_can_be_an_error(inside):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        inside.run(["sh", "-c", "echo why; exit 7"], check=True)
    assert (failed.value.returncode, failed.value.stdout) == (7, b"why\n")


def test_a_program_gets_nothing_that_it_would_not_get_outside(inside):
    command = ["/bin/sh", "-c", "ls /proc/self/fd; id -u; id -g; grep -E 'Sig(Ign|Blk)' /proc/self/status; env"]
    environment = {"LC_ALL": "C", "PATH": os.environ["PATH"], "BYTES": "\udcff"}
    done = inside.run(command, env=environment, stdin=subprocess.DEVNULL)
    outside = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=True)
    assert done.stdout == outside.stdout


def test_what_a_program_closes_is_closed(inside):
    with inside.popen(["sh", "-c", f"echo said; exec sleep {FOR_EVER} >&-"], stdout=subprocess.PIPE) as process:
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        try:
            reader.join(DEADLINE)
            assert not reader.is_alive()
            assert process.poll() is None
        finally:
            process.terminate()
            reader.join(DEADLINE)


def test_asyncio_starts_a_program_inside(inside):
    async def start():
        command = inside.command(["cat", "/etc/resolv.conf"])
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        return (await process.communicate())[0]

    assert asyncio.run(start()) == b"nameserver 127.0.0.1\nsearch .\n"


def test_a_signal_that_ends_a_program_is_told(inside):
    assert inside.run(["sh", "-c", "kill -SEGV $$"]).returncode == -signal.SIGSEGV
    assert inside.run(["sh", "-c", "kill -KILL $$"]).returncode == -signal.SIGKILL


def test_a_program_that_is_not_there(inside, tmp_path):
    for program in ("no-such-program", tmp_path / "no-such-program"):
        with pytest.raises(FileNotFoundError, match="no-such-program"):
            inside.run([program])
    (tmp_path / "one").write_text("#!/bin/sh\necho one\n")
    (tmp_path / "one").chmod(0o755)
    assert inside.run(["./one"], cwd=tmp_path).stdout == b"one\n"


@pytest.mark.parametrize(("program", "status"), [("/no-such-program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run_says_so_as_a_shell_does(inside, program, status):
    done = subprocess.run(inside.command([program]), capture_output=True, check=False)
    assert done.returncode == status
    assert f"mailauth: cannot run {program}: ".encode() in done.stderr


def marked(tmp_path):
    """Return the processes that were started with the test's own folder in their environment."""
    mark = f"MARK={tmp_path}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found


TREE = f"setsid sleep {FOR_EVER} & sleep {FOR_EVER} & echo started"
"""A shell that leaves processes behind, one of them in a session of its own."""


@pytest.fixture
def environment(tmp_path):
    return os.environ | {"MARK": str(tmp_path)}


def test_what_a_program_leaves_behind_ends_with_it(inside, tmp_path, environment):
    done = inside.run(["sh", "-c", TREE], env=environment, timeout=DEADLINE)
    assert done.stdout == b"started\n"
    assert not marked(tmp_path)


def test_a_program_and_its_children_are_ended_at_the_time_out(inside, tmp_path, environment):
    with pytest.raises(subprocess.TimeoutExpired) as late:
        inside.run(["sh", "-c", f"{TREE}; wait"], env=environment, timeout=SHORT, text=True)
    assert late.value.output in ("started\n", "")  # it may have had no time for that
    assert not marked(tmp_path)


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_process_is_ended_with_everything_it_started(inside, tmp_path, environment, end):
    with inside.popen(["sh", "-c", f"{TREE}; wait"], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        assert len(marked(tmp_path)) >= 4
        getattr(process, end)()
        assert process.wait(DEADLINE) == -getattr(signal, f"SIG{end[:4].upper()}")
        assert process.communicate(timeout=DEADLINE) == (b"", None)  # every process that had it open is gone
    if end == "terminate":
        assert not marked(tmp_path)


def test_closing_ends_what_runs_inside(tmp_path, environment):
    with Namespace() as inside:
        process = inside.popen(["sh", "-c", f"{TREE}; wait"], env=environment, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"started\n"
    assert process.returncode == -signal.SIGKILL
    assert not marked(tmp_path)
    process.stdout.close()


OWNER = f"""
import sys
from pytest_mailauth.network.namespace import Namespace
with Namespace() as inside:
    inside.popen(["sh", "-c", {TREE + "; wait"!r}])
    inside.run(["sleep", "{FOR_EVER}"], stdout=None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_the_process_that_made_it(tmp_path, environment, number):
    environment |= {"PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"started\n"
        owner.send_signal(number)
        # Both end when nobody has them open any more: not the helper, no program, and nothing that one has started.
        out, err = owner.communicate(timeout=DEADLINE)
    assert out == b""
    assert (b"KeyboardInterrupt" in err) == (number == signal.SIGINT)
    assert b"ResourceWarning" not in err
    deadline = time.monotonic() + DEADLINE
    while marked(tmp_path) and time.monotonic() < deadline:
        pass
    assert not marked(tmp_path)


def test_a_helper_that_dies_takes_everything_with_it(tmp_path, environment):
    with Namespace() as inside:
        process = inside.popen(["sh", "-c", f"{TREE}; wait"], env=environment, stdout=subprocess.PIPE)
        with process, contextlib.ExitStack() as however_it_goes:
            however_it_goes.callback(process.kill)
            assert process.stdout.readline() == b"started\n"
            inside._channel._process.kill()
            assert process.wait(DEADLINE) == -signal.SIGKILL
        assert not marked(tmp_path)
        with pytest.raises(ServerFault, match="helper has ended"):
            inside.names({})


def test_a_program_that_is_lost_has_ended(inside, tmp_path, environment):
    process = inside.popen(["sh", "-c", f"{TREE}; wait"], env=environment, stdout=subprocess.PIPE)
    with process, contextlib.ExitStack() as however_it_goes:
        however_it_goes.callback(process.kill)
        assert process.stdout.readline() == b"started\n"
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGKILL)
        assert process.wait(DEADLINE) == -signal.SIGKILL
    assert not marked(tmp_path)


def test_a_closed_namespace_says_so():
    with Namespace() as inside:
        command = inside.command(["true"])
    inside.close()
    with pytest.raises(RuntimeError, match="this namespace is closed; make a new one"):
        inside.listen(ROOM, 25)
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 125
    assert b"mailauth: cannot enter the namespace: " in done.stderr


def test_another_process_with_the_number_of_the_helper_is_not_entered(inside):
    command = inside.command(["true"])
    number = command.index(str(inside._channel._process.pid))
    command[number + 1] = "1"
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 125
    assert b"it is closed" in done.stderr


def test_nothing_outside_is_changed(inside, tmp_path):
    places = ("/proc/self/mountinfo", "/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf", "/proc/self/uid_map")
    before = {place: Path(place).read_bytes() for place in places if Path(place).exists()}
    package = sorted(Path(namespace.__file__).parent.iterdir())
    with Namespace() as other:
        other.names({NAME: ROOM})
        other.resolver(ROOM)
        other.run(["true"])
        assert {place: Path(place).read_bytes() for place in before} == before
        assert sorted(Path(namespace.__file__).parent.iterdir()) == package
    seen = python(inside, "import os, sys; print(len(os.listdir(sys.argv[1])))", Path(namespace.__file__).parent)
    assert seen == str(len(package))  # what lay over it is gone


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_service_outside_is_not_asked_for_names(tmp_path):
    program = (
        "import ctypes, os, socket, sys\n"
        "from pytest_mailauth.network.namespace import Namespace\n"
        "assert ctypes.CDLL(None).mount(b'none', b'/run', b'tmpfs', 0, None) == 0\n"
        "os.mkdir('/run/nscd')\n"
        "reach = 'import socket; print(socket.socket(socket.AF_UNIX).connect_ex(\"/run/nscd/socket\"))'\n"
        "with socket.socket(socket.AF_UNIX) as service:\n"
        "    service.bind('/run/nscd/socket')\n"
        "    service.listen()\n"
        "    with socket.socket(socket.AF_UNIX) as outside, Namespace() as inside:\n"
        "        print(outside.connect_ex('/run/nscd/socket'))\n"
        "        print(inside.run([sys.executable, '-c', reach], text=True).stdout)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", str(errno.ECONNREFUSED)], done.stderr


# Who is served.

AS_USER = f"""
import sys
from pytest_mailauth.network.namespace import Namespace
with Namespace() as inside, inside.listen({ROOM!r}, 25), inside.listen({ROOM!r}, 587):
    inside.names({{{NAME!r}: {ROOM!r}}})
    inside.block({ROOM!r}, 25, how="refused")
    print(inside.run(["id", "-u"], text=True).stdout.strip(), end=" ")
    for port in ("587", "25"):
        print(inside.run([sys.executable, "-I", "-S", "-c", {CONNECT!r}, {NAME!r}, port, "10"], text=True).stdout.strip(), end=" ")
"""
NOBODY_IN_PARTICULAR = 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root has been served all along")
def test_an_unprivileged_user_is_served():
    options = {
        "env": {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE)},
        "user": NOBODY_IN_PARTICULAR,
        "group": NOBODY_IN_PARTICULAR,
        "extra_groups": [],
        "cwd": "/",
        "capture_output": True,
        "text": True,
    }
    interpreter = next(interpreters_of_a_user(options), None)
    if interpreter is None:
        pytest.skip(f"an unprivileged user can run no Python of 3.11 or newer, or cannot read {PACKAGE}")
    done = subprocess.run([interpreter, "-W", "error", "-c", AS_USER], check=False, **options)
    assert done.stdout == f"{NOBODY_IN_PARTICULAR} connected ECONNREFUSED ", done.stderr


def interpreters_of_a_user(options):
    """Yield the interpreters that can import the module with these options. Ours may stand in root's home."""
    for name in (os.path.realpath(sys.executable), "/usr/local/bin/python3", "/usr/bin/python3"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([name, "-c", "import pytest_mailauth.network.namespace"], check=True, **options)
            yield name


def test_a_namespace_in_a_namespace(inside):
    program = (
        "from pytest_mailauth.network.namespace import Namespace\n"
        "with Namespace() as inner, inner.listen('127.0.0.1', 25) as listener:\n"
        "    print(listener.getsockname()[1], inner.run(['id', '-u'], text=True).stdout.strip())\n"
    )
    done = inside.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(PACKAGE)}, text=True)
    assert done.stdout.split() == ["25", str(os.geteuid())], done.stderr


def test_a_missing_file_is_told(inside, monkeypatch):
    monkeypatch.setattr(files, "HOSTS", "/etc/no-such-file")
    with pytest.raises(CannotServe, match="this system has no /etc/no-such-file that could be covered"):
        inside.names({})
