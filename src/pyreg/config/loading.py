"""From a file and the environment to a `Configuration`, or to every mistake at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from pyreg.config.advice import warnings_of
from pyreg.config.environment import CONFIGURATION_PATH, Overrides, spell_out
from pyreg.config.mistakes import from_validation, strings
from pyreg.config.model import DEFAULT_DIRECTORY, VERSION, Configuration
from pyreg.config.shape import Shape, shape_of
from pyreg.config.source import Document, read_file
from pyreg.config.tree import Node, Origin
from pyreg.config.wanted import WantedPlugins, drivers
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
        _without_a_file(root, shape)
    else:
        mistakes += _missing(root, source)
    found = warnings_of(root, shape)
    _rename_loglevel(root)
    plugins = WantedPlugins(root, shape)
    data = {**strings(root, shape), **plugins.top_level()}
    driver = plugins.driver()
    if driver is not None:
        data["storage"]["driver"] = driver
    mistakes += plugins.mistakes
    try:
        data["warnings"] = (*warnings, *overrides.warnings, *found)
        configuration = Configuration.model_validate(data)
    except ValidationError as error:
        mistakes += from_validation(error, root, shape)
    if mistakes:
        raise ConfigurationError(_in_order(mistakes, source))
    return Loaded(configuration, root, source)


def _missing(root: Node, source: str) -> Iterator[Mistake]:
    """What a file must say, and a registry without a file need not."""
    written = {name for name, node in root.mapping().items() if node.value is not None}
    if "version" not in written:
        yield Mistake("version", f"is required; write `version: {VERSION}`", source)
    if "storage" not in written:
        yield Mistake("storage", "is required, with one storage driver in it", source)


def _in_order(mistakes: list[Mistake], source: str) -> list[Mistake]:
    """Those of the file first, by line; then those of the environment, by name."""
    return sorted(dict.fromkeys(mistakes), key=lambda each: (each.source != source, each.line or 0))


def _default_sections(root: Node) -> None:
    """Spell out the sections that may be written as one word."""
    for name in ("storage", "auth"):
        node = root.child(name)
        if node is not None:
            spell_out(node)


def _without_a_file(root: Node, shape: Shape) -> None:
    """Fill in what a registry without a configuration file is."""
    sections = root.mapping()
    storage = sections.setdefault("storage", Node({}, _DEFAULT))
    if storage.value is None:
        storage.value = {}
    parts = storage.mapping()
    if not drivers(storage, shape):
        parts["filesystem"] = Node({}, _DEFAULT)
    driver = parts.get("filesystem")
    if driver is not None and isinstance(driver.value, dict):
        driver.value.setdefault("rootdirectory", Node(DEFAULT_DIRECTORY, _DEFAULT))
    delete = parts.setdefault("delete", Node({}, _DEFAULT))
    if isinstance(delete.value, dict):
        delete.value.setdefault("enabled", Node(True, _DEFAULT))


def _rename_loglevel(root: Node) -> None:
    """`loglevel` is the old name of `log.level`, which wins."""
    sections = root.mapping()
    old = sections.get("loglevel")
    log = sections.setdefault("log", Node(None, _DEFAULT)) if old is not None else None
    if log is not None and log.value is None:
        log.value = {}
    level = root.child("log", "level")
    if old is not None and (level is None or level.value is None):
        del sections["loglevel"]
        if log is not None and isinstance(log.value, dict):
            log.value["level"] = old
