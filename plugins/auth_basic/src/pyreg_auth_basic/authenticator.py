"""Who logs in with a user name and a password."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pyreg.hooks import Access, Authenticator, AuthRequest, Identity, InvalidCredentials
from pyreg_auth_basic.credentials import BasicCredentials, is_basic, parse_basic
from pyreg_auth_basic.file import PasswordFile
from pyreg_auth_basic.hashes import Hash
from pyreg_auth_basic.logins import Logins
from pyreg_auth_basic.throttle import Throttle

log = logging.getLogger("pyreg.auth.htpasswd")

NAME = "htpasswd"

THREADS = 2
"""Passwords that a worker verifies at once. Each takes a whole processor, and maybe much memory."""

WAITING = 1000
"""Different credentials that may wait for a thread; who comes then is to come again later."""


@dataclass(eq=False)
class _Verification:
    """Credentials that are being verified, for everybody who sends them meanwhile.

    Attributes:
        credentials: Which.
        addresses: Who sends them.
        task: Ends with the hash that they match, or with the seconds to wait; None if wrong.
    """

    credentials: BasicCredentials
    addresses: set[str]
    task: asyncio.Task[Hash | float | None] = field(init=False)


class HtpasswdAuthenticator(Authenticator):
    """Basic authentication (RFC 7617) by a file.

    Args:
        realm: For the challenge; printable ASCII.
        file: Users and hashes.
        logins: Remembers those that were right.
        throttle: Slows down those that were wrong.
        reload: Seconds between two looks at the file.
    """

    name = NAME

    def __init__(
        self,
        realm: str,
        file: PasswordFile,
        *,
        logins: Logins,
        throttle: Throttle,
        reload: float = 1.0,
    ) -> None:
        escaped = realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = f'Basic realm="{escaped}", charset="UTF-8"'
        self._file = file
        self._logins = logins
        self._throttle = throttle
        self._reload = reload
        self._set_up()

    def _set_up(self) -> None:
        self._verifications: dict[bytes, _Verification] = {}
        # One more than passwords are verified at once, to look at the file.
        self._executor = ThreadPoolExecutor(THREADS + 1, thread_name_prefix=NAME)
        self._free = asyncio.Semaphore(THREADS)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file, and look at it from now on.

        Raises:
            PluginError: there is no good one.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, self._file.load)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End what goes on in the background."""
        tasks: list[asyncio.Task[Any]] = [each.task for each in self._verifications.values()]
        if self._watching is not None:
            tasks.append(self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._set_up()  # it may be started again, maybe in another event loop

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """See `Authenticator.authenticate`."""
        value = request.headers.get("authorization", "")
        if not is_basic(value):
            return None
        key = self._logins.key(value)
        identity = self._logins.find(key, self._file.users)
        if identity is not None:
            return identity
        credentials = parse_basic(value)
        if credentials is None:
            return None
        return await self._log_in(key, credentials, request.client)

    def challenge(self, request: AuthRequest, accesses: Sequence[Access], error: str = "") -> str:
        """See `Authenticator.challenge`."""
        return self._challenge

    async def _log_in(self, key: bytes, credentials: BasicCredentials, address: str) -> Identity:
        user = credentials.user
        wait = self._throttle.wait(user, address)
        if wait > 0:
            raise _slower(wait)
        verification = self._verifications.get(key)
        if verification is None:
            if len(self._verifications) >= WAITING:
                raise InvalidCredentials("too many logins at once", retry_after=1.0)
            verification = self._verifications[key] = _Verification(credentials, {address})
            verification.task = asyncio.create_task(self._verify(key, verification))
        verification.addresses.add(address)
        # Whoever goes away takes nobody along, and what failed counts in any case.
        found = await asyncio.shield(verification.task)
        if isinstance(found, float):
            raise _slower(found)
        if found is None:
            known = user in self._file.users.hashes
            # A name that nobody has may be a password in the wrong place.
            raise InvalidCredentials(f"user {user}: wrong password" if known else "no such user")
        return Identity(user, authenticator=NAME)

    async def _verify(self, key: bytes, verification: _Verification) -> Hash | float | None:
        credentials, addresses = verification.credentials, verification.addresses
        user = credentials.user
        try:
            async with self._free:
                # Others of the same address, or user, may have failed while this one waited.
                wait = min(self._throttle.wait(user, address) for address in addresses)
                if wait > 0:
                    return wait
                found = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._match, credentials
                )
            for address in addresses:
                if found is None:
                    self._throttle.failed(user, address)
                else:
                    self._throttle.succeeded(user, address)
            if found is not None:
                self._logins.keep(key, Identity(user, authenticator=NAME), found)
            return found
        except asyncio.CancelledError:
            return 1.0  # by `stop`: let them try another worker
        finally:
            del self._verifications[key]

    def _match(self, credentials: BasicCredentials) -> Hash | None:
        """The hash that credentials match; called in a thread.

        It takes as long for a user who does not exist. Passwords that were set a moment ago count.
        """
        users = self._file.refresh()
        own = users.hashes.get(credentials.user)
        compared = own or users.decoy
        matches = compared is not None and compared.matches(credentials.password)
        return own if matches else None

    async def _watch(self) -> None:
        """Let changes of the file put remembered logins out of force, too."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._reload)
            try:
                await loop.run_in_executor(self._executor, self._file.refresh)
            except Exception:
                log.exception("%s cannot be looked at", self._file.path)


def _slower(wait: float) -> InvalidCredentials:
    return InvalidCredentials(
        "too many failed logins, from this address or of the same user", retry_after=wait
    )
