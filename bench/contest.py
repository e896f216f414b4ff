"""Two registries that take turns, and what is kept of it."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import wait_until_quiet
from tests.servers.registries import Registry, merged, start_docker_registry, start_pyreg

PYREG = "pyreg"
DEBIAN = "docker-registry"
NAMES = (PYREG, DEBIAN)

CONFIGURATION = {
    # The Docker registry writes two long lines for each request at `info`; silent, it is faster.
    "log": {"level": "error", "accesslog": {"disabled": True}},
    "storage": {"cache": {"blobdescriptor": "inmemory"}},
    "catalog": {"maxentries": 1000},
}
"""Merged into what both are started with."""


@dataclass(frozen=True)
class Figure:
    """Something that is measured.

    Attributes:
        key: Its name in the results, and for `--only`.
        title: Its name for people.
        unit: Of the samples.
        more_is_better: False for seconds and bytes.
        ratio: How many times better than Debian's registry pyreg has to be; None for no matter.
        limit: What pyreg's own value must not exceed; None for no matter.
        least: What it must reach; None for no matter.
        compared: False where a ratio between the two would mean nothing.
    """

    key: str
    title: str
    unit: str
    more_is_better: bool = True
    ratio: float | None = None
    limit: float | None = None
    least: float | None = None
    compared: bool = True


@dataclass
class Result:
    """The samples of one figure.

    Attributes:
        figure: Which.
        samples: By name of the registry, in the order in which they were taken.
        busy: The part of the machine that was in use by others before each sample.
    """

    figure: Figure
    samples: dict[str, list[float]] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)

    def median(self, name: str) -> float | None:
        """The middle sample of a registry; None if it was not measured."""
        samples = self.samples.get(name)
        return statistics.median(samples) if samples else None

    @property
    def ratio(self) -> float | None:
        """How many times better pyreg is."""
        ours, theirs = self.median(PYREG), self.median(DEBIAN)
        if not ours or not theirs or not self.figure.compared:
            return None
        return ours / theirs if self.figure.more_is_better else theirs / ours

    @property
    def reached(self) -> bool | None:
        """Whether pyreg reaches what it has to; None where nothing is asked, or measured."""
        figure, ours, ratio = self.figure, self.median(PYREG), self.ratio
        if figure.limit is not None and ours is not None:
            return ours <= figure.limit
        if figure.least is not None and ours is not None:
            return ours >= figure.least
        if figure.ratio is not None and ratio is not None:
            return ratio >= figure.ratio
        return None


class Contest:
    """What all measurements of one run share.

    Args:
        directory: Where both keep their data; removed at the end.
        rounds: How often they take turns.
        quick: The short form: less data, shorter times.
        patience: Seconds to wait before each sample for others to leave the machine alone.
        say: Tells people what is going on.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rounds: int,
        quick: bool,
        patience: float,
        say: Callable[[str], None],
    ) -> None:
        self.directory = directory
        self.rounds = rounds
        self.quick = quick
        self.say = say
        self.results: list[Result] = []
        self.notices: list[str] = []
        self._patience = patience
        self._started = 0

    def notice(self, text: str) -> None:
        """Something that a reader of the figures has to know."""
        self.notices.append(text)
        self.say(f"  note: {text}")

    @contextmanager
    def registry(
        self,
        name: str,
        *,
        root: Path | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Iterator[Registry]:
        """A fresh process of one of the two, on an empty directory unless one is given."""
        self._started += 1
        place = self.directory / f"{self._started}-{name}"
        whole = merged(CONFIGURATION, config or {})
        if name == PYREG:
            registry = start_pyreg(place, root=root, config=whole)
        else:
            program = shutil.which(DEBIAN)
            assert program is not None
            registry = start_docker_registry(program, place, root=root, config=whole)
        try:
            yield registry
        finally:
            registry.stop()
            shutil.rmtree(place)

    @contextmanager
    def both(self) -> Iterator[dict[str, Registry]]:
        """Both, side by side, for as long as they take turns."""
        with self.registry(PYREG) as ours, self.registry(DEBIAN) as theirs:
            yield {PYREG: ours, DEBIAN: theirs}

    def settle(self) -> float:
        """Let earlier writes reach the disk, and others finish. Returns how busy it still is."""
        os.sync()
        return wait_until_quiet(self._patience)

    def take_turns(
        self,
        figure: Figure,
        measures: Mapping[str, Callable[[], float]],
        *,
        rounds: int | None = None,
    ) -> None:
        """Measure a figure on both, alternately.

        Args:
            figure: Which.
            measures: By name of the registry, what takes one sample.
            rounds: How often; as the contest says unless told.
        """
        self.say(figure.title)
        result = self._result(figure)
        for turn in range(rounds or self.rounds):
            # Who begins alternates, too: the second finds the machine warmer than the first.
            for name in NAMES if turn % 2 == 0 else NAMES[::-1]:
                result.busy.append(round(self.settle(), 3))
                self.keep(figure, name, measures[name]())

    def keep(self, figure: Figure, name: str, sample: float) -> None:
        """Add a sample."""
        self._result(figure).samples.setdefault(name, []).append(sample)
        self.say(f"  {figure.key:<16} {name:<16} {sample:>10,.1f} {figure.unit}")

    def _result(self, figure: Figure) -> Result:
        for result in self.results:
            if result.figure == figure:
                return result
        self.results.append(Result(figure))
        return self.results[-1]
