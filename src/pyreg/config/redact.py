"""Which values are secret, and how they are masked.

A value is secret when its option is declared with `pydantic.SecretStr`, or when its key looks
like one: passwords, tokens, keys, `Authorization`. Inside any other text, the credentials of a
URL (`https://user:password@host`, `?token=...`) are masked too.
"""

from __future__ import annotations

import re

MASK = "********"
"""What is shown instead of a secret."""

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|password|secret|token|credentials?$|connectionstring"
    r"|authorization|cookie|signature|accesskey|key$|^(sas|sig|auth|dsn|pin)$"
)
_USERINFO = re.compile(r"(?<=//)[^/?#\s]*@")
_QUERY = re.compile(r"(?<=[?&;])([^=&;#\s]+)=([^&;#\s]*)")


def looks_secret(name: str) -> bool:
    """Whether a key's name says that its value is secret; the path of a secret's file is not."""
    plain = re.sub(r"[-_. ]", "", name.lower())
    return not plain.endswith("file") and _SECRET_NAME.search(plain) is not None


def mask_text(text: str) -> str:
    """Mask the credentials in the URLs of a text that is not secret as a whole."""
    if "//" not in text:
        return text
    text = _USERINFO.sub(f"{MASK}@", text)
    return _QUERY.sub(
        lambda match: f"{match[1]}={MASK}" if looks_secret(match[1]) else match[0], text
    )
