"""Figures that a registry has of itself, for whoever publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure, maybe for several things of a kind.

    Attributes:
        name: As the Docker registry calls it: `registry_notifications_events_total`.
        kind: A `counter` only grows while the process lives; a `gauge` goes up and down.
        help: One sentence.
        samples: The values, each with its labels.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]
