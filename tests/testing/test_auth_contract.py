"""The suites for authenticators and authorizers pass what is right and find what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pyreg.hooks import (
    Access,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
)
from pyreg.testing import AuthContract, AuthorizerContract, Credentials
from pyreg.testing.auth.challenges import parameters
from pyreg.testing.auth.junk import meaning
from tests.fixtures.project import ROOT
from tests.testing.authenticators import Keys, Passwords, Tokens

ANN = Credentials.basic("ann", "correct horse", name="ann")
BEA = Credentials.basic("bea", "é:battery:☃", name="bea")


class TestPasswords(AuthContract):
    @pytest.fixture
    def authenticator(self) -> Authenticator:
        return Passwords({"ann": "correct horse", "bea": "é:battery:☃"})

    @pytest.fixture
    def good(self) -> list[Credentials]:
        return [ANN, BEA]

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        return [
            Credentials.basic("ann", "wrong horse"),
            Credentials.basic("bea", "correct horse"),
            Credentials.basic("nobody", "correct horse"),
        ]


class TestTokens(AuthContract):
    @pytest.fixture
    def authenticator(self) -> Authenticator:
        return Tokens({"token-of-ann": "ann", "token-of-bea": "bea"})

    @pytest.fixture
    def good(self) -> list[Credentials]:
        return [Credentials.bearer(f"token-of-{name}", name=name) for name in ("ann", "bea")]

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        return [Credentials.bearer("token-of-cid")]


class TestKeys(AuthContract):
    """Credentials outside of the Authorization header."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        return Keys()

    @pytest.fixture
    def good(self) -> list[Credentials]:
        return [Credentials(extensions={"tls": {"name": name}}, name=name) for name in ("a", "b")]

    @pytest.fixture
    def bad(self) -> list[Credentials]:
        return [Credentials(extensions={"tls": {"name": ""}})]

    @pytest.fixture
    def foreign(self) -> list[Credentials]:
        return [Credentials(extensions={"http.response.push": {}})]


class Own(Authorizer):
    """Everybody may pull, and push what begins with the own name."""

    name = "own"

    async def authorize(self, identity: Identity, access: Access) -> Decision:
        if access.kind != "repository" or not access.actions:
            return Decision.ABSTAIN
        own = bool(identity.name) and access.name.startswith(f"{identity.name}/")
        allowed = {"pull", "push"} if own else {"pull"}
        return Decision.ALLOW if set(access.actions) <= allowed else Decision.DENY


class TestOwn(AuthorizerContract):
    @pytest.fixture
    def authorizer(self) -> Authorizer:
        return Own()

    @pytest.fixture
    def allowed(self) -> list[tuple[Identity, Access]]:
        ann = Identity("ann", authenticator="passwords")
        return [
            (ann, Access("repository", "ann/app", ("pull", "push"))),
            (Identity(), Access("repository", "ann/app", ("pull",))),
        ]

    @pytest.fixture
    def denied(self) -> list[tuple[Identity, Access]]:
        ann = Identity("ann", authenticator="passwords")
        return [
            (ann, Access("repository", "bea/app", ("push",))),
            (ann, Access("registry", "catalog", ("*",))),
        ]


BROKEN = {
    "test_no_credentials_are_left_to_others": """
        async def authenticate(self, request):
            return await super().authenticate(request) or Identity("", authenticator=self.name)
    """,
    "test_credentials_of_other_kinds_are_left_to_others": """
        async def authenticate(self, request):
            identity = await super().authenticate(request)
            if identity is None and request.headers.get("authorization"):
                raise InvalidCredentials("what is this?")
            return identity
    """,
    "test_good_credentials_get_in_again_and_again": """
        async def authenticate(self, request):
            identity = await super().authenticate(request)
            return replace(identity, authenticator="") if identity else None
    """,
    "test_bad_credentials_are_refused_again_and_again": """
        async def authenticate(self, request):
            try:
                return await super().authenticate(request)
            except InvalidCredentials:
                return None
    """,
    "test_it_does_not_matter_what_is_asked_for": """
        async def authenticate(self, request):
            request.path.encode("ascii")
            return await super().authenticate(request)
    """,
    "test_schemes_have_no_case_and_spaces_may_follow": """
        async def authenticate(self, request):
            if not request.headers.get("authorization", "").startswith("Basic "):
                return None
            return await super().authenticate(request)
    """,
    "test_secrets_are_not_told": """
        async def authenticate(self, request):
            logging.getLogger("x").debug("asked with %r", request.headers)
            return await super().authenticate(request)
    """,
    "test_altered_credentials_do_not_get_in": """
        def right(self, user, password):
            return self.users.get(user, "?")[:3] == password[:3]
    """,
    "test_random_credentials_do_not_get_in": """
        def right(self, user, password):
            return user == "" or super().right(user, password)
    """,
    "test_odd_credentials_do_not_get_in": """
        async def authenticate(self, request):
            request.headers.get("authorization", "x ").index(" ")
            return await super().authenticate(request)
    """,
    "test_odd_names_and_passwords_do_not_get_in": """
        def right(self, user, password):
            user.encode("utf-16"), f"{user}/{password}".encode("idna")
            return super().right(user, password)
    """,
    "test_many_at_once_are_not_mixed_up": """
        async def authenticate(self, request):
            self.request = request
            await asyncio.sleep(0)
            return await super().authenticate(self.request)
    """,
    "test_callers_that_go_away_take_nobody_along": """
        flights = {}

        async def authenticate(self, request):
            value = request.headers.get("authorization", "")
            if value not in self.flights:
                self.flights[value] = asyncio.create_task(self.slowly(request))
            try:
                return await self.flights[value]
            finally:
                self.flights.pop(value, None)

        async def slowly(self, request):
            for _ in range(4):
                await asyncio.sleep(0)
            return await super().authenticate(request)
    """,
    "test_a_challenge_is_one_line_and_well_formed": """
        def challenge(self, request, accesses, error=""):
            return f'Basic realm="{request.host}"'
    """,
    "test_a_challenge_names_the_scheme_of_the_credentials": """
        def challenge(self, request, accesses, error=""):
            return 'Bearer realm="x"'
    """,
}
"""What each test of the suite finds, as changes to an authenticator that passes it."""


