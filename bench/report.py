"""The results as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.contest import DEBIAN, PYREG, Contest, Result

REACHED, MISSED = "reached", "MISSED"


def verdict(result: Result) -> str:
    """Whether pyreg reaches what it has to; "" where nothing is asked."""
    return {None: "", True: REACHED, False: MISSED}[result.reached]


def target(result: Result) -> str:
    """What pyreg has to reach; "" for nothing."""
    figure = result.figure
    if figure.limit is not None:
        return f"<= {figure.limit:g} {figure.unit}"
    if figure.least is not None:
        return f">= {figure.least:g} {figure.unit}"
    return f">= {figure.ratio:.1f}x" if figure.ratio is not None else ""


def table(contest: Contest) -> str:
    """All figures, medians and ratios, one line for each."""
    rows = [("", PYREG, DEBIAN, "", "ratio", "target", "")]
    for result in contest.results:
        rows.append(
            (
                result.figure.title,
                _number(result.median(PYREG)),
                _number(result.median(DEBIAN)),
                result.figure.unit,
                f"{result.ratio:.2f}x" if result.ratio is not None else "",
                target(result),
                verdict(result),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            f"{cell:>{width}}" if place in (1, 2, 4) else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if row[-1]:
            cells[-1] = click.style(
                row[-1], fg="green" if row[-1] == REACHED else "red", bold=row[-1] == MISSED
            )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write(contest: Contest, machine: dict[str, Any], path: Path) -> None:
    """Write every sample to a file, with all that is needed to judge it."""
    document = {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "quick": contest.quick,
        "notices": contest.notices,
        "results": [
            {
                **asdict(result.figure),
                "samples": result.samples,
                "busy": result.busy,
                "median": {name: result.median(name) for name in result.samples},
                "times_better": result.ratio,
                "reached": result.reached,
            }
            for result in contest.results
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
