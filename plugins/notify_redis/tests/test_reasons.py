"""What the operator is told when a server does not take events, by servers that do not."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError, ResponseError

from plugins.notify_redis.tests.conftest import Start
from plugins.notify_redis.tests.streams import STREAM, admin, entries, opened, reason
from pyreg.hooks import Event
from pyreg.testing.events.samples import pushes
from pyreg_notify_redis.reasons import reason_of
from pyreg_notify_redis.server import Server
from tests.servers.process import free_port, until

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse"


async def test_nobody_is_there() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with opened(address=address) as sink:
        assert await reason(sink) == f"redis://{address}/0: Connection refused"


async def test_nobody_is_there_at_several_addresses() -> None:
    async with opened(address=f"localhost:{free_port()}") as sink:
        assert (await reason(sink)).endswith("/0: Connection refused")


async def test_the_name_is_not_known() -> None:
    async with opened(address="redis.invalid:6379") as sink:
        said = (await reason(sink)).removeprefix("redis://redis.invalid:6379/0: ")
        assert not said.startswith("Error")
        assert "resolution" in said or "not known" in said


async def test_no_socket_is_there(short_dir: Path) -> None:
    async with opened(url=f"unix://{short_dir}/none?db=2") as sink:
        expected = f"unix://{short_dir}/none?db=2: No such file or directory"
        assert await reason(sink) == expected


async def test_it_does_not_answer(start: Start) -> None:
    server = start()
    async with opened(url=server.url, readtimeout="200ms") as sink:
        await sink.deliver(pushes(1))
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert "Timeout reading" in await reason(sink)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        await sink.deliver(pushes(1))


async def test_a_password_is_wanted(start: Start) -> None:
    server = start(password=PASSWORD)
    async with opened(address=server.address) as sink:
        assert (await reason(sink)).endswith(": it wants a password")


async def test_the_password_is_wrong(start: Start) -> None:
    server = start(password=PASSWORD)
    for user in ("", "ann"):
        options = {"address": server.address, "username": user, "password": "battery staple"}
        async with opened(**options) as sink:
            said = await reason(sink)
            assert f"not the password of {'the user ann' if user else 'the default user'}" in said
            assert "battery" not in said


async def test_no_password_is_wanted(start: Start) -> None:
    server = start()
    async with opened(address=server.address, password=PASSWORD) as sink:
        said = await reason(sink)
        assert said.endswith("it has no password, and there is one in the configuration")


async def test_a_server_that_repeats_the_password(start: Start) -> None:
    server = start(settings={"rename-command": 'AUTH ""'})
    async with opened(address=server.address, password="secret'word") as sink:
        said = await reason(sink)
        assert "unknown command 'AUTH'" in said
        assert "word" not in said


async def test_its_memory_is_full(start: Start) -> None:
    server = start()
    async with admin(server) as client, opened(url=server.url) as sink:
        await client.config_set("maxmemory", "1")
        event = replace(pushes(1)[0], actor="a name that need not be told")
        said = await reason(sink, event, *pushes(2))
        assert said.endswith("its memory is full (maxmemory); read and trim the stream")
        await client.config_set("maxmemory", "0")
        await sink.deliver([event])
    assert len(await entries(server)) == 1


async def test_it_is_loading(start: Start) -> None:
    server = start(
        # Every key takes a while to load, and meanwhile it answers, though not much.
        settings={"key-load-delay": "50000", "loading-process-events-interval-bytes": "1024"}
    )
    async with admin(server) as client, opened(url=server.url) as sink:
        await sink.deliver(pushes(1))
        await client.mset({f"key-{number}": "x" * 1024 for number in range(200)})
        await client.save()
        await asyncio.to_thread(server.process.kill)
        server.process.ready = lambda: "Loading RDB" in server.process.log()
        await asyncio.to_thread(server.process.start)
        assert (await reason(sink)).endswith(": it is still loading its data")


async def test_it_is_a_replica(start: Start) -> None:
    master = start()
    server = start(settings={"replicaof": f"127.0.0.1 {master.port}"})
    async with admin(server) as client, opened(url=server.url) as sink:
        assert (await reason(sink)).endswith(": it is a replica, and takes no writes")
        await client.replicaof("NO", "ONE")
        await sink.deliver(pushes(1))


async def test_the_master_is_elsewhere_now(start: Start, short_dir: Path) -> None:
    """A name that leads to the master leads to another server after a failover."""
    first, second = start(), start()
    name = short_dir / "master"
    name.symlink_to(first.socket)
    events = pushes(3)
    async with admin(first) as client, opened(address=str(name)) as sink:
        await sink.deliver(events[:1])
        await client.replicaof("127.0.0.1", second.port)
        (short_dir / "new").symlink_to(second.socket)
        (short_dir / "new").replace(name)
        assert "it is a replica" in await reason(sink, events[1])
        await sink.deliver(events[1:])
    assert [entry["id"] for entry in await entries(second)] == [each.id for each in events[1:]]


async def test_too_few_replicas(start: Start) -> None:
    server = start(settings={"min-replicas-to-write": "1"})
    async with opened(url=server.url) as sink:
        said = await reason(sink)
        assert said.endswith("too few replicas follow it (min-replicas-to-write)")


async def test_it_cannot_save(start: Start, short_dir: Path) -> None:
    server = start(settings={"enable-protected-configs": "yes", "save": "3600 1000000"})
    gone = short_dir / "gone"
    gone.mkdir()
    async with admin(server) as client, opened(url=server.url) as sink:
        await client.config_set("dir", str(gone))
        gone.rmdir()
        await client.bgsave()

        async def failed() -> bool:
            return bool((await client.info())["rdb_last_bgsave_status"] == "err")

        while not await failed():
            await asyncio.sleep(0.02)
        assert "it cannot save its data to disk" in await reason(sink)
        await client.config_set("save", "")  # or it would not end without having saved


async def test_the_key_is_taken(start: Start) -> None:
    server = start()
    async with admin(server) as client, opened(url=server.url) as sink:
        await client.set(STREAM, "taken")
        said = await reason(sink, *pushes(2))
        assert said.endswith(f"the key {STREAM} is there, and is no stream")


async def test_the_user_may_not(start: Start) -> None:
    server = start()
    async with admin(server) as client:
        await client.execute_command("ACL SETUSER ann on >secret +xadd +multi +exec ~other")
        options = {"address": server.address, "username": "ann", "password": "secret"}
        async with opened(**options) as sink:
            assert f"the user may not add to {STREAM}" in await reason(sink)
        await client.execute_command(f"ACL SETUSER ann ~{STREAM}")
        async with opened(**options) as sink:
            await sink.deliver(pushes(2))
            assert STREAM in await sink.test(pushes(1)[0])
        await client.execute_command("ACL SETUSER ann +select")
        async with opened(**options, db=1) as sink:
            await sink.deliver(pushes(1))


async def test_it_is_busy(start: Start) -> None:
    server = start(settings={"busy-reply-threshold": "10"})
    async with admin(server) as client, admin(server) as other, opened(url=server.url) as sink:
        script = asyncio.create_task(client.eval("while true do end", 0))
        try:
            await asyncio.to_thread(
                until, lambda: "Slow script" in server.process.log(), seconds=30, what="a script"
            )
            assert (await reason(sink)).endswith(": it is busy with a script")
        finally:
            await other.script_kill()
            with pytest.raises(ResponseError, match="killed by user"):
                await script
        await sink.deliver(pushes(1))


async def test_it_is_a_node_of_a_cluster(start: Start) -> None:
    settings = {"cluster-enabled": "yes", "cluster-require-full-coverage": "no"}
    server = start(settings={**settings, "cluster-port": str(free_port())})
    bus = free_port()
    other = start(settings={**settings, "cluster-port": str(bus)})
    async with admin(server) as client, admin(other) as second, opened(url=server.url) as sink:
        slot = await client.execute_command("CLUSTER KEYSLOT", STREAM)
        await second.execute_command("CLUSTER ADDSLOTS", slot)
        assert (await reason(sink)).endswith(": it is a node of a cluster that is down")
        await client.execute_command("CLUSTER MEET", "127.0.0.1", other.port, bus)
        while "is down" in (said := await reason(sink)):
            await asyncio.sleep(0.05)
        assert said.endswith(f"it is a node of a cluster, and {STREAM} is on another one")


async def test_it_has_too_many_clients(start: Start) -> None:
    server = start(settings={"maxclients": "2"})
    async with admin(server) as first, admin(server) as second, opened(url=server.url) as sink:
        await first.ping()
        await second.ping()
        assert "max number of clients reached" in await reason(sink)
    async with opened(url=server.url) as sink:
        await sink.deliver(pushes(1))


async def test_what_is_unknown_is_told_in_the_words_of_the_server(start: Start) -> None:
    server = start(settings={"rename-command": 'XADD ""'})
    async with opened(url=server.url) as sink:
        event: Event = replace(pushes(1)[0], repository="team/secret")
        said = await reason(sink, event)
        assert f"redis://{server.address}/0: " in said
        assert "unknown command 'XADD'" in said
        assert len(said) < 400


@pytest.mark.parametrize(
    "said",
    [
        "Error while reading from 127.0.0.1:20833 : (104, 'Connection reset by peer')",
        "Error 104 while writing to socket. Connection reset by peer.",
        "Error 104 connecting to localhost:6379. Connection reset by peer.",
        "Error Multiple exceptions: [Errno 104] x ('::1', 1), [Errno 111] y connecting to a:1.",
    ],
)
def test_the_words_of_the_system(said: str) -> None:
    """A race decides which of them redis-py says when a server hangs up."""
    assert reason_of(ConnectionError(said), Server("a", 1), STREAM) == "Connection reset by peer"
