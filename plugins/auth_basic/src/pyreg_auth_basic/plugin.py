"""The entry point and its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from pyreg.hooks import Authenticator, hookimpl, parse_duration
from pyreg_auth_basic.authenticator import HtpasswdAuthenticator
from pyreg_auth_basic.file import PasswordFile
from pyreg_auth_basic.logins import Logins
from pyreg_auth_basic.throttle import Throttle

Duration = Annotated[float, BeforeValidator(parse_duration)]


@dataclass(frozen=True)
class ThrottleOptions:
    """The options below `auth.htpasswd.throttle`.

    Attributes:
        failures: How many failed logins in a row one address may have before it has to wait;
            0 for any number.
        pause: Seconds after which one of them is forgotten; written `6s`.
    """

    failures: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    pause: Annotated[Duration, Field(ge=0.1, le=86_400)] = 6.0


@dataclass(frozen=True)
class Options:
    """The options below `auth.htpasswd`.

    Attributes:
        realm: What clients show to people when they ask for a password; printable ASCII.
        path: The file with users and hashes.
        reload: Seconds between two looks whether the file has changed.
        remember: Seconds for which credentials that were right are not verified anew; 0 for
            never. A changed password is out at once all the same.
        throttle: How failed logins are slowed down.
    """

    # What quoting can carry in every client: a header is no place for other characters.
    realm: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[ -~]+$")]
    path: Annotated[str, Field(min_length=1)]
    reload: Annotated[Duration, Field(ge=0.1, le=3600)] = 1.0
    remember: Annotated[Duration, Field(ge=0, le=86_400)] = 300.0
    throttle: ThrottleOptions = field(default_factory=ThrottleOptions)


_Options = Options  # inside the class, `Options` is the attribute


class HtpasswdPlugin:
    """Hands out the authenticator `htpasswd`."""

    api_version: ClassVar[tuple[int, int]] = (1, 0)
    Options: ClassVar[type[_Options]] = _Options

    def __init__(self, options: _Options) -> None:
        self._authenticator = HtpasswdAuthenticator(
            options.realm,
            PasswordFile(options.path),
            logins=Logins(options.remember),
            throttle=Throttle(options.throttle.failures, options.throttle.pause),
            reload=options.reload,
        )

    @hookimpl
    def pyreg_authenticator(self) -> Authenticator:
        """The authenticator."""
        return self._authenticator

    @hookimpl
    async def pyreg_startup(self) -> None:
        """Read the file; without a good one the registry does not start."""
        await self._authenticator.start()

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        """Stop looking at the file."""
        await self._authenticator.stop()
