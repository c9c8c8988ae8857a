"""A download as an HTTP answer: as fast as it is read, ended when the reader goes, never cut in silence.

Where the database fails in the middle, the connection is broken off without the last chunk of the chunked
encoding (RFC 9112, section 8): every client then knows that the file is not whole (curl ends with status 18).
A Parquet file lacks its footer and an Arrow stream its end mark besides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fleet_server.errors import LinkError
from fleet_server.telemetry.exports.download import Download

log = logging.getLogger(__name__)

STALLED_AFTER_S = 60.0  # nobody read a chunk for this long: the place and the snapshot are for somebody else


class StalledClient(LinkError):
    """The other side does not read."""


class DownloadResponse(Response):
    """Takes the download over: it is closed when this is done, however it ends."""

    def __init__(self, download: Download, headers: Mapping[str, str]) -> None:
        self._download = download
        self.status_code = 200
        self.background = None
        self.body = b""
        disposition = f'attachment; filename="{download.file_name}"'
        self.media_type = download.media_type
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in {
                **headers,
                "Content-Type": download.media_type,
                "Content-Disposition": disposition,
                "X-Accel-Buffering": "no",
            }.items()
        ]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._send(gone, send)
        finally:
            gone.cancel()
            await asyncio.shield(run_in_threadpool(self._download.close))

    async def _send(self, gone: asyncio.Task[None], send: Send) -> None:
        # the first bytes before the head: what fails at once is told as a problem
        chunk = await run_in_threadpool(self._download.take)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while chunk is not None:
            if gone.done():
                log.info("a download was broken off by the one who asked")
                return
            try:
                body = {"type": "http.response.body", "body": chunk, "more_body": True}
                await asyncio.wait_for(send(body), STALLED_AFTER_S)
            except TimeoutError:
                raise StalledClient(f"Nobody read a download for {STALLED_AFTER_S:.0f} s.") from None
            chunk = await run_in_threadpool(self._download.take)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
