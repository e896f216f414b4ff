"""Where an issuer publishes its keys (OpenID Connect Discovery 1.0, section 4)."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from pyreg_auth_token.fetching import Document, Fetcher, FetchFailed, check_address

PATH = "/.well-known/openid-configuration"


async def fetch_keys(issuer: str, fetcher: Fetcher) -> Document:
    """The key set of an issuer.

    Args:
        issuer: Its address.
        fetcher: Gets the issuer's configuration, and then the keys that it points to.

    Raises:
        FetchFailed: there is no configuration, it is another issuer's, or it names no keys.
    """
    address = issuer.rstrip("/") + PATH
    document = await fetcher.get(address)
    try:
        configuration = json.loads(document.data)
        stated, keys = configuration["issuer"], configuration["jwks_uri"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise FetchFailed(f"{address}: no configuration with `issuer` and `jwks_uri`") from None
    if stated != issuer:  # section 4.3
        raise FetchFailed(f"{address}: it is the configuration of {str(stated)[:200]!r}")
    try:
        check_address(keys)
    except (ValueError, TypeError, AttributeError) as error:
        raise FetchFailed(f"{address}: `jwks_uri`: {error}") from None
    if urlsplit(issuer).scheme == "https" and urlsplit(keys).scheme != "https":
        raise FetchFailed(f"{address}: `jwks_uri` is not https")
    return await fetcher.get(keys)
