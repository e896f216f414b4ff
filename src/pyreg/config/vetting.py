"""What the plugins say of a configuration: which are missing, and what is wrong with options."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyreg.config.plugin_options import (
    NoOptions,
    PluginOptions,
    conceal,
    option_warnings,
    validate_options,
)
from pyreg.errors import ConfigurationError, Mistake, PluginError
from pyreg.plugins import load

log = logging.getLogger("pyreg.config")


@dataclass(frozen=True, slots=True)
class Vetted:
    """The plugins that a configuration asks for.

    Attributes:
        ready: Classes, each with the options to make its instance with, in the given order.
        mistakes: Plugins that are missing or broken, and mistakes in options.
        warnings: Options that no plugin knows, and plugins that are left out.
    """

    ready: tuple[tuple[type[Any], Any], ...]
    mistakes: tuple[Mistake, ...]
    warnings: tuple[Mistake, ...]


def vet(plugins: Iterable[PluginOptions]) -> Vetted:
    """Import plugins and validate their options; no instance is made."""
    ready: list[tuple[type[Any], Any]] = []
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    for options in plugins:
        try:
            plugin = load(options.kind, options.name)
            expected = plugin.Options or NoOptions
            warnings += option_warnings(options, expected)
            values = validate_options(options, expected)
        except ConfigurationError as error:
            mistakes += error.mistakes
        except PluginError as error:
            origin = options.origin
            message = f"{error}" if options.essential else f"is ignored: {error}"
            found = Mistake(options.path, message, origin.source, origin.line)
            (mistakes if options.essential else warnings).append(found)
        else:
            ready.append((plugin, values if plugin.Options else None))
    return Vetted(tuple(ready), tuple(mistakes), tuple(warnings))


def conceal_secrets(plugins: Iterable[PluginOptions]) -> None:
    """Import plugins, and mark what they declare as secret.

    Of a plugin that cannot be loaded, only the options whose names look secret are concealed;
    see `pyreg.config.redact`.
    """
    for options in plugins:
        try:
            conceal(options, load(options.kind, options.name).Options or NoOptions)
        except PluginError as error:
            log.debug("%s: its secrets are told by their names: %s", options.path, error)
