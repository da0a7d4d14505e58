"""The photos of cards, at their original resolution, within a budget of memory."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from reconcile.concurrency.byte_budget import ByteBudget
from reconcile.errors import ReconcileError, first_line
from reconcile.images import MAX_IMAGE_BYTES, UnreadableImage, check_size, upright_webp
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from reconcile.recounting.queue import Card, RecountRun
    from reconcile.storage.base import Bucket


KEPT_BYTES = 64 * 2**20
"""The size of the photos in memory. Several people look at the same bins."""
_FETCHING_BYTES = 96 * 2**20
"""The size of photos that are being fetched. A photo counts as the largest one until it is there."""
_FETCHERS = 6
_SECONDS = 20.0
"""The seconds that a phone waits for a photo. S3 may need longer, then the next request finds the photo."""
_MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
"""Formats that every browser shows. Photos in other formats are converted."""
_FORMATS = (*_MEDIA_TYPES, "TIFF", "PPM", "JPEG2000")


class NoPhoto(Exception):
    """A photo that cannot be shown. The message says why."""


class Photo(NamedTuple):
    """A photo as a browser shows it."""

    media_type: str
    data: bytes


class Photos:
    """Fetches photos from their buckets, and keeps those that were used last.

    Args:
        kept_bytes: the size of the photos in memory.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str, str], Photo] = OrderedDict()
        self._kept_bytes, self._limit = 0, kept_bytes
        self._fetching = ByteBudget(_FETCHING_BYTES)
        self._tasks: dict[tuple[str, str, str], asyncio.Task[Photo]] = {}
        self._threads = ThreadPoolExecutor(_FETCHERS, "photo")
        self._buckets: dict[str, Bucket] = {}

    async def get(self, run: RecountRun, card: Card) -> Photo:
        """Return the photo that was counted.

        Raises:
            NoPhoto: the photo is gone, has changed, cannot be read or does not come in time.
        """
        key = run.bucket, card.image_key, card.image_etag
        photo = self._kept.get(key)
        if photo is not None:
            self._kept.move_to_end(key)
            return photo
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._fetch(run, card, key))
            task.add_done_callback(lambda done: self._forget(key, done))
        try:
            return await asyncio.wait_for(asyncio.shield(task), _SECONDS)
        except TimeoutError:
            raise NoPhoto("the store did not send it in time") from None

    def _forget(self, key: tuple[str, str, str], task: asyncio.Task[Photo]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()  # nobody may wait for the photo any more, and asyncio would complain

    async def _fetch(self, run: RecountRun, card: Card, key: tuple[str, str, str]) -> Photo:
        async with self._fetching.acquired(MAX_IMAGE_BYTES):
            loop = asyncio.get_running_loop()
            photo = await loop.run_in_executor(self._threads, self._read, run, card)
        self._keep(key, photo)
        return photo

    def _keep(self, key: tuple[str, str, str], photo: Photo) -> None:
        self._kept[key] = photo
        self._kept_bytes += len(photo.data)
        while self._kept_bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.data)

    def _read(self, run: RecountRun, card: Card) -> Photo:
        try:
            bucket = self._buckets.get(run.run_id) or run.open_photos()
            self._buckets[run.run_id] = bucket
            return shown_photo(bucket.get(card.image_key, card.image_etag))
        except ReconcileError as error:  # the next request opens the bucket again
            self._buckets.pop(run.run_id, None)
            raise NoPhoto(first_line(error)) from None
        except (FetchError, UnreadableImage) as error:
            raise NoPhoto(first_line(error)) from None


def shown_photo(data: bytes) -> Photo:
    """Return a photo in a format that browsers show. The bytes stay as they are if they have such a format.

    Args:
        data: the bytes of an image, as for `images.load_image`. Nothing else reaches a browser, whatever its name is.

    Raises:
        UnreadableImage: the data are not an image, or too large.
    """
    check_size(len(data))
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            name = image.format or ""
    except Exception as error:  # on broken bytes, decoders raise any kind of error
        raise UnreadableImage(f"not an image: {first_line(error)}") from None
    if name in _MEDIA_TYPES:
        return Photo(_MEDIA_TYPES[name], data)
    return Photo("image/webp", upright_webp(data))