HASTE = """
    import sys
    from hypothesis import Phase, settings

    sys.path.insert(0, ROOT)
    settings.register_profile("haste", phases=[Phase.generate])
    settings.load_profile("haste")
""".replace("ROOT", repr(str(ROOT)))
"""A `conftest.py` for a first failure, however long-winded it is."""


def test_every_test_has_something_to_find() -> None:
    tests = {name for name in dir(AuthContract) if name.startswith("test_")}
    assert tests - {"test_it_has_a_name"} == set(BROKEN)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    source = [
        "import asyncio, logging, pytest",
        "from dataclasses import replace",
        "from pyreg.hooks import Identity, InvalidCredentials",
        "from tests.testing.authenticators import Passwords",
        "from tests.testing.test_auth_contract import TestPasswords as Whole",
    ]
    chosen = []
    for test, change in BROKEN.items():
        name = test.removeprefix("test_").title().replace("_", "")
        chosen.append(f"test_broken.py::Test{name}::{test}")
        source += [
            f"class {name}(Passwords):",
            textwrap.indent(textwrap.dedent(change), "    "),
            f"class Test{name}(Whole):",
            "    @pytest.fixture",
            "    def authenticator(self):",
            f"        return {name}({{'ann': 'correct horse', 'bea': 'é:battery:☃'}})",
        ]
    (tmp_path / "conftest.py").write_text(textwrap.dedent(HASTE))
    (tmp_path / "test_broken.py").write_text("\n".join(source))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rf", "--tb=no", "-p", "no:cacheprovider", *chosen],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = set(re.findall(r"^FAILED \S+::Test(\w+)::(\w+)", done.stdout, re.MULTILINE))
    for test in BROKEN:
        name = test.removeprefix("test_").title().replace("_", "")
        assert (name, test) in failed, f"{test} finds nothing\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        '"x"',
        "Basic realm",
        'Basic realm="a"b"',
        'Basic realm="a',
        'Basic realm="a" charset="UTF-8"',
        'Basic realm="a",',
        'Basic realm="a",realm="b"',
        'Basic realm="a\r\n"',
        'Basic realm="é"',
        'Basic realm="a", Bearer realm="b"',
        "Basic realm=a b",
    ],
)
def test_malformed_challenges_are_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        parameters(wrong)


def test_well_formed_challenges_pass() -> None:
    assert parameters("Negotiate") == []
    assert parameters('Basic Realm = "a \\" b" , charset="UTF-8"') == ["realm", "charset"]
    assert parameters('Bearer realm=x,scope="repository:a:pull,push"') == ["realm", "scope"]


def test_spellings_of_one_meaning() -> None:
    assert meaning("Basic dXNlcg==") == meaning("bASIC  dXNlch") == meaning("Basic dXNlcg")
    assert meaning("Basic dXNlcg==") != meaning("Basic dXNlcw==")
    assert meaning("Bearer e30.e30.YQ") != meaning("Bearer e30.e30.Yg")
    assert meaning("Bearer dXNlcg") != meaning("Basic dXNlcg")
    assert meaning("Bearer a b") != meaning("Bearer ab")


def test_credentials() -> None:
    assert Credentials.basic("a", "b").authorization == "Basic YTpi"
    assert Credentials.bearer("x.y.signature", name="a").unspeakable == [
        "x.y.signature",
        "signature",
    ]
    request = ANN.request("/v2/x")
    assert isinstance(request, AuthRequest)
    assert (request.path, request.client) == ("/v2/x", "192.0.2.1")
