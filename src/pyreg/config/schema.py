"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pyreg.config.loading import configuration_shape
from pyreg.config.model import VERSION, Configuration
from pyreg.config.shape import PLUGINS, Key, Shape
from pyreg.config.values import format_duration, format_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_OPTIONS: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "Options of the plugin; its own documentation lists them.",
}


class _Generator(GenerateJsonSchema):
    """Lets the fields pass that the loader fills in; they are taken out afterwards."""

    schema_dialect = DIALECT

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        return dict(_OPTIONS)


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12. Stricter than the registry: it knows no unknown keys."""
    generated = Configuration.model_json_schema(schema_generator=_Generator)
    definitions = generated.pop("$defs")
    shapes = {shape.annotation.__name__: shape for shape in _sections(configuration_shape())}
    for name, definition in definitions.items():
        if name in shapes:
            _complete(definition, shapes[name])
    _complete(generated, configuration_shape())
    version = generated["properties"]["version"]
    del version["const"], version["type"]
    version["enum"] = [VERSION, float(VERSION)]
    used = {name: definition for name, definition in definitions.items() if name in shapes}
    return {
        "$schema": DIALECT,
        **generated,
        "title": "pyreg configuration",
        "description": f"config.yml of a pyreg registry, version {VERSION} of the schema.",
        "required": ["version", "storage"],
        "$defs": used,
    }


def _sections(shape: Shape) -> Iterator[Shape]:
    if shape.kind == "section":
        yield shape
    for key in shape.keys.values():
        yield from _sections(key.shape)
    if shape.item is not None:
        yield from _sections(shape.item)


def _complete(definition: dict[str, Any], shape: Shape) -> None:
    """Make the schema of a section say what its shape says."""
    properties = definition["properties"]
    definition["properties"] = {
        name: _property(properties[name], key) for name, key in shape.keys.items()
    }
    definition["additionalProperties"] = shape.item is not None
    if shape.word:
        definition["additionalProperties"] = dict(_OPTIONS)
        definition["type"] = ["object", "string"]


def _property(schema: dict[str, Any], key: Key) -> dict[str, Any]:
    schema = {
        name: value
        for name, value in schema.items()
        if name not in ("title", "x-quiet", "x-variable", "x-public")
    }
    if key.shape is PLUGINS:
        return {
            "type": ["object", "string"],
            "description": key.meaning,
            "additionalProperties": dict(_OPTIONS),
        }
    if isinstance(schema.get("default"), dict) and not schema["default"]:
        del schema["default"]
    elif key.shape.kind == "section":
        schema.pop("default", None)
    elif "default" in schema:
        schema["default"] = default_text(key) if key.shape.unit else schema["default"]
    if key.status == "deprecated":
        schema["deprecated"] = True
    return schema


def default_text(key: Key) -> str:
    """The default of a duration or a size, as it is written in a file."""
    if key.default is None:
        return ""
    if key.shape.unit == "duration":
        return format_duration(key.default)
    return format_size(key.default)
