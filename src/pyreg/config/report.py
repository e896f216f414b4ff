"""Mistakes and warnings on the standard error, for those who will mend them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from pyreg.config.loading import in_order
from pyreg.errors import Mistake


def report(mistakes: Iterable[Mistake], warnings: Iterable[Mistake]) -> None:
    """Print all of them in one list, in the order of the file."""
    wrong = tuple(mistakes)
    for each in in_order((*wrong, *warnings)):
        kind, color = ("error", "red") if each in wrong else ("warning", "yellow")
        click.echo(f"{click.style(f'{kind}:', fg=color, bold=True)} {each}", err=True)
