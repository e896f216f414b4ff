"""Where a server listens."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest

from pyreg.server import systemd
from pyreg.server.sockets import BindError, inherited, listen
from tests.server.conftest import Start


@pytest.mark.parametrize(
    ("address", "name", "exposed"),
    [
        ("127.0.0.1:0", "127.0.0.1:", False),
        ("localhost:0", "127.0.0.1:", False),
        ("[::1]:0", "[::1]:", False),
        (":0", "[::]:", True),
        ("0.0.0.0:0", "0.0.0.0:", True),
    ],
)
def test_addresses(address: str, name: str, exposed: bool) -> None:
    if "::" in name and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    listener = listen(address)
    try:
        assert listener.name.startswith(name)
        assert not listener.name.endswith(":0")
        assert listener.exposed is exposed
        if address == ":0":  # both kinds of addresses
            port = listener.sock.getsockname()[1]
            socket.create_connection(("127.0.0.1", port)).close()
            socket.create_connection(("::1", port)).close()
    finally:
        listener.close()


@pytest.mark.parametrize(
    "address", ["", "5000", "::1:5000", "host:port", "host:70000", "http://host:5000", "[::1]"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BindError, match="expected host:port"):
        listen(address)


def test_an_address_in_use() -> None:
    first = listen("127.0.0.1:0")
    try:
        with pytest.raises(BindError, match=r"^cannot listen on 127.*: address already in use$"):
            listen(first.name)
    finally:
        first.close()


def test_a_unix_socket_comes_and_goes(short_dir: Path) -> None:
    path = short_dir / "s"
    listener = listen(f"unix:{path}")
    assert stat.S_ISSOCK(path.stat().st_mode)
    with pytest.raises(BindError, match="another process listens there"):
        listen(f"unix:{path}")
    listener.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_nothing_else(short_dir: Path) -> None:
    path = short_dir / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))  # and is closed without being removed
    listener = listen(f"unix:{path}")
    path.unlink()
    path.write_text("somebody else's")
    listener.close()
    assert path.read_text() == "somebody else's"
    with pytest.raises(BindError, match="is not a socket"):
        listen(f"unix:{path}")
    with pytest.raises(BindError, match="no such file"):
        listen(f"unix:{short_dir}/none/s")
    with pytest.raises(BindError, match="too long"):
        listen(f"unix:{short_dir}/{'s' * 200}")


def test_descriptors_for_somebody_else_are_left_alone() -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "PATH": "x"}
    assert inherited(environ) == []
    assert environ == {"PATH": "x"}


def test_a_server_on_a_unix_socket(start: Start, short_dir: Path) -> None:
    path = short_dir / "pyreg.sock"
    server = start({"http": {"net": "unix", "addr": str(path)}}, bind=())
    assert f"serving on http+unix:{path}" in server.log
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.put("http://x/count", content=b"x" * 1_000_000).text == "1000000"
    server.stop()
    assert not path.exists()
    assert " unix " in server.log


def test_a_server_on_several_addresses(start: Start, short_dir: Path) -> None:
    path = short_dir / "pyreg.sock"
    server = start(bind=("127.0.0.1:0", f"unix:{path}"))
    assert f", http+unix:{path} with 2 workers" in server.log
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://x/pid").status_code == 200


def test_an_address_in_use_ends_the_server_with_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        server = start(bind=[address], wait=False)
        assert server.wait() == 1
    assert server.log == f"cannot listen on {address}: address already in use\n"


def test_a_socket_of_systemd(start: Start) -> None:
    """It is used whatever the configuration says, and outlives the server."""
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def as_descriptor_3() -> None:
            os.dup2(sock.fileno(), 3)

        server = start(
            {"http": {"net": "unix", "addr": "/nowhere/at/all"}},
            bind=(),
            env={"PYREG_TEST_LISTEN": "1"},
            close_fds=False,
            preexec_fn=as_descriptor_3,
        )
        assert server.port == sock.getsockname()[1]
        assert server.get("/pid").status_code == 200
        server.stop()
        with socket.create_connection(sock.getsockname(), timeout=5):
            pass  # waits for the next server


def test_the_service_manager_is_told(
    start: Start, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = short_dir / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(10)
        server = start(env={"NOTIFY_SOCKET": str(path)})
        assert sock.recv(100) == b"READY=1"
        server.signal(1)
        assert sock.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert sock.recv(100) == b"READY=1"
        server.stop()
        messages = [sock.recv(100)]
        while messages[-1] != b"STOPPING=1":
            messages.append(sock.recv(100))
    monkeypatch.setenv("NOTIFY_SOCKET", "@pyreg-test")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0pyreg-test")
        threading.Thread(target=systemd.notify, args=(systemd.READY,)).start()
        assert sock.recv(100) == b"READY=1"
