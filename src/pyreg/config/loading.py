"""From a file and the environment to a `Configuration`, or to every mistake at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from pyreg.config.advice import warnings_of
from pyreg.config.endpoints import ignored_in_vain, name_endpoints
from pyreg.config.environment import CONFIGURATION_PATH, PREFIX, Overrides, spell_out
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


def load(
    path: str | Path | None, environ: Mapping[str, str], *, plugins: bool = False
) -> Configuration:
    """Read a configuration.

    Args:
        path: The file, `-` for the standard input. None: the file that the variable
            `REGISTRY_CONFIGURATION_PATH` names; where there is none either, the built-in
            defaults, which keep content in `./pyreg-data`, listen on 127.0.0.1:5000 and allow
            deletes.
        environ: The environment, of which `REGISTRY_*` override the file.
        plugins: Whether to import the plugins that it asks for, and have them look at their
            options. Without, that is done only when there are mistakes anyway, so that all are
            told at once.

    Raises:
        ConfigurationError: with every mistake that was found, and every warning.
    """
    return load_tree(path, environ, plugins=plugins).configuration


def load_tree(
    path: str | Path | None, environ: Mapping[str, str], *, plugins: bool = False
) -> Loaded:
    """As `load`, with the places that the options came from."""
    reading = read(path, environ)
    if plugins or reading.mistakes:
        reading.ask_plugins()
    return reading.result()


def read(path: str | Path | None, environ: Mapping[str, str]) -> Reading:
    """Read a configuration and look at all but the options of plugins.

    Args:
        path: As for `load`.
        environ: As for `load`.

    Raises:
        ConfigurationError: it cannot be read at all.
    """
    path = path or environ.get(CONFIGURATION_PATH) or None
    if path is None:
        return Reading(Node({}, _DEFAULT), environ, "", [], [])
    text, source = read_file(path)
    return _read_text(text, environ, source)


def parse(text: str, environ: Mapping[str, str], source: str = "config.yml") -> Loaded:
    """Read a configuration from a text.

    Args:
        text: The YAML.
        environ: As for `load`.
        source: The name under which mistakes speak of the text.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    return _read_text(text, environ, source).result()


def _read_text(text: str, environ: Mapping[str, str], source: str) -> Reading:
    document = Document(text, source)
    root = document.root
    if root.value is None:
        message = f"is empty; expected at least `version: {VERSION}` and `storage`"
        raise ConfigurationError([Mistake("", message, source)])
    if not isinstance(root.value, dict):
        message = "expected a mapping (lines of `key: value`) at the top"
        raise ConfigurationError([Mistake("", message, source, root.origin.line)])
    return Reading(root, environ, source, document.mistakes, document.warnings)


@cache
def configuration_shape() -> Shape:
    """What may stand in a configuration."""
    return shape_of(Configuration)


class Reading:
    """A configuration that was read, with what is wrong with it so far.

    Args:
        root: The tree of the file, or an empty mapping; it is changed.
        environ: The environment.
        source: The name of the file; "" when there is none.
        mistakes: What is wrong with the YAML.
        warnings: What the YAML will not do.

    Attributes:
        mistakes: Every mistake, not yet in order.
        warnings: What will not do what its author may think.
    """

    def __init__(
        self,
        root: Node,
        environ: Mapping[str, str],
        source: str,
        mistakes: list[Mistake],
        warnings: list[Mistake],
    ) -> None:
        shape = configuration_shape()
        overrides = Overrides(root, shape)
        overrides.apply(environ)
        self.mistakes = [*mistakes, *overrides.mistakes]
        _default_sections(root)
        if not source:
            _without_a_file(root, shape)
        else:
            self.mistakes += _missing(root, source)
        self.warnings = [*warnings, *overrides.warnings, *warnings_of(root, shape)]
        twice, nameless = name_endpoints(root)
        self.mistakes += twice
        self.warnings += [*nameless, *ignored_in_vain(root)]
        _rename_loglevel(root)
        wanted = WantedPlugins(root, shape)
        found = wanted.top_level()
        data = {**strings(root, shape), **found}
        driver = wanted.driver()
        if driver is not None:
            data["storage"]["driver"] = driver
        self.mistakes += wanted.mistakes
        self._root = root
        self._source = source
        self._plugins = [] if driver is None else [driver]
        self._plugins += (options for group in found.values() for options in group)
        self._configuration: Configuration | None = None
        try:
            self._configuration = Configuration.model_validate(data)
        except ValidationError as error:
            self.mistakes += from_validation(error, root, shape)

    def ask_plugins(self) -> None:
        """Import the plugins that are asked for, and add what they say of their options."""
        from pyreg.config.vetting import vet  # what it imports takes longer than all the rest

        vetted = vet(self._plugins)
        _add(self.mistakes, vetted.mistakes)
        _add(self.warnings, vetted.warnings)

    def result(self) -> Loaded:
        """The configuration.

        Raises:
            ConfigurationError: with every mistake that was found, and every warning.
        """
        warnings = in_order(self.warnings)
        if self._configuration is None or self.mistakes:
            raise ConfigurationError(in_order(self.mistakes), warnings)
        configuration = self._configuration.model_copy(update={"warnings": tuple(warnings)})
        return Loaded(configuration, self._root, self._source)


def in_order(found: Iterable[Mistake]) -> list[Mistake]:
    """Those of the file first, by line; then those of the environment, by name."""
    return sorted(
        dict.fromkeys(found),
        key=lambda each: (each.source.startswith(PREFIX), each.line or 0, each.source),
    )


def _add(told: list[Mistake], found: Iterable[Mistake]) -> None:
    """Add what is not told of the same place: sections such as `http.tls` are looked at twice."""
    places = {(each.source, each.line, each.path) for each in told}
    told += [each for each in found if (each.source, each.line, each.path) not in places]


def _missing(root: Node, source: str) -> Iterator[Mistake]:
    """What a file must say, and a registry without a file need not."""
    written = {name for name, node in root.mapping().items() if node.value is not None}
    if "version" not in written:
        yield Mistake("version", f"is required; write `version: {VERSION}`", source)
    if "storage" not in written:
        yield Mistake("storage", "is required, with one storage driver in it", source)


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
