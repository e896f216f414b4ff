"""From a file and the environment to a `Configuration`, or to every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pyreg.config.advice import warnings_of
from pyreg.config.environment import CONFIGURATION_PATH, Overrides, spell_out
from pyreg.config.mistakes import did_you_mean, from_validation, strings
from pyreg.config.model import DEFAULT_DIRECTORY, VERSION, Configuration
from pyreg.config.plugin_options import PluginKind, PluginOptions
from pyreg.config.shape import Shape, shape_of
from pyreg.config.source import Document, read_file
from pyreg.config.tree import Node, Origin
from pyreg.errors import ConfigurationError, Mistake

_DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where each part of it came from.

    Attributes:
        configuration: The typed options.
        root: The tree of the file with the environment in it.
        source: The name of the file; "" when there is none.
    """

    configuration: Configuration
    root: Node
    source: str


def load(path: str | Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read a configuration.

    Args:
        path: The file, `-` for the standard input. None: the file that the variable
            `REGISTRY_CONFIGURATION_PATH` names; where there is none either, the built-in
            defaults, which keep content in `./pyreg-data`, listen on 127.0.0.1:5000 and allow
            deletes.
        environ: The environment, of which `REGISTRY_*` override the file.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    return load_tree(path, environ).configuration


def load_tree(path: str | Path | None, environ: Mapping[str, str]) -> Loaded:
    """As `load`, with the places that the options came from."""
    path = path or environ.get(CONFIGURATION_PATH) or None
    if path is None:
        return _finish(Node({}, _DEFAULT), environ, "", [], [])
    text, source = read_file(path)
    return parse(text, environ, source)


def parse(text: str, environ: Mapping[str, str], source: str = "config.yml") -> Loaded:
    """Read a configuration from a text.

    Args:
        text: The YAML.
        environ: As for `load`.
        source: The name under which mistakes speak of the text.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    document = Document(text, source)
    root = document.root
    if root.value is None:
        message = f"is empty; expected at least `version: {VERSION}` and `storage`"
        raise ConfigurationError([Mistake("", message, source)])
    if not isinstance(root.value, dict):
        message = "expected a mapping (lines of `key: value`) at the top"
        raise ConfigurationError([Mistake("", message, source, root.origin.line)])
    return _finish(root, environ, source, document.mistakes, document.warnings)


@cache
def configuration_shape() -> Shape:
    """What may stand in a configuration."""
    return shape_of(Configuration)


def _finish(
    root: Node,
    environ: Mapping[str, str],
    source: str,
    mistakes: list[Mistake],
    warnings: list[Mistake],
) -> Loaded:
    shape = configuration_shape()
    overrides = Overrides(root, shape)
    overrides.apply(environ)
    mistakes = [*mistakes, *overrides.mistakes]
    _default_sections(root)
    if not source:
        _without_a_file(root)
    elif root.child("version") is None:
        mistakes.append(Mistake("version", f"is required; write `version: {VERSION}`", source))
    found = warnings_of(root, shape)
    _rename_loglevel(root)
    plugins = _Plugins(root, shape, source)
    data = {**strings(root, shape), **plugins.top_level()}
    if isinstance(data.get("storage"), dict):
        data["storage"]["driver"] = plugins.driver()
    mistakes += plugins.mistakes
    try:
        data["warnings"] = (*warnings, *overrides.warnings, *found)
        configuration = Configuration.model_validate(data)
    except ValidationError as error:
        mistakes += from_validation(error, root, shape)
    if mistakes:
        raise ConfigurationError(_in_order(mistakes, source))
    return Loaded(configuration, root, source)


def _in_order(mistakes: list[Mistake], source: str) -> list[Mistake]:
    """Those of the file first, by line; then those of the environment, by name."""
    return sorted(dict.fromkeys(mistakes), key=lambda each: (each.source != source, each.line or 0))


def _default_sections(root: Node) -> None:
    """Spell out the sections that may be written as one word."""
    for name in ("storage", "auth"):
        node = root.child(name)
        if node is not None:
            spell_out(node)


def _without_a_file(root: Node) -> None:
    """Fill in what a registry without a configuration file is."""
    sections = root.mapping()
    storage = sections.setdefault("storage", Node({}, _DEFAULT))
    if storage.value is None:
        storage.value = {}
    parts = storage.mapping()
    if not _drivers(storage):
        parts["filesystem"] = Node({}, _DEFAULT)
    driver = parts.get("filesystem")
    if driver is not None and isinstance(driver.value, dict):
        driver.value.setdefault("rootdirectory", Node(DEFAULT_DIRECTORY, _DEFAULT))
    delete = parts.setdefault("delete", Node({}, _DEFAULT))
    if isinstance(delete.value, dict):
        delete.value.setdefault("enabled", Node(True, _DEFAULT))


def _rename_loglevel(root: Node) -> None:
    """`loglevel` is the old name of `log.level`, which wins."""
    old = root.child("loglevel")
    if old is None or old.value is None:
        return
    log = root.mapping().setdefault("log", Node({}, old.origin))
    if log.value is None:
        log.value = {}
    log.mapping().setdefault("level", old)


def _drivers(storage: Node) -> dict[str, Node]:
    known = configuration_shape().keys["storage"].shape.keys
    return {name: node for name, node in storage.mapping().items() if name not in known}


class _Plugins:
    """Finds the plugins that a tree asks for."""

    def __init__(self, root: Node, shape: Shape, source: str) -> None:
        self.mistakes: list[Mistake] = []
        self._root = root
        self._source = source
        self._known_in_storage = shape.keys["storage"].shape.keys

    def top_level(self) -> dict[str, Any]:
        return {
            "auth": self._auth(),
            "extensions": tuple(self._named("extension", "extensions")),
            "sections": tuple(self._sections()),
        }

    def driver(self) -> PluginOptions | None:
        """The one storage driver; None, and a mistake, where there is not exactly one."""
        storage = self._root.child("storage")
        if storage is None:
            return None
        drivers = _drivers(storage)
        if len(drivers) != 1:
            self._mistaken_drivers(drivers, storage)
            return None
        ((name, node),) = drivers.items()
        return self._options("storage", name, f"storage.{name}", node)

    def _mistaken_drivers(self, drivers: Mapping[str, Node], storage: Node) -> None:
        if not drivers:
            message = "expected one storage driver, such as `filesystem`, got none"
            where = storage.origin
        else:
            named = [f"{name} ({node.origin})" for name, node in drivers.items()]
            message = f"expected one storage driver, got {' and '.join(named)}; keep one"
            last = list(drivers.items())[-1]
            where = last[1].origin
            if where.variable:
                message += f"; to switch to {last[0]}, set REGISTRY_STORAGE={last[0]} as well"
        hints = [did_you_mean(name, self._known_in_storage) for name in drivers]
        hint = next((hint for hint in hints if hint), "") if len(drivers) != 1 else ""
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
            for index, node in enumerate(_items(root.child("middleware", place))):
                name = node.child("name")
                if name is not None and name.text and not _is_true(node.child("disabled")):
                    options = node.child("options") or Node({}, node.origin)
                    path = f"middleware.{place}[{index}].options"
                    ask("extension", name.text, path, options, True)
        for index, node in enumerate(_items(root.child("notifications", "endpoints"))):
            if not _is_true(node.child("disabled")):
                ask("events", "webhook", f"notifications.endpoints[{index}]", node, True)
        health = root.child("health")
        if health is not None and _says_something(health):
            ask("extension", "health", "health", health, False)
        proxy = root.child("proxy")
        if proxy is not None and _says_something(proxy.child("remoteurl")):
            ask("extension", "proxy", "proxy", proxy, True)
        policy = root.child("policy")
        if policy is not None and _says_something(policy):
            ask("extension", "policy", "policy", policy, True)
        return [options for options in found if options is not None]

    def _options(
        self, kind: PluginKind, name: str, path: str, node: Node, *, essential: bool = True
    ) -> PluginOptions | None:
        try:
            return PluginOptions.of(kind, name, path, node, essential=essential)
        except ConfigurationError as error:
            self.mistakes.extend(error.mistakes)
            return None


def _items(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []


def _is_true(node: Node | None) -> bool:
    return node is not None and node.text.lower() in ("true", "yes", "on", "y", "t", "1")


def _says_something(node: Node | None) -> bool:
    """Whether there is more at a place than nothing, empty sections, "" and false."""
    if node is None:
        return False
    if isinstance(node.value, dict):
        return any(_says_something(child) for child in node.value.values())
    if isinstance(node.value, list):
        return any(_says_something(child) for child in node.value)
    return node.value not in (None, "", False) and node.text.lower() not in ("no", "off")
