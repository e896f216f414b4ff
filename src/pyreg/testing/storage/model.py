# ruff: noqa: D102 - the name of a test says what it tests
"""A driver against a model: a dictionary of keys and contents."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from pyreg.errors import ObjectNotFound, PreconditionFailed
from pyreg.hooks import ABSENT, StorageDriver
from pyreg.testing.storage.harness import Harness, content, pages
from pyreg.testing.storage.listing import delimited

T = TypeVar("T")

# The names of objects are none of directories, as a directory cannot be an object.
FOLDERS = st.sampled_from(["a", "a-b", "a.b", "a0", "b", "B", "_c"])
LEAVES = st.sampled_from(["a-", "a.", "a1", "aa", "b-b", "c", "C", "-", "..."])
KEYS = st.builds(lambda path, leaf: "/".join([*path, leaf]), st.lists(FOLDERS, max_size=3), LEAVES)
PREFIXES = st.lists(FOLDERS, max_size=3).map(lambda path: "".join(f"{name}/" for name in path))
AFTERS = KEYS | PREFIXES | st.text("ab-./0Cz", max_size=6)
CONTENTS = st.binary(max_size=20)


class Model(Harness):
    """Random histories."""

    def test_it_behaves_like_a_dictionary(self) -> None:
        run_state_machine_as_test(
            lambda: _Machine(self),  # type: ignore[arg-type] # any factory will do
            settings=settings(
                max_examples=self.examples,
                stateful_step_count=self.steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


class _Machine(RuleBasedStateMachine):
    """Does the same to a driver and to a dictionary, each time on one of two replicas."""

    def __init__(self, harness: Harness) -> None:
        super().__init__()
        self._harness = harness
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._replicas = self._run(self._stack.enter_async_context(harness.opened(2)))
        self._turn = 0
        self._model: dict[str, bytes] = {}

    def teardown(self) -> None:
        self._run(self._stack.aclose())
        self._runner.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    @property
    def _driver(self) -> StorageDriver:
        self._turn += 1
        return self._replicas[self._turn % 2]

    @rule(key=KEYS, data=CONTENTS)
    def put(self, key: str, data: bytes) -> None:
        info = self._run(self._driver.put(key, data, durable=False))
        assert info.size == len(data)
        self._model[key] = data

    @rule(key=KEYS, data=CONTENTS)
    def put_if_absent(self, key: str, data: bytes) -> None:
        try:
            self._run(self._driver.put(key, data, when=ABSENT, durable=False))
        except PreconditionFailed:
            assert key in self._model
        else:
            assert key not in self._model
            self._model[key] = data

    @rule(key=KEYS, data=CONTENTS)
    def upload(self, key: str, data: bytes) -> None:
        async def whole() -> None:
            state = await self._harness.upload(self._driver, key, data)
            await self._driver.finish(state)

        self._run(whole())
        self._model[key] = data

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self._run(self._driver.delete(key))
        self._model.pop(key, None)

    @rule(src=KEYS, dst=KEYS, rename=st.booleans())
    def move_or_copy(self, src: str, dst: str, rename: bool) -> None:
        if src == dst:
            return
        driver = self._driver
        rename = rename and driver.capabilities.rename
        try:
            self._run(driver.rename(src, dst) if rename else driver.copy(src, dst))
        except ObjectNotFound:
            assert src not in self._model
        else:
            self._model[dst] = self._model.pop(src) if rename else self._model[src]

    @rule(key=KEYS)
    def read(self, key: str) -> None:
        try:
            found = self._run(content(self._driver, key))
        except ObjectNotFound:
            assert key not in self._model
        else:
            assert found == self._model[key]

    @rule(
        prefix=PREFIXES,
        after=AFTERS,
        delimiter=st.sampled_from([None, "/"]),
        limit=st.integers(1, 5),
    )
    def list(self, prefix: str, after: str, delimiter: str | None, limit: int) -> None:
        names = sorted(self._model)
        shown = delimited(names, prefix) if delimiter else names
        expected = [name for name in shown if name.startswith(prefix) and name > after]
        found = self._run(
            pages(self._driver, prefix, delimiter=delimiter, after=after, limit=limit)
        )
        assert [entry.key for entry in found] == expected
        for entry in found:
            if entry.info is not None:
                assert entry.info.size == len(self._model[entry.key])
