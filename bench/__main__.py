"""`python -m bench`: measure, and show what came out."""

from __future__ import annotations

import importlib.metadata
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import click

from bench import (
    encrypted,
    events,
    large,
    listings,
    logins,
    machine,
    memory,
    picture,
    report,
    small,
)
from bench.contest import DEBIAN, Contest

RESULTS = Path(__file__).parent / "results"
PARTS = (small, large, memory, listings, logins, encrypted, events)
FIGURES = [figure for part in PARTS for figure in part.FIGURES]
PACKAGES = {"wrk": "wrk", DEBIAN: DEBIAN}


def _known(_: click.Context, __: click.Parameter, chosen: tuple[str, ...]) -> set[str]:
    """The figures that are asked for; a name stands for all that begin with it."""
    keys = {figure.key for figure in FIGURES}
    for name in chosen:
        if not any(key.startswith(name) for key in keys):
            raise click.BadParameter(f"{name!r} is none of: {', '.join(sorted(keys))}")
    return {key for key in keys if not chosen or key.startswith(chosen)}


@click.command()
@click.option("--quick", is_flag=True, help="Less data and shorter times, in three minutes or so.")
@click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    callback=_known,
    help="Only figures whose names begin so; several times for several.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("pyreg-bench"),
    show_default=True,
    help="Where the data goes, and is removed from afterwards.",
)
@click.option("--rounds", type=click.IntRange(1, 99), help="How often the two take turns.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Seconds to wait before each sample until others leave the machine alone.",
)
def main(quick: bool, only: set[str], parent: Path, rounds: int | None, patience: float) -> None:
    """Measure pyreg beside Debian's docker-registry, on this machine, in one run."""
    for program, package in PACKAGES.items():
        if shutil.which(program) is None:
            raise click.ClickException(
                f"{program} is not installed: apt-get install --no-install-recommends {package}"
            )
    # So that the servers are stopped and the data removed by whatever ends this.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=parent.resolve()))
    contest = Contest(
        directory, rounds=rounds or (2 if quick else 5), quick=quick, patience=patience,
        say=click.echo,
    )  # fmt: skip
    about = machine.describe() | _versions()
    click.echo(f"{about['cpu']}, {about['cores']} cores, load {about['load']:.1f}")
    began = time.monotonic()
    try:
        for part in PARTS:
            if any(figure.key in only for figure in part.FIGURES):
                part.run(contest, only)
    finally:
        shutil.rmtree(directory)
        if not any(parent.iterdir()):
            parent.rmdir()
    busy = [sample for result in contest.results for sample in result.busy]
    if busy and max(busy) > machine.QUIET:
        contest.notice(
            f"the machine was not quiet: others used up to {max(busy):.0%} of it before a sample"
        )
    stamp = time.strftime("%Y%m%d-%H%M%S")
    report.write(contest, about, RESULTS / f"{stamp}.json")
    subtitle = (
        f"{about['cores']} cores, Python {about['python']}; pyreg {about['pyreg']} with 2 workers"
    )
    (RESULTS / f"{stamp}.svg").write_text(picture.svg(contest, subtitle))
    click.echo(f"\n{report.table(contest)}\n")
    for notice in contest.notices:
        click.echo(f"note: {notice}")
    click.echo(f"{time.monotonic() - began:.0f} s; {RESULTS / stamp}.json, and .svg")


def _versions() -> dict[str, str]:
    said = subprocess.run([DEBIAN, "--version"], capture_output=True, text=True, check=True).stdout
    versions = {DEBIAN: said.split()[-1]}
    for name in ("pyreg", "hypercorn", "uvloop"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions


if __name__ == "__main__":
    main()
