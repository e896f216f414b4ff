"""`REGISTRY_*`: options from the environment, by the rules of the Docker registry.

A variable's name is `REGISTRY_` and the keys that lead to the option, in capitals, joined by
underscores; its value is YAML. Variables are applied in the order of their names, so that
`REGISTRY_STORAGE=s3`, which replaces the whole section, comes before
`REGISTRY_STORAGE_S3_BUCKET`, which adds to it. A number in a name is the index of a list's item.
A name that leads nowhere is ignored, with a warning: other programs use the prefix too.

Three things are kinder than there. One item of a list of texts can be set by its index. An
option that contains an underscore can be set: see `_lookup`, and `validate_options` for options
that only a plugin knows. An option inside a driver's mapping can be set even if the file has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyreg.config.mistakes import did_you_mean
from pyreg.config.shape import Shape, all_keys
from pyreg.config.source import Document
from pyreg.config.tree import Node, Origin
from pyreg.errors import ConfigurationError, Mistake

PREFIX = "REGISTRY_"
CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"
"""The variable that names the configuration file; it is not an option."""


NOT_OURS = frozenset({CONFIGURATION_PATH, "REGISTRY_AUTH_FILE"})
"""Variables that begin alike and name no option. The second one belongs to podman and skopeo."""


class Overrides:
    """Applies variables to a tree.

    Args:
        root: The tree of the file, or an empty mapping; it is changed.
        shape: What may stand in it.

    Attributes:
        mistakes: Values that are not YAML, and impossible indices.
        warnings: Names that lead nowhere.
    """

    def __init__(self, root: Node, shape: Shape) -> None:
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self._root = root
        self._shape = shape
        self._variable = ""
        self._value = ""

    def apply(self, environ: Mapping[str, str]) -> None:
        """Apply every variable that begins with `REGISTRY_`."""
        for variable in sorted(environ):
            if variable.startswith(PREFIX) and variable not in NOT_OURS:
                self._variable, self._value = variable, environ[variable]
                parts = variable[len(PREFIX) :].split("_")
                if all(parts) and variable.isprintable():
                    self._enter(self._root, self._shape, parts)
                else:
                    self._ignored()

    def _enter(self, node: Node, shape: Shape, parts: list[str]) -> None:
        """Go on inside `node`; `parts` are what is left of the name, and never empty."""
        if shape.word:
            spell_out(node)
        if isinstance(node.value, list):
            self._item(node.value, shape.inside(0), parts)
        elif isinstance(node.value, dict) and shape.kind != "leaf":
            known = {entry.variable: entry.name for entry in shape.keys.values()}
            if parts[0] in known:
                name = known[parts[0]]
                self._entry(node.value, name, shape.inside(name), parts[1:])
            elif shape.kind == "section" and shape.item is None:
                self._ignored()
            else:
                name, rest = self._lookup(node.value, parts)
                self._entry(node.value, name, shape.inside(name), rest)
        else:
            self._ignored()

    def _lookup(self, entries: Mapping[str, Node], parts: list[str]) -> tuple[str, list[str]]:
        """Which key of a free mapping a name speaks of, and what is left of the name.

        A key that is there is found in any case, and with its underscores: `MAX_RETRIES` is
        `max_retries` when there is one. Otherwise the next part is a new key, in lower case.
        """
        for length in range(len(parts), 0, -1):
            wanted = "_".join(parts[:length])
            for name in entries:
                if name.upper() == wanted:
                    return name, parts[length:]
        return parts[0].lower(), parts[1:]

    def _entry(self, entries: dict[str, Node], name: str, shape: Shape, rest: list[str]) -> None:
        if not rest:
            self._set(entries, name)
            return
        child = entries.get(name)
        if child is None or child.value is None:
            child = Node([] if shape.kind == "list" else {}, self._origin())
            child.implied = shape.kind == "any"
            self._enter(child, shape, rest)
            if child.value:
                entries[name] = child
        else:
            self._enter(child, shape, rest)

    def _item(self, items: list[Node], shape: Shape, parts: list[str]) -> None:
        digits = parts[0]
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            self._wrong(f"expected the index of a list's item, got {digits} in the name")
        elif int(digits) > len(items):
            self._wrong(f"the list has {len(items)} items; expected an index up to {len(items)}")
        else:
            entries = {str(index): item for index, item in enumerate(items)}
            self._entry(entries, str(int(digits)), shape, parts[1:])
            items[:] = entries.values()

    def _set(self, entries: dict[str, Node], name: str) -> None:
        try:
            document = Document(self._value, self._variable, variable=True)
        except ConfigurationError as error:
            self.mistakes.extend(error.mistakes)
            return
        self.mistakes.extend(document.mistakes)
        entries[name] = document.root

    def _origin(self) -> Origin:
        return Origin(self._variable, variable=True)

    def _wrong(self, message: str) -> None:
        self.mistakes.append(Mistake("", message, self._variable))

    def _ignored(self) -> None:
        names = [name for _, name, _ in all_keys(self._shape, variable="") if "<n>" not in name]
        near = did_you_mean(self._variable.removeprefix(PREFIX), [name[1:] for name in names])
        hint = near.replace("mean ", f"mean {PREFIX}")
        message = "names no option, and is ignored"
        shown = self._variable if self._variable.isprintable() else ascii(self._variable)
        self.warnings.append(Mistake("", message, shown, hint=hint))


def spell_out(node: Node) -> None:
    """`storage: inmemory` is short for `storage: {inmemory: {}}`."""
    if isinstance(node.value, str) and node.value:
        node.value = {node.value: Node({}, node.origin)}
        node.text = ""
