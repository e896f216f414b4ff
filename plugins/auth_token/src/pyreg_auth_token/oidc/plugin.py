"""The entry point `oidc`."""

from __future__ import annotations

from typing import ClassVar

from pyreg.hooks import Authenticator, hookimpl
from pyreg_auth_token.fetching import Fetcher
from pyreg_auth_token.oidc.authenticator import Issuer, OidcAuthenticator
from pyreg_auth_token.oidc.discovery import fetch_keys
from pyreg_auth_token.oidc.options import Options, Rule
from pyreg_auth_token.plugin import source_of_jwks
from pyreg_auth_token.remote import RemoteKeys
from pyreg_auth_token.selection import by_name
from pyreg_auth_token.sources import KeySource
from pyreg_auth_token.verifier import Verifier

_Options = Options  # inside the class, `Options` is the attribute


class OidcPlugin:
    """Hands out authentication by the ID tokens of CI systems."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        fetcher = Fetcher()
        rules: dict[str, list[Rule]] = {}
        for rule in options.issuers:
            rules.setdefault(rule.issuer, []).append(rule)
        self._keys = {name: _source(group[0], fetcher) for name, group in rules.items()}
        self._authenticator = OidcAuthenticator(
            {name: _issuer(self._keys[name], group) for name, group in rules.items()}
        )

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        """Knows the bearers of ID tokens."""
        return self._authenticator

    @hookimpl
    async def pyreg_startup(self) -> None:
        """Read the keys that are in files, and begin to fetch the others."""
        for source in self._keys.values():
            await source.start()

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        """Stop fetching keys."""
        for source in self._keys.values():
            await source.stop()


def _source(rule: Rule, fetcher: Fetcher) -> KeySource:
    if rule.jwks:
        return source_of_jwks(rule.jwks, "auth.oidc.issuers.jwks", fetcher)
    return RemoteKeys(rule.issuer, lambda: fetch_keys(rule.issuer, fetcher))


def _issuer(keys: KeySource, rules: list[Rule]) -> Issuer:
    audience = [name for rule in rules for name in rule.audience]
    verifier = Verifier(keys, by_name, issuer=rules[0].issuer, audience=audience)
    return Issuer(verifier, rules)
