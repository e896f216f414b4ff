"""Logins, as a registry sees them."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from plugins.auth_basic.tests.conftest import Clock, lines, replace
from pyreg.errors import PluginError
from pyreg.hooks import Identity, InvalidCredentials
from pyreg.testing import Credentials
from pyreg_auth_basic import HtpasswdAuthenticator, HtpasswdPlugin, Options, ThrottleOptions
from pyreg_auth_basic import authenticator as module
from pyreg_auth_basic.entries import parse_users
from pyreg_auth_basic.file import PasswordFile
from pyreg_auth_basic.hashes import Hash
from pyreg_auth_basic.logins import MOST, Logins
from pyreg_auth_basic.throttle import Throttle
from tests.fixtures.in_process import error_of, serving

pytestmark = pytest.mark.anyio

ANN = Credentials.basic("ann", "correct horse", name="ann")
BEA = Credentials.basic("bea", "battery:staple", name="bea")
WRONG = Credentials.basic("ann", "wrong")


class Verified:
    """Counts verifications, and can hold them up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[Hash] = []
        self.go = threading.Event()
        self.go.set()
        matches = Hash.matches

        def counted(own: Hash, password: str) -> bool:
            self.hashes.append(own)
            assert self.go.wait(30)
            return matches(own, password)

        monkeypatch.setattr(Hash, "matches", counted)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Verified:
    return Verified(monkeypatch)


@pytest.fixture
async def htpasswd(
    anyio_backend: str, file: PasswordFile, clock: Clock
) -> AsyncIterator[HtpasswdAuthenticator]:
    authenticator = HtpasswdAuthenticator(
        "tests",
        file,
        logins=Logins(300, clock=clock),
        throttle=Throttle(10, 6, clock=clock),
        reload=3600,
    )
    await authenticator.start()
    yield authenticator
    await authenticator.stop()


async def name(authenticator: HtpasswdAuthenticator, credentials: Credentials) -> str:
    identity = await authenticator.authenticate(credentials.request())
    assert identity is not None
    return identity.name


async def refusal(
    authenticator: HtpasswdAuthenticator, credentials: Credentials
) -> InvalidCredentials:
    with pytest.raises(InvalidCredentials) as raised:
        await authenticator.authenticate(credentials.request())
    return raised.value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_login_is_remembered_for_a_while(
    htpasswd: HtpasswdAuthenticator, verified: Verified, clock: Clock
) -> None:
    for _ in range(3):
        assert await name(htpasswd, ANN) == "ann"
    assert len(verified.hashes) == 1
    clock.sleep(299)
    assert await name(htpasswd, ANN) == "ann"
    assert len(verified.hashes) == 1
    clock.sleep(1)
    assert await name(htpasswd, ANN) == "ann"
    assert len(verified.hashes) == 2
    for _ in range(2):
        await refusal(htpasswd, WRONG)
    assert len(verified.hashes) == 4, "what is wrong is not remembered"


async def test_a_changed_password_is_out_at_once(
    htpasswd: HtpasswdAuthenticator, file: PasswordFile, path: Path
) -> None:
    assert await name(htpasswd, ANN) == "ann"
    assert await name(htpasswd, BEA) == "bea"
    replace(path, lines({"ann": "new"}) + path.read_text().splitlines()[1] + "\n")
    # Nobody has looked at the file yet; a password that is not remembered makes somebody look.
    assert await name(htpasswd, Credentials.basic("ann", "new")) == "ann"
    await refusal(htpasswd, ANN)
    assert await name(htpasswd, BEA) == "bea"
    replace(path, "")
    file.refresh()
    for each in (ANN, BEA, Credentials.basic("ann", "new")):
        await refusal(htpasswd, each)


async def test_a_user_who_was_removed_is_out_when_the_file_is_looked_at(
    path: Path, verified: Verified
) -> None:
    plugin = HtpasswdPlugin(Options("tests", str(path), reload=0.1))
    await plugin.pyreg_startup()
    authenticator = plugin.pyreg_authenticator()
    assert isinstance(authenticator, HtpasswdAuthenticator)
    assert await name(authenticator, ANN) == "ann"
    replace(path, lines({"bea": "battery:staple"}))

    async def out() -> bool:
        try:
            return await authenticator.authenticate(ANN.request()) is None
        except InvalidCredentials:
            return True

    async with asyncio.timeout(30):
        while not await out():
            await asyncio.sleep(0.01)
    assert len(verified.hashes) == 2, "remembered until then, and not longer"
    await plugin.pyreg_shutdown()


async def test_a_user_who_does_not_exist_takes_as_much_work(
    htpasswd: HtpasswdAuthenticator, verified: Verified, path: Path
) -> None:
    told = [
        await refusal(htpasswd, Credentials.basic(user, "correct horse"))
        for user in ("nobody", "", "x" * 300, "bea")
    ]
    assert len(verified.hashes) == 4
    assert {each.work for each in verified.hashes} == {("bcrypt", 4)}
    assert "no such user" in told[0].reason
    assert "nobody" not in told[0].reason, "it may be a password in the wrong place"
    assert told[3].reason == "user bea: wrong password"
    # Not even the password of the user whose hash stands in lets anybody in.
    for password in ("correct horse", "battery:staple"):
        await refusal(htpasswd, Credentials.basic("nobody", password))


