"""The conformance suites of authenticators and authorizers.

An authenticator's tests subclass `AuthContract` and override its fixtures:

```python
class TestApiKeys(AuthContract):
    @pytest.fixture
    def authenticator(self) -> Authenticator:
        return ApiKeys({"opensesame": "ada"})

    @pytest.fixture
    def good(self) -> list[Credentials]:
        return [Credentials({"x-api-key": "opensesame"}, name="ada", secrets=("opensesame",))]

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        return [Credentials({"x-api-key": "let me in"}, secrets=("let me in",))]
```

The fixtures may be asynchronous, and may ask for fixtures of your own.
"""

from __future__ import annotations

import pytest

from pyreg.testing.auth.authorizer import AuthorizerContract
from pyreg.testing.auth.challenges import Challenges
from pyreg.testing.auth.credentials import Credentials
from pyreg.testing.auth.crowd import Crowd
from pyreg.testing.auth.junk import Junk
from pyreg.testing.auth.verdicts import Verdicts

__all__ = ["AuthContract", "AuthorizerContract", "Credentials"]


@pytest.mark.anyio
class AuthContract(Verdicts, Junk, Crowd, Challenges):
    """Everything that `pyreg.hooks.Authenticator` asks of an authenticator, as tests.

    A subclass overrides the fixtures of `pyreg.testing.auth.harness.Harness`.
    """
