"""Blobs as downloads."""

from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.store.course_tables import BlobRow

GZIP = "application/gzip"

GIVES: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": API["responses"]
    | {200: {"description": "A tar.gz archive; its ETag is its SHA-256.", "content": {GZIP: {}}}},
    "dependencies": API["dependencies"],
}
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def archive(request: Request, sha256: str | None, name: str) -> Response:
    """The blob as a download. What people handed in is never shown by the browser as a page of ours."""
    state = state_of(request)
    assert sha256 is not None  # noqa: S101 - the callers looked
    async with state.reading() as session:
        row = await session.get_one(BlobRow, sha256)
    headers = HEADERS | {
        "ETag": f'"{sha256}"',
        "Content-Length": str(row.size),
        "Content-Disposition": f'attachment; filename="{name}.tar.gz"',
    }
    return StreamingResponse(await state.blobs.read(sha256), media_type=GZIP, headers=headers)
