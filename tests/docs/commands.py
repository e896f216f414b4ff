"""The pages of `--help` in `docs/reference/command-line.md`.

`python -m tests.docs.commands` brings them up to date.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from pyreg.cli import main
from tests.docs.pages import DOCS

PAGE = DOCS / "reference" / "command-line.md"
BEGIN = "<!-- help: begin; written by `python -m tests.docs.commands` -->"
END = "<!-- help: end -->"
WIDTH = 88


def commands() -> Iterator[tuple[str, str]]:
    """Every command of `pyreg` with its help, each group before what is in it."""
    yield from _below("pyreg", main, None)


def _below(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent, info_name=name, **settings)
    yield context.command_path, context.get_help()
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden:
                yield from _below(inner, found, context)


def help_pages() -> str:
    """What belongs between the two marks."""
    return "\n".join(
        f"### `{path}`\n\n```text\n{text.rstrip()}\n```\n" for path, text in commands()
    )


def updated(text: str) -> str:
    """The page with the current help in it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"the page has no line {BEGIN}"
    assert end, f"the page has no line {END}"
    return f"{before}{BEGIN}\n\n{help_pages()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
