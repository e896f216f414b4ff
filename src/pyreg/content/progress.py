"""How far an upload has come, as it is recorded in the store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.errors import BLOB_UPLOAD_UNKNOWN, RANGE_INVALID, RegistryError


class Interrupted(Exception):
    """The client went away in the middle; what it had sent is kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload has come.

    Attributes:
        offset: Bytes received and kept.
        algorithm: The digest algorithm that was announced.
        digest: Of everything so far, where it is known.
        state: The driver's state; "" before the first byte.
    """

    offset: int
    algorithm: str
    digest: Digest | None
    state: str


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload of one repository."""

    repository: str
    id: str

    @property
    def key(self) -> str:
        """Where its bytes lie until they are a blob."""
        return layout.upload_data(self.repository, self.id)


def unknown(upload: Upload) -> RegistryError:
    """The error for an upload that is not there (any more)."""
    return RegistryError(BLOB_UPLOAD_UNKNOWN, detail={"upload": upload.id})


def out_of_order(progress: Progress) -> RegistryError:
    """The error for bytes that do not go on where the upload is."""
    return RegistryError(
        RANGE_INVALID,
        "bytes out of order, or sent by two requests at once; go on at the reported offset",
        detail={"offset": progress.offset},
    )


def encode(progress: Progress) -> bytes:
    """The record of an upload."""
    return json.dumps(asdict(progress), separators=(",", ":")).encode()


def decode(data: bytes) -> Progress:
    """What a record says."""
    document = json.loads(data)
    digest = document["digest"]
    return Progress(
        offset=document["offset"],
        algorithm=document["algorithm"],
        digest=None if digest is None else Digest.parse(digest),
        state=document["state"],
    )
