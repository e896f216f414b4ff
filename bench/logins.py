"""Passwords: what a login costs, and whether its time tells who exists."""

from __future__ import annotations

import base64
import http.client
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import httpx

from bench.content import MANIFEST, push_image
from bench.contest import CONFIGURATION, PYREG, Contest, Figure
from bench.wire import Unexpected, Wire
from tests.servers.registries import merged, start_pyreg

COST = Figure(
    "login-cost",
    "GET a manifest with a password, beside without",
    "% more time",
    more_is_better=False,
    limit=15.0,
)
TOKEN = Figure(
    "login-token",
    "GET a manifest with a token, beside without",
    "% more time",
    more_is_better=False,
    limit=15.0,
)
TELLING = Figure(
    "login-telling",
    "unknown user told from a wrong password by the time",
    "% of pairs above chance",
    more_is_better=False,
    limit=10.0,
)
MEDIANS = Figure(
    "login-medians",
    "medians of both, apart",
    "%",
    more_is_better=False,
    limit=5.0,
)
FIGURES = (COST, TOKEN, TELLING, MEDIANS)

NAME, TAG = "bench/logins", "v1"
USER, PASSWORD = "ann", secrets.token_urlsafe(12)
BCRYPT_COST = 8
"""Low, so that what is not the hash would show, and for many samples in a short time."""


def run(contest: Contest, only: set[str]) -> None:
    """Measure."""
    with contest.registry(PYREG) as anonymous:
        with Wire(anonymous.address) as wire:
            push_image(wire, NAME, TAG, [4096])
        assert anonymous.root is not None
        with _guarded(contest.directory / "guarded", anonymous.root) as address:
            if COST.key in only:
                _measure_cost(contest, COST, anonymous.address, address, _password)
            if TOKEN.key in only:
                _measure_cost(contest, TOKEN, anonymous.address, address, _token)
            if {TELLING.key, MEDIANS.key} & only:
                _measure_telling(contest, address)


def _measure_cost(
    contest: Contest,
    figure: Figure,
    anonymous: str,
    guarded: str,
    credentials: Callable[[str], str],
) -> None:
    seconds = 2 if contest.quick else 5
    contest.say(figure.title)
    for turn in range(contest.rounds):
        rates = {}
        # Who begins alternates: the second finds the machine warmer than the first.
        for address in (anonymous, guarded) if turn % 2 == 0 else (guarded, anonymous):
            contest.settle()
            header = credentials(guarded) if address == guarded else ""
            rates[address] = _rate(address, header, seconds)
        contest.keep(figure, PYREG, 100 * (rates[anonymous] / rates[guarded] - 1))


def _measure_telling(contest: Contest, address: str) -> None:
    contest.say(TELLING.title)
    contest.settle()
    unknown, wrong = _refusals(address, 200 if contest.quick else 1000)
    telling, chance = rank_test(unknown, wrong)
    contest.keep(TELLING, PYREG, 200 * abs(telling - 0.5))
    medians = [statistics.median(each) for each in (unknown, wrong)]
    contest.keep(MEDIANS, PYREG, 100 * abs(medians[0] / medians[1] - 1))
    contest.notice(
        f"{len(unknown)} failed logins each: median {medians[0] * 1000:.2f} ms for unknown users, "
        f"{medians[1] * 1000:.2f} ms for wrong passwords; if there is no difference, one as large "
        f"as that of their ranks comes with a probability of {chance:.2f}"
    )


def rank_test(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Mann and Whitney's test, for samples without many ties.

    Returns:
        How probable it is that one of `first` is larger than one of `second` (0.5 if they are
        alike), and how probable a deviation like this is by chance.
    """
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(rank for rank, (_, group) in enumerate(ranked, 1) if group == 0)
    count, other = len(first), len(second)
    larger = ranks - count * (count + 1) / 2
    deviation = (count * other * (count + other + 1) / 12) ** 0.5
    z = (larger - count * other / 2) / deviation
    return larger / (count * other), 2 * (1 - statistics.NormalDist().cdf(abs(z)))


def _refusals(address: str, count: int) -> tuple[list[float], list[float]]:
    """Seconds of failed logins, in random order: of unknown users, and with wrong passwords."""
    samples: dict[bool, list[float]] = {True: [], False: []}
    connection = http.client.HTTPConnection(address, timeout=60)
    order = [True, False] * count
    secrets.SystemRandom().shuffle(order)
    for unknown in [True, False, *order]:
        user = f"u{secrets.token_hex(1)}" if unknown else USER
        headers = {"Authorization": _basic(user, secrets.token_urlsafe(12))}
        began = time.perf_counter()
        connection.request("GET", "/v2/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        samples[unknown].append(time.perf_counter() - began)
        if answer.status != 401:
            raise Unexpected(f"a wrong login was answered with {answer.status}")
    connection.close()
    return samples[True][1:], samples[False][1:]  # the first ones warm up


def _rate(address: str, authorization: str, seconds: int) -> float:
    """GET one manifest with wrk. Returns requests per second.

    Raises:
        Unexpected: not every answer was a success.
    """
    rate = 0.0
    headers = ["-H", f"Accept: {MANIFEST}"]
    if authorization:
        headers += ["-H", f"Authorization: {authorization}"]
    for duration in (1, seconds):
        said = subprocess.run(
            ["wrk", "-t2", "-c32", f"-d{duration}s", *headers,
             f"http://{address}/v2/{NAME}/manifests/{TAG}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
        if found is None or "Non-2xx" in said or "Socket errors" in said:
            raise Unexpected(f"wrk: {said}")
        rate = float(found[1])
    return rate


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _password(_: str) -> str:
    return _basic(USER, PASSWORD)


def _token(address: str) -> str:
    """A new token of the registry's own token service."""
    query = {"service": "pyreg", "scope": f"repository:{NAME}:pull"}
    headers = {"Authorization": _basic(USER, PASSWORD)}
    answer = httpx.get(f"http://{address}/auth/token", params=query, headers=headers)
    if answer.status_code != 200:
        raise Unexpected(f"no token: {answer.status_code} {answer.text}")
    return f"Bearer {answer.json()['token']}"


@contextmanager
def _guarded(directory: Path, root: Path) -> Iterator[str]:
    """A registry on the same content that asks for a login. Gives its address."""
    directory.mkdir()
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
    (directory / "htpasswd").write_text(f"{USER}:{hashed}\n")
    htpasswd = {"realm": "bench", "path": "htpasswd", "throttle": {"failures": 0}}
    command = [sys.executable, "-m", "pyreg.cli", "token-keys", "init", "keys"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    auth = {"htpasswd": htpasswd, "tokenservice": {"keys": "keys"}}
    config = merged(CONFIGURATION, {"auth": auth})
    registry = start_pyreg(directory, root=root, config=config)
    try:
        yield registry.address
    finally:
        registry.stop()
