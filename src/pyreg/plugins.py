"""Plugins: which class has a name, which instances take part, and in which order.

stevedore answers "which class has this name" from the entry-point groups below, the
configuration says which of them are made, and pluggy calls the instances. An installed package
that the configuration does not name is never imported.

A plugin is a class named by an entry point:

```python
@dataclass(frozen=True)
class Options:                       # anything that pydantic can validate
    rootdirectory: str = "/var/lib/registry"


class FilesystemPlugin:
    api_version = (1, 0)             # the version of `pyreg.hooks` that it was written for
    Options = Options                # what the configuration may say; None for nothing
    one_process = False              # True for storage that only one process can see

    def __init__(self, options: Options) -> None: ...

    @hookimpl
    def pyreg_storage(self) -> StorageDriver: ...
```
"""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pluggy
import stevedore

from pyreg.errors import PluginError
from pyreg.hooks.spec import API_VERSION, PROJECT, HookSpecs

GROUPS = {
    "storage": "pyreg.storage",
    "auth": "pyreg.auth",
    "events": "pyreg.events",
    "extension": "pyreg.extension",
}
"""Kinds of plugins, with their entry-point groups."""

COMMANDS = "pyreg.command"
"""The entry-point group of commands, each a `click.Command`; see `pyreg.hooks.Invocation`."""

# What the distribution of a plugin is called before the plugin's own name.
_PREFIXES = {
    "storage": "pyreg-storage",
    "auth": "pyreg-auth",
    "events": "pyreg-notify",
    "extension": "pyreg",
}

# Where the word in the configuration does not name the distribution.
_DISTRIBUTIONS = {
    ("auth", "htpasswd"): "pyreg-auth-basic",
    ("auth", "policy"): "pyreg-auth-policy",
    ("auth", "tokenservice"): "pyreg-auth-token",
    ("auth", "oidc"): "pyreg-auth-token",
    ("auth", "certificate"): "pyreg-tls",
    ("extension", "tls"): "pyreg-tls",
    ("extension", "prometheus"): "pyreg-telemetry",
}


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that is installed, loaded or not.

    Attributes:
        kind: `storage`, `auth`, `events` or `extension`.
        name: Its word in the configuration.
        distribution: The package that it comes from.
        version: Of that package.
        target: The class, as `module:name`.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str


def installed() -> list[InstalledPlugin]:
    """Every installed plugin, by kind and name; none is imported."""
    found = [
        InstalledPlugin(
            kind,
            point.name,
            point.dist.name if point.dist else "?",
            point.dist.version if point.dist else "?",
            point.value,
        )
        for kind, group in GROUPS.items()
        for point in importlib.metadata.entry_points(group=group)
    ]
    return sorted(set(found), key=lambda item: (item.kind, item.name, item.distribution))


def load(kind: str, name: str) -> type[Any]:
    """The class that has a name.

    Args:
        kind: A key of `GROUPS`.
        name: The word in the configuration.

    Raises:
        PluginError: it is not installed, two distributions claim it, it cannot be imported, or
            it was written for another version of the contract.
    """
    group = GROUPS[kind]
    points = list(importlib.metadata.entry_points(group=group, name=name))
    if not points:
        raise _missing(kind, name)
    owners = sorted({point.dist.name for point in points if point.dist})
    if len(owners) > 1:
        raise PluginError(
            f"two packages claim the {kind} plugin {name!r}: {' and '.join(owners)}; "
            f"uninstall one of them"
        )
    targets = {point.value for point in points}

    def fail(_manager: object, point: importlib.metadata.EntryPoint, error: BaseException) -> None:
        if point.value in targets:  # or else stevedore speaks of a former installation
            raise PluginError(
                f"the {kind} plugin {name!r} cannot be loaded from {point.value}: "
                f"{type(error).__name__}: {error}"
            ) from error

    try:
        extensions = stevedore.NamedExtensionManager[type[Any]](
            group,
            [name],
            on_load_failure_callback=fail,
            on_missing_entrypoints_callback=lambda _: None,
        ).extensions
        current = [item.plugin for item in extensions if item.entry_point.value in targets]
        # stevedore keeps a cache, which may be older than the installation.
        found: type[Any] = current[0] if current else points[0].load()
    except PluginError:
        raise
    except Exception as error:
        fail(None, points[0], error)
        raise
    check_version(found, f"the {kind} plugin {name!r}")
    return found


