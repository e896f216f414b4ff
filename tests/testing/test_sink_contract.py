"""The suite for event sinks passes what is right and finds what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyreg.testing import Endpoint, SinkContract
from tests.fixtures.project import ROOT
from tests.testing.sinks import Letterbox, LetterSink


class TestLetters(SinkContract):
    @pytest.fixture
    def kind(self) -> type[LetterSink]:
        return LetterSink

    @pytest.fixture
    async def endpoint(self, anyio_backend: str, kind: type[LetterSink]) -> AsyncIterator[Endpoint]:
        letterbox = Letterbox(kind)
        await letterbox.start()
        yield letterbox
        await letterbox.stop()


BROKEN = {
    "test_events_arrive_in_order": """
        held = ()

        async def deliver(self, events):
            await super().deliver([*self.held, *events])
            self.held = list(events)  # once more with the next ones
    """,
    "test_a_full_batch_arrives": """
        def letter(self, events):
            return super().letter([*events[:1], *events[2:]])
    """,
    "test_every_kind_of_event_arrives": """
        def letter(self, events):
            document = {"password": self.password, "events": [asdict(event) for event in events]}
            return json.dumps(document, ensure_ascii=False).encode() + b"\\n"
    """,
    "test_repeated_events_are_known_by_their_ids": """
        async def deliver(self, events):
            self.seen = getattr(self, "seen", set())
            if self.seen & {event.id for event in events}:
                raise DeliveryFailed("there already", permanent=True)
            await super().deliver(events)
            self.seen |= {event.id for event in events}
    """,
    "test_events_are_left_as_they_are": """
        async def deliver(self, events):
            for event in events:
                if event.target.annotations:
                    event.target.annotations["sent"] = "yes"
            await super().deliver(events)
    """,
    "test_deliveries_at_once_are_not_mixed_up": """
        async def deliver(self, events):
            self.events = events
            await asyncio.sleep(0)
            await super().deliver(self.events)
    """,
    "test_two_sinks_deliver_side_by_side": """
        latest = None

        async def open(self):
            await super().open()
            type(self).latest = self

        async def deliver(self, events):
            if self.latest is not self:
                raise DeliveryFailed("another one has taken over")
            await super().deliver(events)
    """,
    "test_what_cannot_arrive_is_a_failure": """
        async def deliver(self, events):
            try:
                await super().deliver(events)
            except OSError:
                logging.getLogger("letters").warning("no letters today")
    """,
    "test_it_goes_on_when_the_endpoint_is_back": """
        async def deliver(self, events):
            if getattr(self, "failed", False):
                raise DeliveryFailed("it has failed before")
            try:
                await super().deliver(events)
            except Exception:
                self.failed = True
                raise
    """,
    "test_it_opens_while_the_endpoint_is_away": """
        async def open(self):
            await super().open()
            await self.connect()
    """,
    "test_what_was_delivered_is_there_after_a_crash": """
        async def send(self, line):
            _, writer = await self.connect()
            writer.write(line)
            await writer.drain()
    """,
    "test_a_cancelled_delivery_leaves_it_usable": """
        async def deliver(self, events):
            await self.turn.acquire()
            await self.send(self.letter(events))
            self.turn.release()
    """,
    "test_a_sample_is_delivered_and_answered": """
        async def test(self, event):
            return "all is well"
    """,
    "test_a_sample_that_cannot_arrive_is_a_failure": """
        async def test(self, event):
            try:
                return await super().test(event)
            except OSError as error:
                return f"it does not work: {error}"
    """,
    "test_secrets_are_not_told": """
        async def send(self, line):
            try:
                await super().send(line)
            except OSError as error:
                raise DeliveryFailed(f"with the password {self.password}: {error}") from error
    """,
    "test_it_has_a_name_and_a_batch": """
        async def open(self):
            self.name = f"letters-{id(self.connection)}-{id(self)}"
            await super().open()
    """,
    "test_it_can_be_closed_at_any_time": """
        async def close(self):
            self.connection[1].close()
    """,
    "test_it_can_be_opened_again": """
        async def close(self):
            await super().close()
            self.closed = True

        async def deliver(self, events):
            if getattr(self, "closed", False):
                raise DeliveryFailed("closed")
            await super().deliver(events)
    """,
    "test_it_works_in_another_event_loop": """
        async def open(self):
            self.turn = getattr(self, "turn", None) or asyncio.Lock()
    """,
    "test_nothing_runs_on_after_closing": """
        async def open(self):
            await super().open()
            self.beat = asyncio.create_task(asyncio.sleep(3600))
    """,
    "test_its_figures_are_well_formed": """
        def metrics(self):
            return [Metric("letters-total", "counter", "Letters.", (({}, 1.0),))]
    """,
}
"""What each test of the suite finds, as changes to a sink that passes it."""

ALSO_BROKEN = {
    "test_events_arrive_in_order": """
        async def deliver(self, events):
            task = asyncio.create_task(super().deliver(events))
            self.tasks = [*getattr(self, "tasks", ()), task]  # fire and forget
    """,
    "test_a_full_batch_arrives": """
        def letter(self, events):
            return super().letter(events[::-1])
    """,
    "test_what_cannot_arrive_is_a_failure": """
        async def deliver(self, events):
            while True:
                try:
                    return await super().deliver(events)
                except OSError:
                    await asyncio.sleep(0.1)
    """,
    "test_a_cancelled_delivery_leaves_it_usable": """
        async def deliver(self, events):
            try:
                await super().deliver(events)
            except asyncio.CancelledError:
                pass
    """,
    "test_secrets_are_not_told": """
        def __repr__(self):
            return f"LetterSink({vars(self)})"
    """,
    "test_it_has_a_name_and_a_batch": """
        batch = 0
    """,
    "test_nothing_runs_on_after_closing": """
        async def close(self):
            KEPT.append(self.connection)
            self.connection = None
    """,
    "test_its_figures_are_well_formed": """
        left = 3

        def metrics(self):
            self.left -= 1
            return [Metric("letters_total", "counter", "Letters.", (({}, self.left),))]
    """,
}
"""Other mistakes that the same tests find."""


def test_every_test_has_something_to_find() -> None:
    tests = {name for name in dir(SinkContract) if name.startswith("test_")}
    assert tests == set(BROKEN)
    assert set(ALSO_BROKEN) <= tests


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    source = [
        "import asyncio, json, logging, pytest",
        "from dataclasses import asdict",
        "from pyreg.hooks import DeliveryFailed, Metric",
        "from tests.testing.sinks import LetterSink",
        "from tests.testing.test_sink_contract import TestLetters as Whole",
        "KEPT = []",
    ]
    cases = [
        (test, test.removeprefix("test_").title().replace("_", "") + suffix, change)
        for suffix, changes in (("", BROKEN), ("Also", ALSO_BROKEN))
        for test, change in changes.items()
    ]
    for _, name, change in cases:
        source += [
            f"class {name}(LetterSink):",
            textwrap.indent(textwrap.dedent(change), "    "),
            f"class Test{name}(Whole):",
            "    patience = 2.0",
            "    @pytest.fixture",
            "    def kind(self):",
            f"        return {name}",
        ]
    (tmp_path / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n")
    (tmp_path / "test_broken.py").write_text("\n".join(source))
    chosen = [f"test_broken.py::Test{name}::{test}" for test, name, _ in cases]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rf", "--tb=short", "-p", "no:cacheprovider", *chosen],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = set(re.findall(r"^FAILED \S+::Test(\w+)::(\w+)", done.stdout, re.MULTILINE))
    for test, name, _ in cases:
        assert (name, test) in failed, f"{test} finds nothing\n{done.stdout}{done.stderr}"
