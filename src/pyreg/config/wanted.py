"""Which plugins a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyreg.config.endpoints import core_keys, endpoints, sink_options, sink_type
from pyreg.config.mistakes import did_you_mean
from pyreg.config.plugin_options import PluginKind, PluginOptions
from pyreg.config.shape import Shape
from pyreg.config.tree import Node, is_true, items
from pyreg.errors import ConfigurationError, Mistake


def drivers(storage: Node, shape: Shape) -> dict[str, Node]:
    """The keys of `storage` that are not sections of it: its drivers.

    Args:
        storage: The section.
        shape: The shape of the whole configuration.
    """
    known = shape.keys["storage"].shape.keys
    return {name: node for name, node in storage.mapping().items() if name not in known}


class WantedPlugins:
    """Finds the plugins that a tree asks for.

    Args:
        root: The tree.
        shape: What may stand in it.

    Attributes:
        mistakes: What is wrong with it: no storage driver, two of them, options that are none.
    """

    def __init__(self, root: Node, shape: Shape) -> None:
        self.mistakes: list[Mistake] = []
        self._root = root
        self._shape = shape

    def top_level(self) -> dict[str, Any]:
        """The fields of `Configuration` that hold plugins."""
        return {
            "auth": self._auth(),
            "extensions": tuple(self._named("extension", "extensions")),
            "sections": tuple(self._sections()),
        }

    def driver(self) -> PluginOptions | None:
        """The one storage driver; None where there is not exactly one, which is a mistake."""
        storage = self._root.child("storage")
        if storage is None or not isinstance(storage.value, dict):
            return None
        found = drivers(storage, self._shape)
        if len(found) != 1:
            self._mistaken_drivers(found, storage)
            return None
        ((name, node),) = found.items()
        return self._options("storage", name, f"storage.{name}", node)

    def _mistaken_drivers(self, found: Mapping[str, Node], storage: Node) -> None:
        if not found:
            message = "expected one storage driver, such as `filesystem`, got none"
            where = storage.origin
        else:
            named = [f"{name} ({node.origin})" for name, node in found.items()]
            message = f"expected one storage driver, got {' and '.join(named)}; keep one"
            last = list(found.items())[-1]
            where = last[1].origin
            if where.variable:
                message += f"; to switch to {last[0]}, set REGISTRY_STORAGE={last[0]} as well"
        hints = [did_you_mean(name, self._shape.keys["storage"].shape.keys) for name in found]
        hint = next((hint for hint in hints if hint), "") if len(found) != 1 else ""
        self.mistakes.append(Mistake("storage", message, where.source, where.line, hint))

    def _auth(self) -> tuple[PluginOptions, ...]:
        found = list(self._named("auth", "auth"))
        real = [options for options in found if options.name != "none"]
        if real and len(real) != len(found):
            origin = next(options for options in found if options.name == "none").origin
            names = " and ".join(options.name for options in real)
            message = f"`none` is open to all, and cannot be combined with {names}"
            self.mistakes.append(Mistake("auth.none", message, origin.source, origin.line))
        return tuple(real)

    def _named(self, kind: PluginKind, section: str) -> list[PluginOptions]:
        node = self._root.child(section)
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, dict):
            message = "expected names of plugins, each with its options"
            origin = node.origin
            self.mistakes.append(Mistake(section, message, origin.source, origin.line))
            return []
        found = (
            self._options(kind, name, f"{section}.{name}", child)
            for name, child in node.value.items()
        )
        return [options for options in found if options is not None]

    def _sections(self) -> list[PluginOptions]:
        """What sections of the Docker registry's schema ask for, as far as they are in use."""
        root = self._root
        found: list[PluginOptions | None] = []

        def ask(kind: PluginKind, name: str, path: str, node: Node, essential: bool) -> None:
            found.append(self._options(kind, name, path, node, essential=essential))

        tls = root.child("http", "tls")
        if tls is not None and _says_something(tls):
            ask("extension", "tls", "http.tls", tls, True)
        debug = root.child("http", "debug")
        if debug is not None and _says_something(debug):
            ask("extension", "telemetry", "http.debug", debug, False)
        for place in ("registry", "repository", "storage"):
            for index, node in enumerate(items(root.child("middleware", place))):
                name = node.child("name")
                if name is not None and name.written and not is_true(node.child("disabled")):
                    options = node.child("options") or Node({}, node.origin)
                    path = f"middleware.{place}[{index}].options"
                    ask("extension", name.written, path, options, True)
        core = core_keys(self._shape)
        for path, node in endpoints(root):
            options = sink_options(node, core)
            found.append(self._options("events", sink_type(node), path, options, beside=core))
        health = root.child("health")
        if health is not None and (
            is_true(health.child("storagedriver", "enabled"))
            or any(items(health.child(kind)) for kind in ("file", "http", "tcp"))
        ):
            ask("extension", "health", "health", health, False)
        proxy = root.child("proxy")
        if proxy is not None and _says_something(proxy.child("remoteurl")):
            ask("extension", "proxy", "proxy", proxy, True)
        policy = root.child("policy")
        if policy is not None and _says_something(policy):
            ask("extension", "policy", "policy", policy, True)
        return [options for options in found if options is not None]

    def _options(
        self,
        kind: PluginKind,
        name: str,
        path: str,
        node: Node,
        *,
        essential: bool = True,
        beside: tuple[str, ...] = (),
    ) -> PluginOptions | None:
        try:
            return PluginOptions.of(kind, name, path, node, essential=essential, beside=beside)
        except ConfigurationError as error:
            self.mistakes.extend(error.mistakes)
            return None


def _says_something(node: Node | None) -> bool:
    """Whether there is more at a place than nothing, empty sections, "" and false."""
    if node is None:
        return False
    if isinstance(node.value, dict):
        return any(_says_something(child) for child in node.value.values())
    if isinstance(node.value, list):
        return any(_says_something(child) for child in node.value)
    return node.value not in (None, "", False) and node.written.lower() not in ("no", "off")
