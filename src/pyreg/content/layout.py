"""Where everything lies in the store: the Docker registry's layout, and what pyreg adds to it.

```
docker/registry/v2/
  blobs/<alg>/<hex[0:2]>/<hex>/data                     bytes of a blob or of a manifest
  repositories/<name>/
    _layers/<alg>/<hex>/link                            the repository has this blob
    _manifests/
      revisions/<alg>/<hex>/link                        the repository has this manifest
      tags/<tag>/current/link                           where the tag points
      tags/<tag>/index/<alg>/<hex>/link                 where it ever pointed
    _uploads/<id>/
      startedat                                         when the upload began (RFC 3339)
      data                                              what the Docker registry received
      hashstates/<alg>/<offset>                         its digests so far; deleted with the upload
      pyreg.json                                    +   offset, digest so far, driver's state
    _referrers/
      indexed                                       +   old manifests have been looked through
      <alg>/<hex>/<alg>-<hex>                       +   descriptor of a manifest whose subject
                                                        is the first digest
```

`+` marks what pyreg adds. The Docker registry passes over it: it skips directories of a
repository that begin with `_` and that it does not know, and unknown files of an upload.
A `link` holds a digest and nothing else.
"""

from __future__ import annotations

from pyreg.content.digest import Digest
from pyreg.errors import RegistryError

ROOT = "docker/registry/v2/"
BLOBS = ROOT + "blobs/"
REPOSITORIES = ROOT + "repositories/"


def blob_data(digest: Digest) -> str:
    """The bytes of a blob or manifest."""
    encoded = digest.encoded
    return f"{BLOBS}{digest.algorithm}/{encoded[:2]}/{encoded}/data"


def layer_link(name: str, digest: Digest) -> str:
    """Marks that a repository has a blob."""
    return f"{REPOSITORIES}{name}/_layers/{digest.algorithm}/{digest.encoded}/link"


def revisions(name: str) -> str:
    """Prefix of all manifests of a repository."""
    return f"{REPOSITORIES}{name}/_manifests/revisions/"


def revision_link(name: str, digest: Digest) -> str:
    """Marks that a repository has a manifest."""
    return f"{REPOSITORIES}{name}/_manifests/revisions/{digest.algorithm}/{digest.encoded}/link"


def tags(name: str) -> str:
    """Prefix of all tags of a repository."""
    return f"{REPOSITORIES}{name}/_manifests/tags/"


def tag_directory(name: str, tag: str) -> str:
    """Prefix of everything about one tag."""
    return f"{REPOSITORIES}{name}/_manifests/tags/{tag}/"


def tag_link(name: str, tag: str) -> str:
    """Where a tag points."""
    return f"{REPOSITORIES}{name}/_manifests/tags/{tag}/current/link"


def tag_index_link(name: str, tag: str, digest: Digest) -> str:
    """Marks that a tag once pointed at a manifest."""
    return (
        f"{REPOSITORIES}{name}/_manifests/tags/{tag}/index/{digest.algorithm}/{digest.encoded}/link"
    )


def manifests(name: str) -> str:
    """Prefix of manifests and tags: a repository without any is not in the catalog."""
    return f"{REPOSITORIES}{name}/_manifests/"


def layers(name: str) -> str:
    """Prefix of all blobs of a repository."""
    return f"{REPOSITORIES}{name}/_layers/"


def uploads(name: str) -> str:
    """Prefix of all uploads of a repository."""
    return f"{REPOSITORIES}{name}/_uploads/"


def upload_directory(name: str, upload: str) -> str:
    """Prefix of everything about one upload."""
    return f"{REPOSITORIES}{name}/_uploads/{upload}/"


def upload_started(name: str, upload: str) -> str:
    """When an upload began."""
    return f"{REPOSITORIES}{name}/_uploads/{upload}/startedat"


def upload_data(name: str, upload: str) -> str:
    """The bytes of an upload: the Docker registry's, or ours once they are complete."""
    return f"{REPOSITORIES}{name}/_uploads/{upload}/data"


def upload_hash_states(name: str, upload: str) -> str:
    """Prefix of the Docker registry's hash states, which only Go can read."""
    return f"{REPOSITORIES}{name}/_uploads/{upload}/hashstates/"


def upload_state(name: str, upload: str) -> str:
    """How far an upload has come."""
    return f"{REPOSITORIES}{name}/_uploads/{upload}/pyreg.json"


def referrers(name: str, subject: Digest) -> str:
    """Prefix of the descriptors of a manifest's referrers."""
    return f"{REPOSITORIES}{name}/_referrers/{subject.algorithm}/{subject.encoded}/"


def referrer(name: str, subject: Digest, digest: Digest) -> str:
    """The descriptor of one referrer."""
    return f"{referrers(name, subject)}{digest.algorithm}-{digest.encoded}"


def referrers_indexed(name: str) -> str:
    """Marks that every manifest of the repository has been looked through for a subject."""
    return f"{REPOSITORIES}{name}/_referrers/indexed"


def parse_link(prefix: str, key: str) -> Digest | None:
    """The digest in `<prefix><alg>/<hex>/link`, if the key has that form."""
    algorithm, _, rest = key.removeprefix(prefix).partition("/")
    encoded, _, last = rest.partition("/")
    if last != "link":
        return None
    try:
        return Digest.parse(f"{algorithm}:{encoded}")
    except RegistryError:
        return None