async def test_equal_credentials_at_once_are_verified_once(
    htpasswd: HtpasswdAuthenticator, verified: Verified
) -> None:
    verified.go.clear()
    asked = [
        asyncio.create_task(
            name(htpasswd, Credentials.basic("ann", "correct horse", client=f"192.0.2.{number}"))
        )
        for number in range(100)
    ]
    await until(lambda: len(verified.hashes) == 1)
    for task in asked[:50]:
        task.cancel()
    verified.go.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers[:50]] == [asyncio.CancelledError] * 50
    assert answers[50:] == ["ann"] * 50
    assert len(verified.hashes) == 1


async def test_few_are_verified_at_once_and_not_too_many_wait(
    htpasswd: HtpasswdAuthenticator, verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 5)
    verified.go.clear()
    guesses = [
        asyncio.create_task(refusal(htpasswd, Credentials.basic("ann", f"guess {number}")))
        for number in range(5)
    ]
    await until(lambda: len(verified.hashes) == module.THREADS)
    too_many = await refusal(htpasswd, BEA)
    assert too_many.retry_after == 1
    assert len(verified.hashes) == module.THREADS
    verified.go.set()
    assert all("wrong password" in error.reason for error in await asyncio.gather(*guesses))
    assert await name(htpasswd, BEA) == "bea"


async def test_guesses_at_once_are_slowed_down_as_well(
    htpasswd: HtpasswdAuthenticator, verified: Verified
) -> None:
    guesses = [
        asyncio.create_task(refusal(htpasswd, Credentials.basic("ann", f"guess {number}")))
        for number in range(200)
    ]
    errors = await asyncio.gather(*guesses)
    assert 10 <= len(verified.hashes) < 10 + module.THREADS
    late = [error for error in errors if error.retry_after is not None]
    assert len(late) == 200 - len(verified.hashes)
    assert all(0 < (error.retry_after or 0) <= 12 for error in late)


async def test_many_right_logins_at_once_are_not_slowed_down(
    htpasswd: HtpasswdAuthenticator, file: PasswordFile, path: Path
) -> None:
    users = {f"robot{number}": f"secret {number}" for number in range(60)}
    replace(path, lines(users))
    answers = await asyncio.gather(
        *(name(htpasswd, Credentials.basic(*pair)) for pair in users.items())
    )
    assert answers == list(users)


async def test_who_is_known_is_not_held_up_by_others(
    htpasswd: HtpasswdAuthenticator, clock: Clock
) -> None:
    assert await name(htpasswd, ANN) == "ann"
    for number in range(10):
        await refusal(htpasswd, Credentials.basic("bea", f"guess {number}"))
    error = await refusal(htpasswd, BEA)
    assert error.retry_after == 6
    assert "bea" not in error.reason
    assert await name(htpasswd, ANN) == "ann"
    clock.sleep(6)
    assert await name(htpasswd, BEA) == "bea"


async def test_tokens_are_left_to_others_at_once(
    htpasswd: HtpasswdAuthenticator, verified: Verified
) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    for password in (token, f"{token}-_"):
        credentials = Credentials.basic("ann", password)
        assert await htpasswd.authenticate(credentials.request()) is None
    assert not verified.hashes
    for password in (f"{token}.x", token[3:], f"{token} ", token.replace(".", "")):
        await refusal(htpasswd, Credentials.basic("ann", password))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Basic", "without a colon"),
        ("Basic YW5u", "without a colon"),
        ("Basic YW5uOmNvcnJlY3QgaG9yc2U", "not UTF-8 in base64"),
        ("Basic YW5uOmNvcnJlY3QgaG9yc2U=!", "not UTF-8 in base64"),
        ("Basic YW5uO mNvcnJlY3QgaG9yc2U=", "not UTF-8 in base64"),
        ("Basic " + base64.b64encode("ann:grüße".encode("latin-1")).decode(), "not UTF-8"),
        ("Basic " + base64.b64encode(b"ann:a\tb").decode(), "control characters"),
        ("Basic " + base64.b64encode(b"ann:" + b"x" * 5000).decode(), "too long"),
    ],
)
async def test_malformed_credentials(
    htpasswd: HtpasswdAuthenticator, verified: Verified, value: str, reason: str
) -> None:
    error = await refusal(htpasswd, Credentials({"authorization": value}))
    assert reason in error.reason
    assert error.__cause__ is None
    assert not verified.hashes


async def test_names_and_passwords_in_unicode(htpasswd: HtpasswdAuthenticator, path: Path) -> None:
    replace(path, lines({"zoe\u0308": "gru\u0308n"}))
    for user, password in (("zo\u00eb", "gru\u0308n"), ("zoe\u0308", "gru\u0308n")):
        assert await name(htpasswd, Credentials.basic(user, password)) == "zo\u00eb"


