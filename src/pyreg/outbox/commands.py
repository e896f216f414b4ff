"""`pyreg events`: what waits for endpoints, what was given up, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import click

from pyreg.errors import ConfigurationError, PluginError, StorageError
from pyreg.hooks.events import DeliveryFailed, Event, EventSink
from pyreg.hooks.storage import StorageDriver
from pyreg.instrument import Instrumented
from pyreg.outbox.inspection import Inspection
from pyreg.outbox.queue import DeadLetter, Queue
from pyreg.outbox.record import event_document
from pyreg.outbox.shown import counted, moment, row, sample, state_of, table, what
from pyreg.participants import Participants

T = TypeVar("T")

_ENDPOINT = click.argument("endpoint")
_IDS = click.argument("ids", nargs=-1, metavar="[ID]...")
_CONFIG = click.option(
    "--config",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="The registry's configuration; otherwise the one that serve would take.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_STEP = 200  # events between two moves of the progress bar


@click.group("events", context_settings={"help_option_names": ["-h", "--help"]})
def events() -> None:
    """See what waits for endpoints, and send it again or drop it.

    Every push, mount, delete and tag is kept in the registry's storage until each endpoint of
    the configuration (notifications.endpoints) has it. What an endpoint did not take within its
    maxage or maxattempts is kept as a dead letter. These commands work beside a running
    registry.

    \b
    Examples:
      pyreg events list --config config.yml          how it stands with each endpoint
      pyreg events list deploy --dead                what was given up, and why
      pyreg events show deploy 320678d8              one event, whole
      pyreg events replay deploy --all               send all dead letters again
      pyreg events test deploy                       send a sample, and print the answer
    """


@events.command("list")
@click.argument("endpoint", required=False)
@click.option("--dead", is_flag=True, help="Show what was given up, not what waits.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Events that are shown at most.",
)
@_JSON
@_CONFIG
def list_events(
    endpoint: str | None, dead: bool, limit: int, as_json: bool, config: str | None
) -> None:
    """Show how it stands with every endpoint, or what waits for one ENDPOINT."""
    if endpoint is None:
        if dead:
            raise click.UsageError("--dead needs an ENDPOINT")
        _run(config, lambda desk: _overviews(desk, as_json))
    else:
        name = endpoint
        _run(config, lambda desk: _list_one(desk, name, dead, limit, as_json))


@events.command("show")
@_ENDPOINT
@click.argument("id")
@_CONFIG
def show(endpoint: str, id: str, config: str | None) -> None:
    """Print one event as JSON. ID may be the beginning of one."""

    async def run(desk: Desk) -> None:
        desk.check(endpoint)
        event = await desk.inspection.find(endpoint, id)
        if event is None:
            raise click.ClickException(
                f"{endpoint} has no event, or several, whose id begins with {id}; "
                f"see: pyreg events list {endpoint} [--dead]"
            )
        click.echo(json.dumps(event_document(event), indent=2))

    _run(config, run)


@events.command("replay")
@_ENDPOINT
@_IDS
@click.option("--all", "everything", is_flag=True, help="All dead letters of the endpoint.")
@_CONFIG
def replay(endpoint: str, ids: Sequence[str], everything: bool, config: str | None) -> None:
    """Send dead letters again. IDs may be beginnings of ids.

    They come to the end of the endpoint's queue, under their old ids.
    """
    _one_of(ids, everything)

    async def run(desk: Desk) -> None:
        desk.check(endpoint)
        keys = await _dead_keys(desk, endpoint, None if everything else ids)
        done = await _in_steps(
            "replaying", keys, lambda part: desk.inspection.replay(endpoint, part)
        )
        click.echo(f"{counted(done)} will be sent again")

    _run(config, run)


@events.command("drop")
@_ENDPOINT
@_IDS
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--waiting", is_flag=True, help="Drop what waits, not dead letters.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_CONFIG
def drop(
    endpoint: str,
    ids: Sequence[str],
    everything: bool,
    waiting: bool,
    yes: bool,
    config: str | None,
) -> None:
    """Throw dead letters away, or with --waiting events that wait: nobody will get them.

    An ENDPOINT that the configuration no longer names may still have some.
    """
    _one_of(ids, everything)
    kind = "waiting events" if waiting else "dead letters"
    which = f"all {kind}" if everything else f"{len(ids)} {kind}"
    if not yes:
        click.confirm(f"Drop {which} of {endpoint}?", abort=True)

    async def run(desk: Desk) -> None:
        if waiting:
            wanted = None if everything else await _waiting_ids(desk, endpoint, ids)
            done = await desk.inspection.drop(endpoint, wanted)
        else:
            queue = Queue(desk.driver, endpoint)
            keys = await _dead_keys(desk, endpoint, None if everything else ids)

            async def forget(part: Sequence[str]) -> int:
                await queue.forget(part)
                return len(part)

            done = await _in_steps("dropping", keys, forget)
        click.echo(f"{counted(done)} dropped")

    _run(config, run)


@events.command("test")
@_ENDPOINT
@_CONFIG
def test(endpoint: str, config: str | None) -> None:
    """Send a sample event to ENDPOINT, and print what it answers.

    The sample is a push of the repository pyreg/test with the tag test. It does not go through
    the queue: nothing is tried again.
    """

    async def run(desk: Desk) -> None:
        desk.check(endpoint)
        sink = desk.sinks[endpoint]
        await sink.open()
        try:
            began = time.monotonic()
            answer = await sink.test(sample())
        except DeliveryFailed as failure:
            raise click.ClickException(f"{endpoint}: {failure.reason}") from failure
        finally:
            await sink.close()
        click.echo(answer)
        click.echo(f"{endpoint} took it in {time.monotonic() - began:.3f} s", err=True)

    _run(config, run)


@dataclass(frozen=True)
class Desk:
    """What the commands work with."""

    driver: StorageDriver
    sinks: dict[str, EventSink]
    inspection: Inspection

    def check(self, endpoint: str) -> None:
        """Raise unless the configuration has this endpoint."""
        if endpoint not in self.sinks:
            known = ", ".join(self.sinks) or "none"
            raise click.ClickException(
                f"the configuration has no endpoint {endpoint} (it has: {known})"
            )


def _run(config: str | None, work: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with _desk(config) as desk:
            await work(desk)

    try:
        asyncio.run(run())
    except (ConfigurationError, PluginError, StorageError) as error:
        raise click.ClickException(str(error)) from error


@asynccontextmanager
async def _desk(config: str | None) -> AsyncIterator[Desk]:
    from pyreg.assembly import plugin_instances, worker_count
    from pyreg.config import load

    configuration = load(config, os.environ)
    if worker_count(configuration) == 1 and configuration.storage.driver.name == "inmemory":
        raise PluginError("storage.inmemory: events are in the memory of the server alone")
    participants = Participants(plugin_instances(configuration))
    storage = participants.storage()
    if storage is None:
        raise PluginError("there is no storage driver")
    driver = participants.wrap_storage(Instrumented(storage))
    sinks = {sink.name: sink for sink in participants.event_sinks()}
    await driver.open()
    try:
        yield Desk(driver, sinks, Inspection(driver))
    finally:
        await driver.close()


async def _overviews(desk: Desk, as_json: bool) -> None:
    found = await desk.inspection.overviews(list(desk.sinks))
    if as_json:
        click.echo(json.dumps([asdict(overview) for overview in found], indent=2))
        return
    if not found:
        click.echo("the configuration has no endpoint; see notifications.endpoints")
        return
    rows = [("ENDPOINT", "WAITING", "OLDEST", "DEAD", "STATE")]
    rows += [
        (
            item.name,
            str(item.waiting),
            moment(item.oldest) if item.oldest else "-",
            str(item.dead),
            state_of(item),
        )
        for item in found
    ]
    table(rows)


async def _list_one(desk: Desk, name: str, dead: bool, limit: int, as_json: bool) -> None:
    shown: list[tuple[Event, DeadLetter | None]] = []
    more = False
    if dead:
        async for _, buried in Queue(desk.driver, name).dead_letters():
            if more := len(shown) >= limit:
                break
            shown.append((buried.event, buried))
    else:
        async for _, record in desk.inspection.waiting(name):
            shown += [(event, None) for event in record.events]
            if more := len(shown) > limit:
                break
    shown = shown[:limit]
    if as_json:
        click.echo(json.dumps([row(event, letter) for event, letter in shown], indent=2))
    elif not shown:
        click.echo(f"{name}: nothing {'was given up' if dead else 'waits'}")
    else:
        heads = ("TIME", "ID", "ACTION", "KIND", "WHAT", "REASON" if dead else "ACTOR")
        rows: list[tuple[str, ...]] = [heads]
        for event, letter in shown:
            last = letter.reason if letter else event.actor or "-"
            rows.append(
                (moment(event.timestamp), event.id, event.action, event.kind, what(event), last)
            )
        table(rows)
    if more:
        click.echo(f"and more; --limit shows more than {limit}", err=True)


async def _dead_keys(desk: Desk, endpoint: str, ids: Sequence[str] | None) -> list[str]:
    """Keys of dead letters, all or those whose ids begin so."""
    keys = [key async for key in Queue(desk.driver, endpoint).dead_keys()]
    if ids is None:
        return keys
    found: list[str] = []
    for wanted in ids:
        matching = [key for key in keys if key.rpartition("/")[2][21:].startswith(wanted)]
        found.append(_only(endpoint, wanted, matching, "dead letter"))
    return found


async def _waiting_ids(desk: Desk, endpoint: str, ids: Sequence[str]) -> set[str]:
    known = [
        event.id async for _, record in desk.inspection.waiting(endpoint) for event in record.events
    ]
    return {
        _only(endpoint, wanted, [id for id in known if id.startswith(wanted)], "waiting event")
        for wanted in ids
    }


def _only(endpoint: str, wanted: str, matching: Sequence[str], kind: str) -> str:
    if len(matching) != 1:
        many = "no" if not matching else f"{len(matching)} events, not one"
        raise click.ClickException(f"{endpoint}: {many} {kind} whose id begins with {wanted}")
    return matching[0]


async def _in_steps(
    label: str, keys: Sequence[str], work: Callable[[Sequence[str]], Awaitable[int]]
) -> int:
    """Work through keys, with a progress bar where there are many."""
    done = 0
    hidden = len(keys) <= _STEP
    with click.progressbar(length=len(keys), label=label, hidden=hidden) as bar:
        for start in range(0, len(keys), _STEP):
            part = keys[start : start + _STEP]
            done += await work(part)
            bar.update(len(part))
    return done


def _one_of(ids: Sequence[str], everything: bool) -> None:
    if bool(ids) == everything:
        raise click.UsageError("say which: IDs, or --all")