def command_names() -> set[str]:
    """The commands that installed packages add to `pyreg`; none of them is imported."""
    return {point.name for point in importlib.metadata.entry_points(group=COMMANDS)}


def load_command(name: str) -> Any:
    """The `click.Command` that an installed package adds to `pyreg`; None if there is none.

    Raises:
        PluginError: two packages claim the name, or it cannot be imported.
    """
    points = list(importlib.metadata.entry_points(group=COMMANDS, name=name))
    owners = sorted({point.dist.name for point in points if point.dist})
    if len(owners) > 1:
        raise PluginError(
            f"two packages claim the command {name!r}: {' and '.join(owners)}; "
            f"uninstall one of them"
        )
    if not points:
        return None
    try:
        return points[0].load()
    except Exception as error:
        raise PluginError(
            f"{points[0].value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def check_version(plugin: object, what: str) -> None:
    """Refuse a plugin that was written for another version of the contract.

    Raises:
        PluginError: naming both versions.
    """
    version = getattr(plugin, "api_version", None)
    if not (
        isinstance(version, tuple) and len(version) == 2 and all(type(n) is int for n in version)
    ):
        raise PluginError(f"{what} does not say which api_version it was written for")
    if version[0] != API_VERSION[0] or version[1] > API_VERSION[1]:
        theirs, ours = (".".join(map(str, pair)) for pair in (version, API_VERSION))
        advice = "pyreg" if version > API_VERSION else "the plugin"
        raise PluginError(
            f"{what} was written for version {theirs} of the plugin contract, this is {ours}; "
            f"upgrade {advice}"
        )


def distribution(kind: str, name: str) -> str:
    """The package that a plugin of this name would come in."""
    return _DISTRIBUTIONS.get((kind, name), f"{_PREFIXES[kind]}-{name}")


def _missing(kind: str, name: str) -> PluginError:
    others = [item.name for item in installed() if item.kind == kind]
    lines = [
        f"the configuration asks for the {kind} plugin {name!r}, which is not installed.",
        f"  install it:     pip install {distribution(kind, name)}",
        f"  installed now:  {', '.join(others) or f'no {kind} plugin'}",
    ]
    close = difflib.get_close_matches(name, others, n=1)
    if close:
        lines.append(f"  did you mean:   {close[0]}")
    return PluginError("\n".join(lines))


def register(plugins: Sequence[object]) -> pluggy.PluginManager:
    """A plugin manager of its own with these instances, called in this order.

    Raises:
        PluginError: a hook is misspelt, has arguments that the specification does not have, or
            is `def` where the specification says `async def` (or the other way round).
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    # pluggy calls the last one first.
    for plugin in reversed(plugins):
        _check_hooks(manager, plugin)
        try:
            manager.register(plugin)
            manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"{_name(plugin)}: {error}") from error
    return manager


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    for name in dir(plugin):
        if manager.parse_hookimpl_opts(plugin, name) is None:
            if name.startswith("pyreg_"):
                raise PluginError(f"{_name(plugin)}: {name} is not marked with @hookimpl")
            continue
        specification = getattr(HookSpecs, name, None)
        if specification is None:
            hooks = [hook for hook in dir(HookSpecs) if hook.startswith("pyreg_")]
            close = difflib.get_close_matches(name, hooks, n=1)
            raise PluginError(
                f"{_name(plugin)}: there is no hook {name}"
                + (f"; did you mean {close[0]}?" if close else "")
            )
        wanted = inspect.iscoroutinefunction(specification)
        if inspect.iscoroutinefunction(getattr(plugin, name)) is not wanted:
            raise PluginError(
                f"{_name(plugin)}: {name} must be declared with {'async def' if wanted else 'def'}"
            )


def _name(plugin: object) -> str:
    kind = type(plugin)
    return f"{kind.__module__}.{kind.__qualname__}"
