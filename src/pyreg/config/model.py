"""The typed configuration: the sections that the core of pyreg honours.

The Docker registry's schema, version 0.1, and what pyreg adds to it. Every model is frozen, can
be pickled and compared. A model made in Python, `HTTP(addr=":5000")`, has the defaults of a file
that says nothing about the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, InstanceOf

from pyreg.config.http import HTTP
from pyreg.config.inherited import (
    Compatibility,
    Health,
    LogHook,
    Middlewares,
    Policy,
    Proxy,
    Redis,
    Reporting,
)
from pyreg.config.notifications import Notifications
from pyreg.config.plugin_options import PluginOptions
from pyreg.config.section import Section
from pyreg.config.shape import PLUGIN, PLUGINS, Shape, option
from pyreg.config.tree import Origin, from_python
from pyreg.config.values import PAGE, ByteSize, Duration, Lower, PageSize, Pattern
from pyreg.errors import Mistake

MIB = 1024 * 1024

VERSION = "0.1"
"""The version of the configuration's schema."""

DEFAULT_DIRECTORY = "./pyreg-data"
"""Where content is kept when nothing is configured."""

LogLevel = Annotated[Literal["error", "warn", "info", "debug"], Lower]


class AccessLog(Section):
    """`log.accesslog`."""

    disabled: bool = option(False, "Write no line for each request.")


class Log(Section):
    """`log`."""

    accesslog: AccessLog = option(AccessLog(), "The log of requests.")
    level: LogLevel = option("info", "How much is logged: `error`, `warn`, `info` or `debug`.")
    formatter: Annotated[Literal["auto", "text", "json", "logstash"], Lower] = option(
        "auto",
        "How a line looks. `auto` is readable text on a terminal and JSON anywhere else.",
    )
    fields: Mapping[str, Any] = option({}, "Added to every line.")
    reportcaller: bool = option(
        False, "Add the place in the code.", status="ignored", reason="pyreg has no such field"
    )
    hooks: tuple[LogHook, ...] = option(
        (),
        "Mail about log lines.",
        status="ignored",
        reason="pyreg sends no mail; let your log collector do it",
    )


class Delete(Section):
    """`storage.delete`."""

    enabled: bool = option(
        False, "Allow the deletion of tags, manifests and blobs. True without a file."
    )


class Redirect(Section):
    """`storage.redirect`."""

    disable: bool = option(
        False, "Never send clients to the storage service for content; stream it through pyreg."
    )


class Cache(Section):
    """`storage.cache`."""

    memory: ByteSize = option(
        32 * MIB, "Memory of each worker for content that never changes; 0 remembers nothing."
    )
    blobdescriptor: str = option(
        "",
        "The Docker registry's cache: `inmemory` or `redis`.",
        status="ignored",
        reason="pyreg always has a cache, of the size `storage.cache.memory`",
        quiet=True,
    )
    blobdescriptorsize: int = option(
        10000,
        "Entries of that cache.",
        status="ignored",
        reason="the cache is bounded by `storage.cache.memory`",
        quiet=True,
    )
    layerinfo: str = option(
        "",
        "Old name of `blobdescriptor`.",
        status="ignored",
        reason="pyreg always has a cache, of the size `storage.cache.memory`",
        quiet=True,
    )


class TagLookup(Section):
    """`storage.tag`."""

    concurrencylimit: int = option(
        0,
        "Tags that are read at once to find those of a manifest that is deleted.",
        status="ignored",
        reason="pyreg sets its own limit",
        quiet=True,
    )


class UploadPurging(Section):
    """`storage.maintenance.uploadpurging`."""

    enabled: bool = option(True, "Remove uploads that nobody finished.")
    age: Duration = option(168 * 3600.0, "How old such an upload must be.")
    interval: Duration = option(24 * 3600.0, "Time between two searches for them.")
    dryrun: bool = option(False, "Only log what would be removed.")


class ReadOnly(Section):
    """`storage.maintenance.readonly`."""

    enabled: bool = option(False, "Refuse everything that writes.")


class Maintenance(Section):
    """`storage.maintenance`."""

    uploadpurging: UploadPurging = option(UploadPurging(), "Unfinished uploads.")
    readonly: ReadOnly = option(ReadOnly(), "Read-only mode.")


def _default_driver() -> PluginOptions:
    options = from_python({"rootdirectory": DEFAULT_DIRECTORY}, Origin("default"))
    return PluginOptions.of("storage", "filesystem", "storage.filesystem", options)


class Storage(Section):
    """`storage`: exactly one driver, and what is the same for all drivers.

    Attributes:
        driver: The storage plugin; in the file it is the one other key of the section.
    """

    other_keys: ClassVar[Shape] = PLUGIN

    driver: InstanceOf[PluginOptions] = Field(default_factory=_default_driver, exclude=True)
    delete: Delete = option(Delete(), "Deleting.")
    redirect: Redirect = option(Redirect(), "Redirects to the storage service.")
    cache: Cache = option(Cache(), "Caching.")
    tag: TagLookup = option(TagLookup(), "Looking up tags.")
    maintenance: Maintenance = option(Maintenance(), "Maintenance.")


