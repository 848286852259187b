"""The server: pages, pictures, uploads, downloads and websockets."""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import Annotated

import numpy as np
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from guided_seg.app.desk import Desk
from guided_seg.app.guards import Guard
from guided_seg.app.messages import Export
from guided_seg.app.opening import LABEL_STUDIO
from guided_seg.app.sockets import bye, elsewhere, taken, talk
from guided_seg.app.uploads import Limits, store
from guided_seg.errors import UserError
from guided_seg.formats import FORMATS
from guided_seg.tools import label_studio

WEB = Path(__file__).parent / "web"
NAME = re.compile(r"[a-z0-9-]{1,40}")
MOST_DESKS = 64
LONGEST_REQUEST = 2**26
"""Most bytes of a request of Label Studio."""
LISTEN_EVERY = 0.2
"""Seconds after which an export finds out that its page has gone."""


class Desks:
    """The desks of all pages by name.

    Args:
        make: opens the desk of a name: the saved one, or a new one.
    """

    def __init__(self, make: Callable[[str], Desk]) -> None:
        self._make, self._lock = make, Lock()
        self._desks: dict[str, Desk] = {}

    def free(self) -> str:
        """The name of a desk without a page: ``main``, or the first free number."""
        for name in ("main", *map(str, range(2, MOST_DESKS + 1))):
            if name not in self._desks or self._desks[name].outbox is None:
                return name
        raise UserError(f"{MOST_DESKS} pages are open; close one.")

    @staticmethod
    def check(name: str) -> None:
        """Raise `UserError` for a name that no desk can have."""
        if not NAME.fullmatch(name):
            raise UserError(f"There is no page {name!r}; open the address that the server printed.")

    def get(self, name: str) -> Desk:
        """The desk of a name, opened if it is not. Raises `UserError` if it cannot be, or if there are too many."""
        self.check(name)
        with self._lock:
            if name not in self._desks:
                if len(self._desks) >= MOST_DESKS:
                    raise UserError(f"There are {MOST_DESKS} pages; go on with one of them, such as /s/main.")
                self._desks[name] = self._make(name)
            return self._desks[name]

    def opened(self, name: str) -> Desk | None:
        """The desk of a name; None if it is not open."""
        return self._desks.get(name)

    def end(self) -> None:
        """Save all sessions."""
        for desk in self._desks.values():
            desk.end()


def make_app(
    desks: Desks, limits: Limits, hosts: list[str], token: str | None = None, collection: str = "images"
) -> FastAPI:
    """The application.

    Args:
        desks: the sessions.
        limits: of uploads.
        hosts: see `Guard`.
        token: see `Guard`.
        collection: what the images together are called, in the names of exports.
    """

    @asynccontextmanager
    async def saved_at_the_end(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(desks.end)

    app = FastAPI(title="guided_seg", lifespan=saved_at_the_end, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, hosts=hosts, token=token, programs=("/predict", "/setup"))
    app.add_exception_handler(UserError, _refused)
    app.add_exception_handler(404, _not_found)
    app.mount("/static", StaticFiles(directory=WEB), name="static")
    app.include_router(_pages(desks))
    app.include_router(_files(desks, limits, collection))
    app.include_router(_label_studio(desks))
    return app


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"text": str(error)}, status_code=400)


def _not_found(_: Request, __: Exception) -> Response:
    return JSONResponse({"text": "There is no such page; open the address that the server printed."}, status_code=404)


def _pages(desks: Desks) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def root() -> Response:
        return RedirectResponse("/s/main?first", status_code=303)

    @router.get("/s/{name}")
    def page(name: str) -> Response:
        desks.check(name)  # it is opened by the socket, so that the page is there while the network is loaded
        return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})

    @router.websocket("/s/{name}/socket")
    async def socket(socket: WebSocket, name: str) -> None:
        await socket.accept()
        try:
            desk = await run_in_threadpool(desks.get, name)
            if "first" in socket.query_params and await taken(desk):
                await socket.send_text(elsewhere(f"/s/{desks.free()}"))
                await socket.close(1000)
                return
        except UserError as error:
            await socket.send_text(bye(str(error)))
            await socket.close(1008)
        else:
            await talk(socket, desk)

    return router