async def test_memory_is_bounded(clock: Clock) -> None:
    users = parse_users(lines({"ann": "x"}).encode())
    logins = Logins(300, clock=clock)
    identity = Identity("ann", authenticator="htpasswd")
    for number in range(MOST + 10):
        logins.keep(logins.key(f"Basic {number}"), identity, users.hashes["ann"])
    assert len(logins._logins) == MOST
    assert logins.find(logins.key("Basic 9"), users) is None
    assert logins.find(logins.key("Basic 10"), users) is identity
    assert logins.key("Basic 9") != Logins(300).key("Basic 9"), "each process has its own key"
    forgetful = Logins(0)
    forgetful.keep(forgetful.key("Basic x"), identity, users.hashes["ann"])
    assert forgetful.find(forgetful.key("Basic x"), users) is None


async def test_over_http(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plugin = HtpasswdPlugin(Options('the "tests"', str(path)))
    async with serving(plugin) as client:
        anonymous = await client.get("/v2/")
        assert anonymous.status_code == 401
        challenge = 'Basic realm="the \\"tests\\"", charset="UTF-8"'
        assert anonymous.headers["www-authenticate"] == challenge
        assert (await client.get("/v2/", auth=("ann", "correct horse"))).status_code == 200
        for _ in range(10):
            wrong = await client.get("/v2/", auth=("bea", "guessed wrong"))
            assert wrong.status_code == 401
            assert wrong.headers["www-authenticate"] == challenge
        late = await client.get("/v2/", auth=("bea", "battery:staple"))
        assert late.status_code == 429
        assert error_of(late)["code"] == "TOOMANYREQUESTS"
        assert 1 <= int(late.headers["retry-after"]) <= 6
        assert (await client.get("/v2/", auth=("ann", "correct horse"))).status_code == 200
    for secret in ("guessed wrong", "correct horse", "battery:staple", "$2b$"):
        assert secret not in caplog.text


async def test_it_starts_again_after_it_was_stopped(path: Path) -> None:
    plugin = HtpasswdPlugin(Options("tests", str(path)))
    for _ in range(2):
        async with serving(plugin) as client:
            answer = await client.get("/v2/", auth=("ann", "correct horse"))
            assert answer.status_code == 200


async def test_who_logs_in_while_it_stops_is_to_try_again(
    htpasswd: HtpasswdAuthenticator, verified: Verified
) -> None:
    verified.go.clear()
    asked = [
        asyncio.create_task(refusal(htpasswd, Credentials.basic("ann", f"guess {number}")))
        for number in range(10)
    ]
    await until(lambda: len(verified.hashes) == module.THREADS)
    await htpasswd.stop()
    assert {error.retry_after for error in await asyncio.gather(*asked)} == {1.0}
    verified.go.set()
    assert await name(htpasswd, ANN) == "ann", "and it may go on"


async def test_without_a_file_it_does_not_start(tmp_path: Path) -> None:
    plugin = HtpasswdPlugin(Options("tests", str(tmp_path / "missing")))
    with pytest.raises(PluginError, match=r"pyreg htpasswd .*missing USER"):
        async with serving(plugin):
            pass
    # And if somebody asks all the same, nobody gets in.
    await refusal(plugin.pyreg_authenticator(), ANN)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["replaced", "apache"])
async def test_reload_under_fire(path: Path, apache: Callable[..., int], way: str) -> None:
    """While the file changes 200 times, nobody gets in who should not, and nobody is kept out.

    `ann` keeps her password; `bea` has another one after each change.
    """
    plugin = HtpasswdPlugin(
        Options("tests", str(path), reload=0.1, throttle=ThrottleOptions(failures=0))
    )
    kept = lines({"ann": "correct horse"})
    path.write_text(kept + lines({"bea": "number 0"}))
    over = False
    logins = 0
    async with serving(plugin) as client:

        async def status(user: str, password: str) -> int:
            return (await client.get("/v2/", auth=(user, password))).status_code

        async def fire() -> None:
            nonlocal logins
            while not over:
                assert await status("ann", "correct horse") == 200
                assert await status("ann", "battery") == 401
                assert await status("bea", "number x") == 401
                assert await status("eve", "correct horse") == 401
                logins += 1

        async def changed(number: int) -> None:
            if way == "replaced":
                await asyncio.to_thread(replace, path, kept + lines({"bea": f"number {number}"}))
            else:
                arguments = ("-bB", path, "bea", f"number {number}")
                assert await asyncio.to_thread(apache, *arguments) == 0

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(fire())
            for number in range(1, 201):
                await changed(number)
                if number % 10 == 0:
                    # In force, and from then on none of the former ones is.
                    async with asyncio.timeout(30):
                        while await status("bea", f"number {number}") != 200:
                            await asyncio.sleep(0.01)
                    for former in range(number - 10, number):
                        assert await status("bea", f"number {former}") == 401
            over = True
    assert logins > 20
