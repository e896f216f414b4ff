"""The plugin: hands the policy to the registry, and reads it again when its file changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from pyreg.hooks import Access, Authorizer, Decision, Identity, hookimpl
from pyreg_auth_policy import options
from pyreg_auth_policy.advice import warnings_of
from pyreg_auth_policy.file import PolicyFile
from pyreg_auth_policy.policy import Policy

log = logging.getLogger("pyreg.auth.policy")

INTERVAL = 1.0
"""Seconds between two looks at the file."""


class PolicyAuthorizer(Authorizer):
    """Asks the policy that is in force.

    Args:
        current: Returns it.
    """

    name = "policy"

    def __init__(self, current: Callable[[], Policy]) -> None:
        self._current = current

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        """See `pyreg.hooks.Authorizer.authorize`."""
        return self._current().authorize(identity, access)

    async def sees(self, identity: Identity, repository: str) -> Decision:
        """See `pyreg.hooks.Authorizer.sees`."""
        return self._current().sees(identity, repository)


class PolicyPlugin:
    """Who may do what, from the configuration or from a file of its own.

    Args:
        given: The options of the configuration.

    Raises:
        ConfigurationError: the policy's file is missing or has mistakes.
    """

    api_version = (1, 0)
    Options = options.Options

    def __init__(self, given: options.Options) -> None:
        self.options = given
        self._file = PolicyFile(given.file) if given.file else None
        self._policy = self._file.policy if self._file else Policy(given.policy)
        self._task: asyncio.Task[None] | None = None
        if self._file is None:
            for warning in warnings_of(self._policy):
                log.warning("auth.policy: %s", warning)

    @property
    def policy(self) -> Policy:
        """The policy that is in force."""
        return self._file.policy if self._file else self._policy

    @hookimpl
    def pyreg_authorizer(self) -> Authorizer:
        """Decides by the policy."""
        return PolicyAuthorizer(lambda: self.policy)

    @hookimpl
    async def pyreg_startup(self) -> None:
        """Begin to watch the file."""
        if self._file is not None:
            self._task = asyncio.create_task(self._watch(self._file))

    @hookimpl
    async def pyreg_shutdown(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self, file: PolicyFile) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await asyncio.to_thread(file.refresh)
            except Exception:
                # The policy of before is in force, and goes on being so.
                log.exception("%s could not be read again", file.path)
