"""Names in the order of their bytes, out of listings in the order of keys.

Tags and components of repository names are directories in the layout, so a driver lists them as
`name/`. That is another order than the one clients are promised: `1.0` comes before `1.0-rc1`,
but `1.0-rc1/` before `1.0/`, since '-' and '.' sort before '/'. Reading a whole directory to sort
it would make a page cost as much as the total. Instead a name that the listing shows too late is
looked up early: before `1.0-rc1`, whether there is a `1` and a `1.0`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from pyreg.hooks.storage import StorageDriver

_BEFORE_SLASH = "-."  # all characters of names that sort before "/"


async def children(
    driver: StorageDriver,
    prefix: str,
    *,
    last: str,
    after: str,
    batch: int,
    valid: Callable[[str], bool],
    exists: Callable[[str], Awaitable[bool]],
) -> AsyncIterator[tuple[str, bool]]:
    """The names directly below a prefix, each twice at most.

    Yields:
        `(name, False)` where the name itself has its place in the order, then `(name, True)`
        where what lies below it has (`name/...`). The first may come alone, ahead of its turn in
        the listing, if `exists` says so; names up to `last` come only as the second.

    Args:
        driver: Where to list.
        prefix: Ends with "/".
        last: Names up to this one have been shown before.
        after: Where the listing begins, without the prefix.
        batch: How many names to ask the driver for at once.
        valid: Whether something listed is a name at all.
        exists: Whether a name that has not been listed yet is there.
    """
    checked: list[str] = []  # names that begin the current one, looked up ahead of the listing
    token: str | None = prefix + after if after else ""
    while token is not None:
        page = await driver.list(prefix, delimiter="/", after=token, limit=batch)
        for entry in page.entries:
            name = entry.key[len(prefix) : -1]
            if not entry.key.endswith("/") or not valid(name):
                continue
            while checked and not _goes_on(checked[-1], name):
                checked.pop()
            if checked and checked[-1] == name:
                checked.pop()
            else:
                start = len(checked[-1]) + 1 if checked else 0
                for place in range(start, len(name)):
                    if name[place] in _BEFORE_SLASH and valid(name[:place]):
                        checked.append(name[:place])
                        if name[:place] > last and await exists(name[:place]):
                            yield name[:place], False
                if name > last:
                    yield name, False
            yield name, True
        token = page.after


def _goes_on(short: str, name: str) -> bool:
    return name == short or (name.startswith(short) and name[len(short)] in _BEFORE_SLASH)
