# ruff: noqa: D102 - the name of a test says what it tests
"""A sink's own figures, as whoever publishes them expects them."""

from __future__ import annotations

import itertools
import math
import re

from pyreg.hooks import EventSink, Metric
from pyreg.testing.events.endpoint import Endpoint
from pyreg.testing.events.harness import Harness, away
from pyreg.testing.events.samples import pushes

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Figures(Harness):
    """`EventSink.metrics`."""

    async def test_its_figures_are_well_formed(self, endpoint: Endpoint) -> None:
        sink = endpoint.sink()
        seen = [_counters(sink)]  # a scraper may come at any time
        await self.within_patience(sink.open())
        seen.append(_counters(sink))
        await self.deliver(sink, pushes(1))
        seen.append(_counters(sink))
        async with away(endpoint):
            await self.failure(sink.deliver(pushes(1)))
            seen.append(_counters(sink))
        await self.within_patience(sink.close())
        seen.append(_counters(sink))
        for before, after in itertools.pairwise(seen):
            for key, value in before.items():
                assert after.get(key, -1.0) >= value, f"a counter only grows: {key}"


def _counters(sink: EventSink) -> Values:
    """The values of the counters, by name and labels, after a look at every figure."""
    counters: Values = {}
    names: set[str] = set()
    for metric in sink.metrics():
        assert isinstance(metric, Metric)
        assert _NAME.fullmatch(metric.name), f"not a name of a figure: {metric.name!r}"
        assert metric.name not in names, f"a figure comes once: {metric.name}"
        names.add(metric.name)
        assert metric.kind in ("counter", "gauge")
        assert metric.help.strip(), f"{metric.name} is explained"
        assert "\n" not in metric.help
        values: Values = {}
        for labels, value in metric.samples:
            for label, text in labels.items():
                assert _LABEL.fullmatch(label), f"not a label: {label!r}"
                assert not label.startswith("__"), f"reserved: {label!r}"
                assert isinstance(text, str)
            key = (metric.name, tuple(sorted(labels.items())))
            assert key not in values, f"one value for each set of labels: {key}"
            assert math.isfinite(value), f"{key} is {value}"
            values[key] = value
        if metric.kind == "counter":
            assert all(value >= 0 for value in values.values()), f"negative: {values}"
            counters.update(values)
    return counters
