"""The last step of an upload: its bytes come to the place where blobs lie."""

from __future__ import annotations

from pyreg.content import layout
from pyreg.content.digest import Digest
from pyreg.content.progress import Progress, Upload
from pyreg.errors import UploadNotFound
from pyreg.hooks.storage import StorageDriver


async def publish(
    driver: StorageDriver, upload: Upload, progress: Progress, digest: Digest, published: bool
) -> None:
    """Bring verified bytes to their place; may be repeated after a process was killed at it.

    Args:
        driver: Where they are.
        upload: Which.
        progress: How many they are, and the driver's state.
        digest: What they have been verified to be.
        published: Whether they are an object at `upload.key`, which they had to become to be
            read back.

    Raises:
        UploadNotFound, ObjectNotFound: the upload was thrown away meanwhile.
    """
    target = layout.blob_data(digest)
    if not driver.capabilities.rename:
        if not published:
            await driver.finish(progress.state)
        await driver.copy(upload.key, target)
    elif published:
        await driver.rename(upload.key, target)
    else:
        try:
            await driver.finish(progress.state, key=target)
        except UploadNotFound:
            # A process that was killed may have read it back, and come no further.
            if (await driver.stat(upload.key)).size != progress.offset:
                raise
            await driver.rename(upload.key, target)
