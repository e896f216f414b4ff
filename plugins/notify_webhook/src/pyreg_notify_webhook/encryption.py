"""The TLS side of an endpoint: whom to trust, and which certificate to show."""

from __future__ import annotations

import ssl
from pathlib import Path

from pyreg_notify_webhook.options import TLS
from pyreg_notify_webhook.watched import UnusableFile, Watched, read


def watched_context(options: TLS, what: str) -> Watched[ssl.SSLContext]:
    """A client's context, made again when a certificate, a key or an authority changes.

    Args:
        options: The files.
        what: What they are for, in messages.
    """
    pair = (options.certificate, options.key) if options.certificate else ()
    paths = [Path(path) for path in (*options.cas, *pair)]
    return Watched(f"{what}, tls", paths, lambda: context(options))


def context(options: TLS) -> ssl.SSLContext:
    """A client's context. Blocks: call it in a thread.

    Raises:
        UnusableFile: a file is not what it should be.
    """
    made = ssl.create_default_context() if not options.cas else _of_authorities(options.cas)
    if options.certificate:
        _show(made, Path(options.certificate), Path(options.key))
    return made


def _of_authorities(paths: tuple[str, ...]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for path in paths:
        try:
            # What people write between certificates may be in any language.
            made.load_verify_locations(cadata=read(Path(path)).decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            if isinstance(error, UnusableFile):
                raise
            raise UnusableFile(f"{path} has no certificate in PEM form") from error
    return made


def _show(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    read(certificate)  # for its messages: those of `ssl` do not name the file
    if b"ENCRYPTED" in read(key):
        raise UnusableFile(f"{key} is encrypted; decrypt it: openssl pkey -in {key} -out NEW")
    try:
        # Without a password at hand OpenSSL would ask for it at the terminal.
        made.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableFile(f"{key} is not the key of the certificate {certificate}") from error
        raise UnusableFile(
            f"{certificate} and {key} are no certificate and private key in PEM form"
        ) from error
    except OSError as error:
        raise UnusableFile(f"cannot read {certificate} or {key}: {error.strerror}") from error
