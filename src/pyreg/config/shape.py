"""Keys: how the model declares them, and the shape that everything else reads off the model.

The shape says for each place in a configuration what may stand there. The environment, the
warnings about unknown keys, the table in the documentation and the validation of a plugin's
options all go by it, so that the model is the one place where a key is written down.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pyreg.config.redact import looks_secret
from pyreg.config.values import ByteSize, Duration, PageSize, SignedDuration

Status = Literal["honoured", "deprecated", "plugin", "ignored"]

Unit = Literal["", "duration", "size"]

_UNITS: Mapping[BeforeValidator, Unit] = {
    get_args(Duration)[1]: "duration",
    get_args(SignedDuration)[1]: "duration",
    get_args(ByteSize)[1]: "size",
}
_RESOLVED = (bool, int, float)


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at one place of a configuration.

    Attributes:
        kind: `section` has known keys, `map` has keys of the author's choice, `list` has items,
            `leaf` is a single value, and of `any` nothing is known.
        annotation: The Python type.
        keys: The known keys of a section.
        item: What a map or a list holds; what else a section holds besides its known keys.
        word: A section or map for which a single word may stand: `s3` means `{s3: {}}`.
        forbids: A section that refuses unknown keys by itself.
        as_written: A leaf that wants a scalar's text (`0123`, `yes`) and not what YAML makes of it.
        secret: A leaf that is never shown.
        public: A value that may be shown although its key looks like that of a secret.
        unit: A leaf that is a duration or a size.
        page: A leaf that is the size of a page: 0 or less stands for the default.
    """

    kind: Literal["section", "map", "list", "leaf", "any"]
    annotation: Any = Any
    keys: Mapping[str, Key] = field(default_factory=dict)
    item: Shape | None = None
    word: bool = False
    forbids: bool = False
    as_written: bool = False
    secret: bool = False
    public: bool = False
    unit: Unit = ""
    page: bool = False

    def inside(self, step: str | int) -> Shape:
        """The shape behind a key or an index."""
        if isinstance(step, str) and step in self.keys:
            return self.keys[step].shape
        return self.item or ANYTHING

    def hides(self, name: str, *, container: bool = False) -> bool:
        """Whether a value is secret.

        Args:
            name: The key that it stands behind.
            container: Whether it is a mapping or a list; everything in it is secret then.
        """
        if self.public or (container and name.lower() in ("credential", "credentials")):
            return False
        return self.secret or (self.kind != "section" and looks_secret(name))


@dataclass(frozen=True, slots=True)
class Key:
    """One known key of a section.

    Attributes:
        name: The key.
        shape: What may stand behind it.
        variable: Its part of an environment variable's name.
        default: Its default; `PydanticUndefined` when it must be given.
        meaning: A sentence or two for people.
        status: What pyreg does with it.
        reason: Why it is ignored, what replaces it, or which plugin it needs.
        quiet: An ignored key that nobody needs to be warned of.
    """

    name: str
    shape: Shape
    variable: str = ""
    default: Any = None
    meaning: str = ""
    status: Status = "honoured"
    reason: str = ""
    quiet: bool = False


ANYTHING = Shape("any")

PLUGIN = Shape("any", public=True)
"""The options of one plugin, behind its name."""

PLUGINS = Shape("map", item=PLUGIN, word=True, public=True)
"""Names of plugins, each with its options: `{htpasswd: {realm: ..., path: ...}}`."""


def option(
    default: Any,
    meaning: str,
    *,
    status: Status = "honoured",
    reason: str = "",
    quiet: bool = False,
    variable: str = "",
    public: bool = False,
    **constraints: Any,
) -> Any:
    """Declare one key of the configuration; see `Key`. `...` as the default makes it required."""
    extra: dict[str, Any] = {}
    if status != "honoured":
        extra["x-status"] = status
    if reason:
        extra["x-reason"] = reason
    if quiet:
        extra["x-quiet"] = True
    if variable:
        extra["x-variable"] = variable
    if public:
        extra["x-public"] = True
    return Field(default, description=meaning, json_schema_extra=extra or None, **constraints)


