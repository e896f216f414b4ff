"""The conversation with an ACME authority (RFC 8555), by certbot's `acme` library.

Everything here blocks: it runs in a thread of its own. Waiting is cut short when the registry
stops; a request that is under way is not, but goes no longer than `TIMEOUT` without a byte.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import josepy.errors
import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from josepy import b64, jwa, jwk

from pyreg_tls.acme.answers import alpn_certificate, private_pem
from pyreg_tls.acme.cache import Cache, HostState
from pyreg_tls.acme.options import LetsEncrypt

T = TypeVar("T")

TIMEOUT = 20
"""Seconds that the authority may leave a request without a byte of its answer."""

NONCES = 8
"""How often a request is repeated whose nonce the authority rejects (RFC 8555, section 6.5)."""

DEADLINE = 300.0
"""Seconds in which an order has to be through."""

POLL = (1.0, 30.0)
"""Seconds between looks at an order, at least and at most; the authority may say `Retry-After`."""

LIMITED = 3600.0
"""Seconds without a further try, at least, after the authority has said that we try too much."""

PASSING = frozenset({"badNonce", "rateLimited", "serverInternal"})
"""Problems of the authority's own, which say nothing about what it was asked for."""

OPEN = frozenset({"pending", "ready", "processing", "valid"})
"""Of an order that can still bring a certificate."""


