"""The options of plugins: kept as they were written until the plugin says what it expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from pyreg.config.advice import warnings_of
from pyreg.config.mistakes import from_validation, strings
from pyreg.config.redact import MASK
from pyreg.config.shape import ANYTHING, Key, Shape, shape_of
from pyreg.config.tree import Node, Origin, from_python
from pyreg.errors import ConfigurationError, Mistake

T = TypeVar("T")

_PYTHON = Origin("")

PluginKind = Literal["storage", "auth", "events", "extension"]


@dataclass(frozen=True)
class PluginOptions:
    """A plugin that the configuration asks for, with its options.

    Attributes:
        kind: The last word of the entry-point group, `pyreg.<kind>`.
        name: The plugin's word in the configuration, the entry point's name.
        values: The options, as YAML reads them.
        path: Where they stand: `storage.s3`, `auth.htpasswd`, `http.tls`.
        essential: Whether the registry must not start without the plugin, because it would be
            less secure or another thing than its configuration says.
        node: The options with the place that each came from; made from `values` when left out.
            Two options that say the same in different places are equal.
        beside: Keys that stand in the same section and are not the plugin's. What it does not
            know may be one of them, misspelt.
    """

    kind: PluginKind
    name: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    path: str = ""
    essential: bool = True
    node: Node = field(default_factory=lambda: Node(None, _PYTHON), compare=False, repr=False)
    beside: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        """Take options that were made in Python."""
        if self.node.value is None:
            object.__setattr__(self, "node", from_python(self.values))

    @classmethod
    def of(
        cls,
        kind: PluginKind,
        name: str,
        path: str,
        node: Node,
        *,
        essential: bool = True,
        beside: tuple[str, ...] = (),
    ) -> PluginOptions:
        """The options that stand at `node`; nothing there means no options.

        Raises:
            ConfigurationError: something else than a mapping stands there.
        """
        if node.value is None:
            node = Node({}, node.origin)
        if not isinstance(node.value, dict):
            message = f"expected the options of {name} (lines of `key: value`)"
            origin = node.origin
            raise ConfigurationError([Mistake(path, message, origin.source, origin.line)])
        return cls(kind, name, node.plain(), path, essential, node, beside)

    @property
    def origin(self) -> Origin:
        """Where the plugin was asked for."""
        return self.node.origin

    def __str__(self) -> str:
        options = ", ".join(f"{name}={MASK}" for name in self.values)
        return f"{self.kind} plugin {self.name}({options})"


@dataclass(frozen=True)
class NoOptions:
    """What a plugin without options takes: nothing, as in `inmemory: {}`."""


def validate_options(options: PluginOptions, expected: type[T]) -> T:
    """Validate a plugin's options against the type that it declares.

    Args:
        options: What the configuration says.
        expected: A dataclass, a pydantic model, or anything else that pydantic can validate.

    Raises:
        ConfigurationError: with every mistake, each with its line or environment variable.
    """
    shape = _shape(options, expected)
    node = _folded(options.node, shape)
    try:
        return TypeAdapter(expected).validate_python(strings(node, shape))
    except ValidationError as error:
        raise ConfigurationError(from_validation(error, node, shape, _location(options))) from None


def option_warnings(options: PluginOptions, expected: type[Any]) -> tuple[Mistake, ...]:
    """What a plugin will ignore in its options: unknown keys, each with a "did you mean"."""
    shape = _shape(options, expected)
    return tuple(warnings_of(_folded(options.node, shape), shape, _location(options)))


def conceal(options: PluginOptions, expected: type[Any]) -> None:
    """Mark what a plugin declares as secret, so that it is not shown whatever its name is."""
    shape = shape_of(expected)
    _conceal(_folded(options.node, shape), shape)


def _conceal(node: Node, shape: Shape) -> None:
    node.secret = shape.secret
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            _conceal(child, shape.inside(name))
    elif isinstance(node.value, list):
        for child in node.value:
            _conceal(child, shape.inside(0))


def _shape(options: PluginOptions, expected: type[Any]) -> Shape:
    """The shape of a plugin's options, for hints together with what stands beside them."""
    shape = shape_of(expected)
    beside = {name: Key(name, ANYTHING) for name in options.beside}
    return replace(shape, keys={**beside, **shape.keys}) if shape.kind == "section" else shape


def _location(options: PluginOptions) -> tuple[str, ...]:
    return (options.path or f"{options.kind}.{options.name}",)


def _folded(node: Node, shape: Shape) -> Node:
    """Read once more what came from environment variables, now that the options are known.

    `REGISTRY_STORAGE_AZURE_MAX_RETRIES=5` reads as `max: {retries: 5}` as long as nobody knows
    azure's options. When `max_retries` is one of them and `max` is not, it is what was meant.
    `REGISTRY_AUTH_OIDC_ISSUERS_0_ISSUER` is the same: only here `issuers` is known to be a list.
    """
    if shape.kind == "list" and node.implied:
        node = _list(node)
    if shape.kind == "list" and isinstance(node.value, list):
        items = [_folded(item, shape.inside(0)) for item in node.value]
        return Node(items, node.origin)
    if shape.kind != "section" or not isinstance(node.value, dict):
        return node
    by_name = {name.lower(): name for name in shape.keys}
    entries: dict[str, Node] = {}
    waiting = list(node.value.items())
    while waiting:
        name, child = waiting.pop(0)
        if name not in shape.keys and child.origin.variable:
            name = by_name.get(name, name)
        begins = any(known.startswith(f"{name}_") for known in by_name)
        if name not in shape.keys and child.implied and begins:
            waiting[:0] = [(f"{name}_{inner}", part) for inner, part in child.mapping().items()]
            continue
        entries[name] = _folded(child, shape.inside(name))
    return Node(entries, node.origin, implied=node.implied)


def _list(node: Node) -> Node:
    """The list whose indices are the keys of a mapping, if they are 0, 1, 2 and so on."""
    entries = node.mapping()
    if entries.keys() != {str(index) for index in range(len(entries))}:
        return node
    return Node([entries[str(index)] for index in range(len(entries))], node.origin)