def _files(desks: Desks, limits: Limits, collection: str) -> APIRouter:
    router = APIRouter(prefix="/s/{name}")

    @router.get("/image/{image_id:path}")
    def image(name: str, image_id: str, w: int = 0) -> Response:
        if not 0 <= w <= 2**16:
            raise HTTPException(400, "w is the largest width in pixels, from 1.")
        data = as_jpeg(desks.get(name).pixels(image_id), w)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @router.post("/upload")
    async def upload(name: str, request: Request) -> Response:
        most = limits.request * 2**20
        if not 0 < int(request.headers.get("content-length", 0)) <= most:
            raise UserError(f"At most {limits.request:,g} MB are taken at once; add fewer files in each turn.")
        async with request.form(max_files=10 * limits.files) as form:
            files = [each for each in form.getlist("files") if isinstance(each, UploadFile)]
            if not files:
                raise UserError("No file came; choose images or videos.")
            added, refused = await run_in_threadpool(store, files, await run_in_threadpool(desks.get, name), limits)
        return JSONResponse({"added": added, "refused": refused})

    @router.get("/export")
    async def export(name: str, request: Request, wanted: Annotated[Export, Query()]) -> Response:
        if wanted.format not in FORMATS:
            raise UserError(f"There is no format {wanted.format!r}; there are: {', '.join(FORMATS)}.")
        desk, cancelled = await run_in_threadpool(desks.get, name), Event()
        work = asyncio.create_task(run_in_threadpool(_exported, desk, wanted, cancelled, collection))
        try:
            while not (await asyncio.wait({work}, timeout=LISTEN_EVERY))[0]:
                if await request.is_disconnected():  # the page cancelled the download, or is gone
                    cancelled.set()
            return await work
        finally:
            cancelled.set()

    return router


def _label_studio(desks: Desks) -> APIRouter:
    """What Label Studio asks of a backend. It has a page of its own, where its dots can be seen."""
    router = APIRouter()

    @router.get("/health")
    def health() -> Response:
        return JSONResponse(label_studio.health())

    @router.post("/setup")
    async def setup(request: Request) -> Response:
        label_studio.setup(await _json(request))
        # Label Studio waits three seconds, and opening many photos may take longer
        desk, opening = desks.opened(LABEL_STUDIO), BackgroundTask(_opened, desks, LABEL_STUDIO)
        if desk is None:
            return JSONResponse({"model_version": label_studio.NAME}, background=opening)
        return JSONResponse({"model_version": await run_in_threadpool(desk.wait_for, label_studio.version)})

    @router.post("/predict")
    async def predict(request: Request) -> Response:
        body = await _json(request)
        desk = await run_in_threadpool(desks.get, LABEL_STUDIO)
        try:
            return JSONResponse(await run_in_threadpool(label_studio.predict, desk.wait_for, body))
        finally:
            desk.say_state()

    return router


async def _json(request: Request) -> bytes:
    """The body of a request. Raises `UserError` if it is too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_REQUEST:
            raise UserError(f"A request has more than {LONGEST_REQUEST:,} bytes; send fewer tasks at once.")
    return body


def _opened(desks: Desks, name: str) -> None:
    """Open a desk ahead of the request that needs it, which says why if that fails."""
    with suppress(UserError):
        desks.get(name)


def _exported(desk: Desk, wanted: Export, cancelled: Event, collection: str) -> Response:
    """The files of an export, named after the images and the format; they are removed once they are sent."""
    folder = tempfile.TemporaryDirectory(prefix="guided_seg-")
    try:
        out = Path(folder.name) / wanted.format
        out.mkdir()
        desk.export(out, wanted, cancelled)
        packed = packed_folder(out, Path(folder.name) / f"{wanted.format}.zip")
    except BaseException:
        folder.cleanup()
        raise
    name = f"{collection}-{wanted.format}{packed.suffix}"
    return FileResponse(packed, filename=name, background=BackgroundTask(folder.cleanup))


def as_jpeg(pixels: np.ndarray, width: int = 0) -> bytes:
    """An RGB image as JPEG, scaled down to at most ``width`` pixels if that is not 0."""
    image = Image.fromarray(pixels)
    if 0 < width < image.width:
        image.thumbnail((width, 2**16))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=92)
    return data.getvalue()


def packed_folder(folder: Path, target: Path) -> Path:
    """All files of a folder in a zip file; the file itself if there is only one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) == 1:
        return files[0]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:  # pictures are compressed already
        for file in files:
            packed.write(file, file.relative_to(folder))
    return target