NONSENSE = (
    errors.Error,
    josepy.errors.Error,
    x509.ExtensionNotFound,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What the library raises where an authority does not keep to the protocol, or is none."""


class Stopped(Exception):
    """The registry stops; whatever was under way goes on at its next start."""


class Failed(Exception):
    """The authority did not give what it was asked for.

    Args:
        reason: In its own words.
        refused: Whether it said no. Otherwise it could not be reached or was too slow, and an
            order under way may still come through.
        wait: Seconds that it wants to be left alone; 0 if it did not say.
        challenge: Whether the proof failed, so that another kind of challenge may help.
    """

    def __init__(
        self, reason: str, *, refused: bool = True, wait: float = 0.0, challenge: bool = False
    ) -> None:
        super().__init__(reason)
        self.refused = refused
        self.wait = wait
        self.challenge = challenge


class _Network(client.ClientNetwork):
    """Requests to the authority, with what the library leaves to its user."""

    def __init__(self, key: jwk.JWK, cacertificate: str) -> None:
        algorithm = jwa.ES256 if isinstance(key, jwk.JWKEC) else jwa.RS256
        super().__init__(key, alg=algorithm, timeout=TIMEOUT, user_agent="pyreg-tls")
        if cacertificate:
            self.verify_ssl = cacertificate  # type: ignore[assignment]  # requests takes a path
        self.wait = 0.0
        self.session.hooks["response"].append(self._note_wait)

    def _note_wait(self, response: requests.Response, *_: Any, **__: Any) -> None:
        if response.status_code in (429, 503) and "Retry-After" in response.headers:
            until = client.ClientV2.retry_after(response, 0)
            self.wait = until.timestamp() - time.time()

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a signed request; the library would repeat it only once for a rejected nonce."""
        for _ in range(NONCES):
            try:
                return self._post_once(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)


class Authority:
    """An authority, as the holder of an account sees it.

    Args:
        options: Which one, and who we are.
        binding_key: Of the external account; "" if there is none.
        cache: Where the account's key and the answers are kept.
        stopping: Ends every wait.
    """

    def __init__(
        self, options: LetsEncrypt, binding_key: str, cache: Cache, stopping: threading.Event
    ) -> None:
        self._options = options
        self._binding_key = binding_key
        self._cache = cache
        self._stopping = stopping
        self._key: jwk.JWK
        self._network: _Network
        self._client: client.ClientV2

    def connect(self) -> None:
        """Find the authority's services and our account there, or open one.

        An authority knows an account by its key, so that there is never a second one as long as
        the key is kept (RFC 8555, section 7.3.1).

        Raises:
            Failed: it cannot be reached, or wants no account of ours.
        """
        self._key = self._account_key()
        self._network = _Network(self._key, self._options.cacertificate)
        self._told(self._find_account)

    def renewal(self, certificate: x509.Certificate) -> tuple[float, float]:
        """When the authority wants a certificate to be renewed (RFC 9773).

        Args:
            certificate: One that has not expired.

        Returns:
            That moment, 0 if it has no opinion; and when to ask again. Seconds since the epoch.

        Raises:
            Failed: it cannot be asked now.
        """
        pem = certificate.public_bytes(Encoding.PEM)
        when, again = self._told(lambda: self._client.renewal_time(pem))
        return (when.timestamp() if when is not None else 0.0), again.timestamp()

    def obtain(self, host: str, state: HostState) -> bytes:
        """Get a certificate for a host: go on with the order under way, or begin one.

        Args:
            host: Its name.
            state: What is remembered of it; a new order is added to what the cache has.

        Returns:
            The certificate's private key and chain, as PEM.

        Raises:
            Failed: the authority refuses, or takes too long.
            Stopped: the registry stops.
        """
        return self._told(lambda: self._obtain(host, state))

    # -- the account -----------------------------------------------------------------------

    def _account_key(self) -> jwk.JWK:
        pem = self._cache.account_key()
        if pem is None:
            pem = private_pem(ec.generate_private_key(ec.SECP256R1()))
            self._cache.keep_account_key(pem)
        try:
            return jwk.JWK.load(pem)
        except josepy.errors.Error as error:
            raise Failed(f"the account's key cannot be used: {error}") from error

    def _find_account(self) -> None:
        directory = client.ClientV2.get_directory(self._options.directoryurl, self._network)
        self._client = client.ClientV2(directory, self._network)
        binding = None
        if self._binding_key:
            binding = messages.ExternalAccountBinding.from_data(
                self._key.public_key(), self._options.eab.kid, self._binding_key, directory
            )
        account = messages.NewRegistration.from_data(
            email=self._options.email or None,
            terms_of_service_agreed=True,
            external_account_binding=binding,
        )
        try:
            self._client.new_account(account)
        except errors.ConflictError as found:
            self._network.account = messages.RegistrationResource(
                uri=found.location, body=messages.Registration()
            )

    # -- an order --------------------------------------------------------------------------

    def _obtain(self, host: str, state: HostState) -> bytes:
        deadline = time.monotonic() + DEADLINE
        order = self._known_order(state) if state.order else None
        if order is None:
            key = private_pem(ec.generate_private_key(ec.SECP256R1()))
            begun = self._client.new_order(crypto_util.make_csr(key, [host]))
            order = begun.body
            # With its key on the disk, whoever comes after us can go on with the order.
            state = state.model_copy(update={"order": begun.uri, "key": key.decode()})
            self._cache.keep_state(host, state)
        for url in order.authorizations:
            self._authorize(host, url, state.challenge, deadline)
        resource = messages.OrderResource(
            body=order,
            uri=state.order,
            csr_pem=crypto_util.make_csr(state.key.encode(), [host]),
            authorizations=[],
        )
        order = self._settle(resource, deadline)
        answer = self._network.post(
            order.certificate, None, new_nonce_url=self._client.directory["newNonce"]
        )
        return _checked(host, state.key.encode(), answer.content)

    def _known_order(self, state: HostState) -> messages.Order | None:
        """The order that was under way, if anything can still come of it."""
        try:
            order = messages.Order.from_json(self._get(state.order).json())
        except messages.Error as error:
            if error.code in PASSING:
                raise
            return None  # the authority has forgotten it
        return order if order.status.name in OPEN else None

    def _authorize(self, host: str, url: str, choice: int, deadline: float) -> None:
        """Prove that the host is ours, unless the authority remembers that."""
        authorization = self._get(url).json()
        if authorization["status"] != "pending":
            return  # if it is not valid, the order says why
        offered = {challenge["type"]: challenge for challenge in authorization["challenges"]}
        ours = [kind for kind in self._options.challenges if kind in offered]
        if not ours:
            raise Failed(f"the authority offers {', '.join(offered)}, none of which we can answer")
        challenge = offered[ours[choice % len(ours)]]
        proof = f"{challenge['token']}.{b64.b64encode(self._key.thumbprint()).decode()}"
        if challenge["type"] == "http-01":
            self._cache.keep_http_answer(challenge["token"], proof.encode())
        else:
            self._cache.keep_alpn_answer(host, alpn_certificate(host, proof))
        # "{}" is the response to either kind (RFC 8555, section 7.5.1).
        self._client.answer_challenge(
            messages.ChallengeBody.from_json(challenge), challenges.HTTP01Response()
        )
        self._poll(
            lambda: self._get(url),
            lambda body: body["status"] != "pending",
            deadline,
            f"the authority has not looked at {host} within {DEADLINE:.0f} s",
        )

    def _settle(self, resource: messages.OrderResource, deadline: float) -> messages.Order:
        """Wait until the order has its certificate; ask for it when it is ready."""
        asked = False
        while True:
            body = self._poll(
                lambda: self._get(resource.uri),
                lambda body: body["status"] in ("ready", "valid", "invalid"),
                deadline,
                f"the authority has not issued the certificate within {DEADLINE:.0f} s",
            )
            order: messages.Order = messages.Order.from_json(body)
            if order.status.name == "valid":
                return order
            if order.status.name == "invalid":
                raise self._refusal(order)
            if asked:
                self._wait(POLL[0], deadline)
            self._client.begin_finalization(resource)
            asked = True

    def _refusal(self, order: messages.Order) -> Failed:
        """Why an order came to nothing, in the authority's words."""
        for url in order.authorizations:
            for challenge in self._get(url).json()["challenges"]:
                if "error" in challenge:
                    error = messages.Error.from_json(challenge["error"])
                    return Failed(f"{challenge['type']}: {_words(error)}", challenge=True)
        if order.error is not None:
            return Failed(_words(order.error))
        return Failed("the order is invalid, and the authority does not say why")

    # -- requests --------------------------------------------------------------------------

    def _get(self, url: str) -> requests.Response:
        """A GET with a signature (RFC 8555, section 6.3)."""
        return self._network.post(url, None, new_nonce_url=self._client.directory["newNonce"])

    def _poll(
        self,
        ask: Callable[[], requests.Response],
        done: Callable[[dict[str, Any]], bool],
        deadline: float,
        late: str,
    ) -> dict[str, Any]:
        while True:
            answer = ask()
            body: dict[str, Any] = answer.json()
            if done(body):
                return body
            wanted = client.ClientV2.retry_after(answer, 0).timestamp() - time.time()
            self._wait(min(max(wanted, POLL[0]), POLL[1]), deadline, late)

    def _wait(
        self, seconds: float, deadline: float, late: str = "the order takes too long"
    ) -> None:
        if time.monotonic() + seconds > deadline:
            raise Failed(late, refused=False)
        if self._stopping.wait(seconds):
            raise Stopped

    def _told(self, work: Callable[[], T]) -> T:
        """Do something, and say what went wrong in one sentence, whatever kind of error it was."""
        try:
            return work()
        except messages.Error as error:
            wait = self._network.wait
            if error.code == "rateLimited":
                wait = max(wait, LIMITED)
            refused = error.code not in PASSING
            raise Failed(_words(error), refused=refused, wait=wait) from error
        except requests.RequestException as error:
            raise Failed(
                f"{self._options.directoryurl} cannot be reached: {_cause(error)}",
                refused=False,
                wait=self._network.wait,
            ) from error
        except NONSENSE as error:
            raise Failed(
                f"{self._options.directoryurl} gave no proper answer: "
                f"{type(error).__name__}: {str(error)[:500]}",
                wait=self._network.wait,
            ) from error


def _words(error: messages.Error) -> str:
    """What the authority says of a problem (RFC 7807)."""
    kind = error.typ.rsplit(":", 1)[-1]
    said = [part.detail or "" for part in (error, *(error.subproblems or ()))]
    return f"{' '.join(filter(None, said)) or error.title or 'no reason given'} ({kind})"


def _cause(error: requests.RequestException) -> str:
    """What lies at the bottom of an error of requests, without the address that it repeats."""
    inner: object = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner))


def _checked(host: str, key: bytes, chain: bytes) -> bytes:
    """A private key and its certificate, in one.

    Raises:
        Failed: they do not belong together, or the certificate is for another name.
    """
    try:
        leaf, *_ = x509.load_pem_x509_certificates(chain)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        mine = load_pem_private_key(key, None).public_key() == leaf.public_key()
    except (ValueError, x509.ExtensionNotFound) as error:
        raise Failed(f"the authority sent something else than a certificate: {error}") from error
    if not mine or host not in names.get_values_for_type(x509.DNSName):
        raise Failed("the authority sent another certificate than the one that was ordered")
    return key + chain
