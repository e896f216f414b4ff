"""Sections of the Docker registry's schema that the core of pyreg does not act on itself.

They are read and checked all the same: some are handed to a plugin, the others are accepted so
that an existing file works unchanged, and the owner is told that they have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from pyreg.config.section import Section
from pyreg.config.shape import option
from pyreg.config.values import Duration, HeaderName, HeaderValue, SignedDuration

Headers = Mapping[HeaderName, tuple[HeaderValue, ...]]


class ExternalAccount(Section):
    """`http.tls.letsencrypt.eab`."""

    kid: str = option("", "The key's id, as the authority told it.")
    hmackey: SecretStr = option(SecretStr(""), "The key, in base64url.")
    hmackeyfile: str = option("", "File with the key, instead of `hmackey`.", public=True)


class LetsEncrypt(Section):
    """`http.tls.letsencrypt`."""

    cachefile: str = option("", "Directory in which the account and the certificates are kept.")
    email: str = option("", "Address to register with the certificate authority.")
    hosts: tuple[str, ...] = option((), "Names for which certificates may be asked for.")
    directoryurl: str = option("", "The authority's ACME directory.")
    cacertificate: str = option("", "Path of the root that signed the directory's certificate.")
    challenges: tuple[str, ...] = option(
        ("tls-alpn-01", "http-01"), "How the authority may check the names, in this order."
    )
    eab: ExternalAccount = option(
        ExternalAccount(), "The account at the authority's seller (external account binding)."
    )


class KeyPair(Section):
    """`http.tls.certificates[]`."""

    certificate: str = option(..., "Path of the certificate, with its chain.")
    key: str = option(..., "Path of the private key.", public=True)


class HSTS(Section):
    """`http.tls.hsts`."""

    maxage: Duration = option(
        0.0, "How long browsers use nothing but HTTPS; 0 sends no header (RFC 6797)."
    )
    includesubdomains: bool = option(False, "The same holds for all names below this one.")
    preload: bool = option(False, "Browsers may put the name into their own lists.")


class TLS(Section):
    """`http.tls`."""

    certificate: str = option("", "Path of the certificate, with its chain.")
    key: str = option("", "Path of the private key.", public=True)
    keypassword: SecretStr = option(SecretStr(""), "Password of encrypted private keys.")
    certificates: tuple[KeyPair, ...] = option(
        (), "Further certificates; the client's name for the server decides which one it gets."
    )
    clientcas: tuple[str, ...] = option((), "Paths of the authorities that sign clients.")
    clientauth: str = option(
        "require-and-verify-client-cert",
        "What is asked of a client's certificate, once `clientcas` is given.",
    )
    clientcrls: tuple[str, ...] = option(
        (), "Paths of the revocation lists of all authorities in `clientcas`."
    )
    clientocsp: tuple[str, ...] = option(
        (), "Paths of OCSP responses; a client's certificate is taken only with a good one."
    )
    minimumtls: str = option("tls1.2", "The oldest version of TLS that is spoken.")
    ciphersuites: tuple[str, ...] = option((), "Cipher suites, by their Go names.")
    handshaketimeout: Duration = option(10.0, "How long a client may take to begin.")
    redirect: str = option(
        "", "Address whose plain HTTP requests are sent to HTTPS: `host:port` or `:port`."
    )
    hsts: HSTS = option(HSTS(), "Tell browsers to use HTTPS only.")
    letsencrypt: LetsEncrypt = option(LetsEncrypt(), "Certificates from an ACME authority.")


class Prometheus(Section):
    """`http.debug.prometheus`."""

    enabled: bool = option(False, "Serve metrics.")
    path: str = option("/metrics", "Where metrics are served.")


class Debug(Section):
    """`http.debug`."""

    addr: str = option("", "Address of the debug server; it must not be public.")
    prometheus: Prometheus = option(Prometheus(), "Metrics for Prometheus.")


class SMTP(Section):
    """`log.hooks[].options.smtp`."""

    addr: str = option("", "Mail server.")
    username: str = option("", "User name at the mail server.")
    password: SecretStr = option(SecretStr(""), "Password at the mail server.")
    insecure: bool = option(False, "Do not verify the mail server's certificate.")


class MailOptions(Section):
    """`log.hooks[].options`."""

    smtp: SMTP = option(SMTP(), "The mail server.")
    sender: str = option("", "Sender of the mails.", alias="from", variable="FROM")
    to: tuple[str, ...] = option((), "Receivers of the mails.")


class LogHook(Section):
    """`log.hooks[]`."""

    disabled: bool = option(False, "Turn the hook off.")
    type: str = option("", "Kind of hook; the Docker registry knows `mail`.")
    levels: tuple[str, ...] = option((), "Levels that the hook hears of.")
    options: MailOptions = option(MailOptions(), "Where mail goes.", variable="MAILOPTIONS")


class Middleware(Section):
    """One entry of `middleware.registry`, `middleware.repository` or `middleware.storage`."""

    name: str = option(..., "The plugin's name.")
    disabled: bool = option(False, "Leave it out.")
    options: Mapping[str, Any] = option({}, "Options of the plugin.")


class Middlewares(Section):
    """`middleware`."""

    registry: tuple[Middleware, ...] = option((), "Around the registry.")
    repository: tuple[Middleware, ...] = option((), "Around each repository.")
    storage: tuple[Middleware, ...] = option((), "Around the storage driver.")


class RedisTLS(Section):
    """`redis.tls`."""

    enabled: bool = option(False, "Speak TLS (Docker registry 2.8).")
    certificate: str = option("", "Path of the client's certificate.")
    key: str = option("", "Path of the client's private key.", public=True)
    rootcas: tuple[str, ...] = option((), "Paths of the authorities that sign the server.")


class RedisPool(Section):
    """`redis.pool` (Docker registry 2.8)."""

    maxidle: int = option(0, "Idle connections that are kept.")
    maxactive: int = option(0, "Connections at once.")
    idletimeout: SignedDuration = option(0.0, "When an idle connection is closed.")


class Redis(Section):
    """`redis`."""

    addr: str = option("", "Server (Docker registry 2.8).")
    addrs: tuple[str, ...] = option((), "Servers.")
    clientname: str = option("", "Name of each connection.")
    db: int = option(0, "Database.")
    protocol: int = option(0, "Version of the protocol.")
    username: str = option("", "User.")
    password: SecretStr = option(SecretStr(""), "Password.")
    sentinelusername: str = option("", "User at the sentinels.")
    sentinelpassword: SecretStr = option(SecretStr(""), "Password at the sentinels.")
    mastername: str = option("", "Name of the master at the sentinels.")
    maxretries: int = option(0, "Tries of a command.")
    minretrybackoff: SignedDuration = option(0.0, "Shortest pause between tries.")
    maxretrybackoff: SignedDuration = option(0.0, "Longest pause between tries.")
    dialtimeout: SignedDuration = option(0.0, "How long connecting may take.")
    readtimeout: SignedDuration = option(0.0, "How long reading may take.")
    writetimeout: SignedDuration = option(0.0, "How long writing may take.")
    contexttimeoutenabled: bool = option(False, "Let a request's deadline end a command.")
    poolfifo: bool = option(False, "Use the oldest idle connection first.")
    poolsize: int = option(0, "Connections of the pool.")
    pooltimeout: SignedDuration = option(0.0, "How long to wait for a connection.")
    minidleconns: int = option(0, "Idle connections at least.")
    maxidleconns: int = option(0, "Idle connections at most.")
    maxactiveconns: int = option(0, "Connections at most.")
    connmaxidletime: SignedDuration = option(0.0, "When an idle connection is closed.")
    connmaxlifetime: SignedDuration = option(0.0, "When any connection is closed.")
    maxredirects: int = option(0, "Redirects inside a cluster.")
    readonly: bool = option(False, "Read from replicas of a cluster.")
    routebylatency: bool = option(False, "Read from the nearest node of a cluster.")
    routerandomly: bool = option(False, "Read from any node of a cluster.")
    disableidentity: bool = option(False, "Do not tell the server the client's library.")
    identitysuffix: str = option("", "Added to the client's library.")
    unstableresp3: bool = option(False, "Use unstable parts of the protocol.")
    tls: RedisTLS = option(RedisTLS(), "TLS to the server.")
    pool: RedisPool = option(RedisPool(), "The pool (Docker registry 2.8).")


class DriverCheck(Section):
    """`health.storagedriver`."""

    enabled: bool = option(False, "Check the storage from time to time.")
    interval: Duration = option(10.0, "Time between checks.")
    threshold: int = option(0, "Failures in a row that make the registry unhealthy.")


class FileCheck(Section):
    """`health.file[]`."""

    file: str = option("", "The registry is unhealthy while this file exists.")
    interval: Duration = option(10.0, "Time between checks.")
    threshold: int = option(0, "Failures in a row that make the registry unhealthy.")


class HTTPCheck(Section):
    """`health.http[]`."""

    uri: str = option("", "Address that is asked with HEAD.")
    headers: Headers = option({}, "Headers of the request; each value is a list.")
    statuscode: int = option(200, "Status of a healthy answer.")
    timeout: Duration = option(0.0, "How long the answer may take.")
    interval: Duration = option(10.0, "Time between checks.")
    threshold: int = option(0, "Failures in a row that make the registry unhealthy.")


class TCPCheck(Section):
    """`health.tcp[]`."""

    addr: str = option("", "Address that must accept a connection.")
    timeout: Duration = option(0.0, "How long connecting may take.")
    interval: Duration = option(10.0, "Time between checks.")
    threshold: int = option(0, "Failures in a row that make the registry unhealthy.")


class Health(Section):
    """`health`."""

    storagedriver: DriverCheck = option(DriverCheck(), "Check of the storage.")
    file: tuple[FileCheck, ...] = option((), "Checks of files.", variable="FILECHECKERS")
    http: tuple[HTTPCheck, ...] = option((), "Checks of web addresses.", variable="HTTPCHECKERS")
    tcp: tuple[TCPCheck, ...] = option((), "Checks of servers.", variable="TCPCHECKERS")


class ProxyExec(Section):
    """`proxy.exec`."""

    command: str = option("", "Credential helper that is run.")
    lifetime: Duration | None = option(None, "How long its answer is used.")


class Proxy(Section):
    """`proxy`."""

    remoteurl: str = option("", "The registry whose content is cached.")
    username: str = option("", "User name there.")
    password: SecretStr = option(SecretStr(""), "Password there.")
    exec: ProxyExec = option(ProxyExec(), "Credentials from a command.")
    ttl: Duration = option(168 * 3600.0, "How long cached content is kept; 0 is for ever.")
    cachewritetimeout: Duration = option(300.0, "How long writing into the cache may take.")


class Bugsnag(Section):
    """`reporting.bugsnag`."""

    apikey: SecretStr = option(SecretStr(""), "Key of the service.")
    releasestage: str = option("", "Stage of the deployment.")
    endpoint: str = option("", "Address of the service.")


class NewRelic(Section):
    """`reporting.newrelic`."""

    licensekey: SecretStr = option(SecretStr(""), "Key of the service.")
    name: str = option("", "Name of the application.")
    verbose: bool = option(False, "Debug output.")


class Reporting(Section):
    """`reporting` (Docker registry 2.8)."""

    bugsnag: Bugsnag = option(Bugsnag(), "Bugsnag.")
    newrelic: NewRelic = option(NewRelic(), "New Relic.", variable="NEWRELIC")


class Schema1(Section):
    """`compatibility.schema1` (Docker registry 2.8)."""

    signingkeyfile: str = option("", "Key that signed manifests.", variable="TRUSTKEY")
    enabled: bool = option(False, "Take manifests of schema 1.")


class Compatibility(Section):
    """`compatibility` (Docker registry 2.8)."""

    schema1: Schema1 = option(Schema1(), "Manifests of schema 1.")


class RepositoryPolicy(Section):
    """`policy.repository`."""

    classes: tuple[str, ...] = option((), "Classes of content that repositories may hold.")


class Policy(Section):
    """`policy`."""

    repository: RepositoryPolicy = option(RepositoryPolicy(), "Of repositories.")
