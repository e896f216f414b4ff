"""From a configuration to a registry: which plugins, with which options, under which rules."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from pyreg import plugins
from pyreg.api.address import Addresses
from pyreg.config.loading import in_order
from pyreg.config.vetting import vet
from pyreg.content.purge import Purger
from pyreg.content.rules import Rules
from pyreg.errors import ConfigurationError, Mistake, PluginError
from pyreg.hooks.events import Subscription

log = logging.getLogger("pyreg")

if TYPE_CHECKING:
    from pyreg.app import Registry
    from pyreg.config import Configuration


def assemble(kind: type[Registry], configuration: Configuration) -> Registry:
    """The registry that a configuration describes.

    Raises:
        ConfigurationError: with every plugin that is missing or broken, and every mistake in
            their options.
        PluginError: a plugin cannot do what its options say.
    """
    http = configuration.http
    purging = configuration.storage.maintenance.uploadpurging
    return kind(
        plugins=plugin_instances(configuration),
        rules=rules_of(configuration),
        addresses=Addresses(
            external=http.host,
            prefix=http.prefix,
            relative=http.relativeurls,
            trusted=http.trustedproxies,
        ),
        headers=http.headers,
        idle=http.idletimeout or None,
        memory=configuration.storage.cache.memory,
        redirect=not configuration.storage.redirect.disable,
        purger=Purger(purging.age, purging.interval, dry_run=purging.dryrun)
        if purging.enabled
        else None,
        subscriptions=subscriptions(configuration),
        source=source_of(configuration),
    )


def rules_of(configuration: Configuration) -> Rules:
    """Limits and switches of a configuration."""
    validation = configuration.validation
    urls, indexes = validation.manifests.urls, validation.manifests.indexes
    return Rules(
        delete=configuration.storage.delete.enabled,
        readonly=configuration.storage.maintenance.readonly.enabled,
        validate=not validation.disabled,
        index_platforms=indexes.platforms,
        platforms=frozenset((item.os, item.architecture) for item in indexes.platformlist),
        url_allow=urls.allow,
        url_deny=urls.deny,
        max_manifest=configuration.http.maxmanifestsize,
        max_tags=configuration.tags.maxtags,
        max_repositories=configuration.catalog.maxentries,
        max_referrers=configuration.referrers.maxentries,
    )


def subscriptions(configuration: Configuration) -> dict[str, Subscription]:
    """What each endpoint that is not disabled hears of, by its name."""
    notifications = configuration.notifications
    references = notifications.events.includereferences
    return {
        endpoint.name: Subscription(
            actions=frozenset(endpoint.actions),
            repositories=endpoint.repositories,
            ignored_actions=frozenset(endpoint.ignore.actions),
            ignored_media_types=frozenset(
                (*endpoint.ignoredmediatypes, *endpoint.ignore.mediatypes)
            ),
            references=references,
            timeout=endpoint.timeout,
            threshold=endpoint.threshold,
            backoff=endpoint.backoff,
            max_age=endpoint.maxage,
            max_attempts=endpoint.maxattempts,
            batch=endpoint.batch,
            concurrency=endpoint.concurrency,
        )
        for endpoint in notifications.endpoints
        if not endpoint.disabled
    }


def source_of(configuration: Configuration) -> str:
    """The address by which events name this instance: `host:port`, as in the Docker registry."""
    host, address = socket.gethostname(), configuration.http.host_and_port
    return f"{host}:{address[1]}" if address is not None else host


def plugin_instances(configuration: Configuration) -> list[object]:
    """Instances of all plugins that the configuration asks for, in its order.

    Raises:
        ConfigurationError: with every plugin that is missing or broken, and every mistake in
            their options.
        PluginError: what their options say cannot be done.
    """
    vetted = vet(configuration.plugins)
    for warning in vetted.warnings:
        if warning not in configuration.warnings:  # or else it was told when that was loaded
            log.warning("%s", warning)
    if vetted.mistakes:
        raise ConfigurationError(in_order(vetted.mistakes), vetted.warnings)
    instances: list[object] = []
    mistakes: list[Mistake] = []
    failures: list[str] = []
    for plugin, options in vetted.ready:
        try:
            instances.append(plugin(options))
        except ConfigurationError as error:  # in a file of the plugin's own
            mistakes += error.mistakes
        except PluginError as error:
            failures.append(str(error))
    if failures:
        raise PluginError("\n".join([*failures, *map(str, mistakes)]))
    if mistakes:
        raise ConfigurationError(mistakes)
    return instances


def worker_count(configuration: Configuration) -> int:
    """How many processes may serve: one, where the storage lies in the memory of a process.

    Raises:
        PluginError: the storage plugin is missing or broken.
    """
    driver = configuration.storage.driver
    if getattr(plugins.load("storage", driver.name), "one_process", False):
        return 1
    return configuration.http.workers