class Catalog(Section):
    """`catalog`."""

    maxentries: PageSize = option(PAGE, "The most repositories on one page of the catalog.")


class Tags(Section):
    """`tags`."""

    maxtags: PageSize = option(PAGE, "The most tags on one page.")


class Referrers(Section):
    """`referrers`."""

    maxentries: PageSize = option(PAGE, "The most referrers on one page.")


class URLRules(Section):
    """`validation.manifests.urls`."""

    allow: tuple[Pattern, ...] = option(
        (), "Every URL in a manifest must match one of these; without any, URLs are refused."
    )
    deny: tuple[Pattern, ...] = option((), "No URL in a manifest may match any of these.")


class Platform(Section):
    """`validation.manifests.indexes.platformlist[]`."""

    architecture: str = option("", "As in the index: `amd64`.")
    os: str = option("", "As in the index: `linux`.")


class IndexRules(Section):
    """`validation.manifests.indexes`."""

    platforms: Annotated[Literal["all", "none", "list"], Lower] = option(
        "all",
        "Which images of an index must be there when it is pushed; `list` means those of the "
        "platforms in `platformlist`.",
    )
    platformlist: tuple[Platform, ...] = option((), "The platforms that `list` speaks of.")


class ManifestRules(Section):
    """`validation.manifests`."""

    urls: URLRules = option(URLRules(), "URLs in manifests.")
    indexes: IndexRules = option(IndexRules(), "Indexes and manifest lists.")


class Validation(Section):
    """`validation`."""

    enabled: bool = option(
        False,
        "Old opposite of `disabled`.",
        status="ignored",
        reason="validation is on unless `validation.disabled` is true",
        quiet=True,
    )
    disabled: bool = option(
        False, "Take manifests whose layers, images or URLs are not as they should be."
    )
    manifests: ManifestRules = option(ManifestRules(), "What is checked in a manifest.")


class Configuration(Section):
    """A whole configuration.

    Attributes:
        auth: The authentication plugins, in the order of the file; none means open to all.
        extensions: The plugins of the section `extensions`, in the order of the file.
        sections: The plugins that other sections ask for: `http.tls`, `proxy`, `middleware`...
        warnings: What is accepted, but will not do what its author may think.
    """

    version: Literal["0.1"] = option(VERSION, "Version of the schema; required in a file.")
    log: Log = option(Log(), "Logging.")
    loglevel: LogLevel | None = option(
        None, "Old name of `log.level`.", status="deprecated", reason="use log.level"
    )
    storage: Storage = option(
        Storage(),
        "Where content is kept: one storage driver under its name, and the sections below.",
    )
    auth: Annotated[tuple[InstanceOf[PluginOptions], ...], PLUGINS] = option(
        (),
        "Who may come in, and who may do what: plugins under their names (`htpasswd`, `token`, "
        "`tokenservice`, `oidc`, `certificate`, `policy`); `none` is open to all.",
        status="plugin",
        reason="the plugin of that name",
    )
    middleware: Middlewares = option(
        Middlewares(),
        "Plugins around parts of the registry.",
        status="plugin",
        reason="the plugin of that name",
    )
    http: HTTP = option(HTTP(), "The HTTP server.")
    notifications: Notifications = option(Notifications(), "Events for other systems.")
    redis: Redis = option(
        Redis(),
        "Redis.",
        status="ignored",
        reason="pyreg needs no Redis; each worker caches in memory (storage.cache.memory)",
    )
    health: Health = option(
        Health(), "Health checks.", status="plugin", reason="extension `health`"
    )
    catalog: Catalog = option(Catalog(), "The catalog.")
    tags: Tags = option(Tags(), "Lists of tags.")
    referrers: Referrers = option(Referrers(), "Lists of referrers.")
    proxy: Proxy = option(
        Proxy(), "Cache of another registry.", status="plugin", reason="extension `proxy`"
    )
    validation: Validation = option(Validation(), "Checks of what is pushed.")
    policy: Policy = option(
        Policy(), "What may be pushed.", status="plugin", reason="extension `policy`"
    )
    reporting: Reporting = option(
        Reporting(),
        "Error reports to a service.",
        status="ignored",
        reason="pyreg reports to no service; its log has every error",
    )
    compatibility: Compatibility = option(
        Compatibility(),
        "Manifests of schema 1.",
        status="ignored",
        reason="manifests of schema 1 are refused",
    )
    extensions: Annotated[tuple[InstanceOf[PluginOptions], ...], PLUGINS] = option(
        (),
        "Further plugins under their names, with their options.",
        status="plugin",
        reason="the plugin of that name",
    )
    sections: tuple[InstanceOf[PluginOptions], ...] = Field(default=(), exclude=True)
    warnings: tuple[InstanceOf[Mistake], ...] = Field(default=(), exclude=True, repr=False)

    @property
    def plugins(self) -> tuple[PluginOptions, ...]:
        """Every plugin that is asked for, in the order in which they are asked."""
        return (self.storage.driver, *self.auth, *self.sections, *self.extensions)

    def __eq__(self, other: object) -> bool:
        """Equal when they configure the same, wherever it was written."""
        if not isinstance(other, Configuration):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name)
            for name in Configuration.model_fields
            if name != "warnings"
        )