def shape_of(annotation: Any) -> Shape:
    """Read the shape off a type: a pydantic model, a dataclass, or what they are made of."""
    return _shape(annotation, ())


def _shape(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = (*metadata, *more)
    for mark in metadata:
        if isinstance(mark, Shape):
            return mark
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in arguments if choice is not type(None)]
        if len(choices) == 1:
            return _shape(choices[0], metadata)
        return Shape("any", secret=any(_shape(choice, ()).secret for choice in choices))
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
    ):
        return _section(annotation)
    if isinstance(origin or annotation, type):
        container = cast(type, origin or annotation)
        if issubclass(container, collections.abc.Mapping):
            item = _shape(arguments[1], ()) if len(arguments) == 2 else ANYTHING
            return Shape("map", annotation, item=item)
        if issubclass(container, list | tuple | set | frozenset) or container in (
            collections.abc.Sequence,
            collections.abc.Iterable,
            collections.abc.Collection,
        ):
            item = _shape(arguments[0], ()) if arguments else ANYTHING
            return Shape("list", annotation, item=item)
    if annotation in (Any, object):
        return ANYTHING
    unit: Unit = ""
    for mark in metadata:
        if isinstance(mark, BeforeValidator):
            unit = _UNITS.get(mark, unit)
    return Shape(
        "leaf",
        annotation,
        as_written=annotation not in _RESOLVED or unit == "duration",
        secret=annotation in (SecretStr, SecretBytes),
        unit=unit,
        page=any(mark in metadata for mark in get_args(PageSize)[1:]),
    )


@cache
def _section(cls: type) -> Shape:
    keys = {}
    forbids = False
    if issubclass(cls, BaseModel):
        forbids = cls.model_config.get("extra") == "forbid"
        for name, info in cls.model_fields.items():
            if info.init is not False and not info.exclude:
                alias = info.validation_alias if isinstance(info.validation_alias, str) else None
                entry = _key(alias or info.alias or name, info)
                keys[entry.name] = entry
        rest = getattr(cls, "other_keys", None)
        return Shape("section", cls, keys, rest, word=rest is PLUGIN, forbids=forbids)
    hints = typing.get_type_hints(cls, include_extras=True)
    for item in dataclasses.fields(cast(Any, cls)):
        if item.init:
            default = item.default
            if item.default_factory is not dataclasses.MISSING:
                default = item.default_factory()
            keys[item.name] = Key(
                name=item.name,
                shape=_shape(hints[item.name], ()),
                variable=item.name.upper(),
                default=PydanticUndefined if default is dataclasses.MISSING else default,
            )
    return Shape("section", cls, keys)


def _key(name: str, info: FieldInfo) -> Key:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    default = info.get_default(call_default_factory=True) if not info.is_required() else None
    shape = _shape(info.annotation, tuple(info.metadata))
    return Key(
        name=name,
        shape=dataclasses.replace(shape, public=True) if extra.get("x-public") else shape,
        variable=str(extra.get("x-variable", name.upper())),
        default=PydanticUndefined if info.is_required() else default,
        meaning=info.description or "",
        status=cast(Status, extra.get("x-status", "honoured")),
        reason=str(extra.get("x-reason", "")),
        quiet=bool(extra.get("x-quiet", False)),
    )


def all_keys(
    shape: Shape, path: str = "", variable: str = "REGISTRY"
) -> Iterator[tuple[str, str, Key]]:
    """Every key below a section, depth first.

    Yields:
        The dotted path (`health.http[].timeout`), the environment variable
        (`REGISTRY_HEALTH_HTTPCHECKERS_<n>_TIMEOUT`), and the key.
    """
    for entry in shape.keys.values():
        here = f"{path}.{entry.name}" if path else entry.name
        name = f"{variable}_{entry.variable}"
        yield here, name, entry
        inner = entry.shape
        if inner.kind == "list" and inner.item is not None:
            here, name, inner = f"{here}[]", f"{name}_<n>", inner.item
        yield from all_keys(inner, here, name)
