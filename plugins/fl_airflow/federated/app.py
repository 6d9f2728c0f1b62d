"""The federated server's HTTP interface: the exchange for agencies outside, mounted at /federation in Airflow's API.

A request is judged before a byte is stored: whose token, which name, how long. Bodies go through in pieces, both ways.
Uploads follow the IETF draft "Resumable Uploads for HTTP": where a message goes to is its target, and the uploads/
resource of its hash says how much of it is there and takes the rest.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from fl_airflow.federated.answers import Names, Refusal, Server, Stored, UploadState
from fl_airflow.federated.callers import check_takes_part, identify
from fl_airflow.federated.uploads import Message, Upload, Uploads
from fl_tasks.contracts.errors import FLError, MissingInput
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.access import Kind, Space, check_read, check_write, may_read, named
from fl_tasks.exchange.digests import read_digest
from fl_tasks.exchange.errors import ExchangeError, UploadBroken, UploadRefused
from fl_tasks.exchange.store import PROTOCOL, missing
from fl_tasks.exchange.versions import HEADER, check_same

log = logging.getLogger(__name__)

PREFIX = "/federation"
"""Where the interface is mounted."""

_CHUNK = 2**20
# A network that is cut says nothing: without an end the sender's next try would find its own upload busy.
_SILENT_SECONDS = 15.0
_REASONS: dict[int | str, str] = {
    "default": "The server cannot answer now; its log says why.",
    400: "The name is none of the exchange's, or a length or digest is missing or wrong.",
    401: "The token does not show which admitted agency sent the request.",
    403: "The name is another's, or the agency does not take part.",
    409: "The sender's huiliu is of another version than the server.",
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text} for status, text in _REASONS.items()
}
_STORING: dict[int | str, dict[str, Any]] = {
    **_REFUSALS,
    200: {"model": Stored, "description": "The same content was there before."},
    201: {"model": Stored, "description": "The message lies in the exchange."},
    409: {"model": Refusal, "description": "Other content, another offset, or another version of huiliu."},
    413: {"model": Refusal, "description": "The message is longer than its name admits."},
    423: {"model": Refusal, "description": "Another request is storing the same message."},
    507: {"model": Refusal, "description": "There is no room for the message."},
}
_READING: dict[int | str, dict[str, Any]] = {
    **_REFUSALS,
    200: {"content": {"application/octet-stream": {}}, "description": "The message."},
    404: {"model": Refusal, "description": "The message is not there (yet)."},
}
_READING_ON: dict[int | str, dict[str, Any]] = {
    **_READING,
    206: {"content": {"application/octet-stream": {}}, "description": "The part that `Range` asks for."},
    416: {"content": {"text/plain": {}}, "description": "The message has no such part."},
}
_RANGE = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in (
            ("Range", "bytes=N-: the message from byte N on."),
            ("If-Range", "The ETag of the part that is there: another message is sent whole."),
        )
    ]
}
_STATE = {**_REFUSALS, 409: {"model": Refusal, "description": "Other content, or another version of huiliu."}}
_BODY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "required": True}
_PARTIAL = {"content": {"application/partial-upload": {"schema": {"type": "string", "format": "binary"}}}}
_bearer = HTTPBearer(auto_error=False, description="A token that the agency's exchange key signed, for one minute.")

router = APIRouter(prefix="/v1")


def create_app(home: Home) -> FastAPI:
    """Return the interface to the exchange of an installation: the coordinator's."""
    uploads = Uploads(home)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(uploads.sweep)
        yield

    app = FastAPI(
        title="Huiliu: federated server",
        version=str(PROTOCOL),
        summary="The write-once exchange between the agencies and the coordinator.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.home = home
    app.state.uploads = uploads
    app.add_exception_handler(FLError, _refuse)
    app.add_exception_handler(MissingInput, _say_missing)
    app.add_exception_handler(RequestValidationError, _refuse_form)
    app.include_router(router)
    return app


Version = Annotated[
    str | None,
    Header(alias=HEADER, description="VERSION (protocol N): the sender's huiliu, which has to be the server's."),
]


def _caller(request: Request, _: Annotated[object, Depends(_bearer)], version: Version = None) -> str:
    agency = identify(request.app.state.home, request.headers.get("Authorization"))
    request.state.agency = agency
    if version is not None:
        check_same(version, agency, "the coordinator's server")
    return agency


Caller = Annotated[str, Depends(_caller)]


def _space(request: Request, kind: Kind, space: str, agency: Caller) -> Space:
    found = Space(kind, space)
    check_takes_part(request.app.state.home, found, agency)
    return found


def _uploads(request: Request) -> Uploads:
    found: Uploads = request.app.state.uploads
    return found


Where = Annotated[Space, Depends(_space)]
Store = Annotated[Uploads, Depends(_uploads)]
Sha = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="SHA-256 of the whole message.")]
Digest = Annotated[str | None, Header(alias="Repr-Digest", description="sha-256=:BASE64: of the whole message.")]
Length = Annotated[int | None, Header(alias="Content-Length", ge=0)]


def _file(store: Store, agency: Caller, where: Where, name: str) -> Path:
    check_read(where, name, agency)
    path = store.exchange(where).path(name)
    if not path.is_file():
        raise missing(name)
    return path


def _upload(agency: Caller, where: Where, sha256: Sha, name: str) -> Message:
    check_write(where, name, agency, 0)
    return Message(agency, where, name, sha256)


@router.get("/server")
def server() -> Server:
    """Say which versions run here, and what time it is."""
    return Server(
        huiliu=str(_version("huiliu")),
        airflow=str(_version("apache-airflow")),
        edge_provider=_version("apache-airflow-providers-edge3"),
        protocol=PROTOCOL,
        time=dt.datetime.now(dt.UTC),
    )


@router.get("/{kind}/{space}/files", responses=_REFUSALS)
def list_names(store: Store, agency: Caller, where: Where, folder: str = "") -> Names:
    """List the names below a folder that the caller may read."""
    return Names(names=[name for name in store.exchange(where).names(folder) if _readable(where, name, agency)])


@router.get(
    "/{kind}/{space}/files/{name:path}", response_class=FileResponse, responses=_READING_ON, openapi_extra=_RANGE
)
def read(path: Annotated[Path, Depends(_file)]) -> FileResponse:
    """Read a message; a `Range` reads the rest of it."""
    return FileResponse(path, media_type="application/octet-stream")


@router.head("/{kind}/{space}/files/{name:path}", responses=_READING)
def look(path: Annotated[Path, Depends(_file)]) -> Response:
    """Say how long a message is."""
    return Response(headers={"Content-Length": str(path.stat().st_size)}, media_type="application/octet-stream")


@router.put("/{kind}/{space}/files/{name:path}", responses=_STORING, openapi_extra={"requestBody": _BODY})
async def write(
    request: Request,
    store: Store,
    agency: Caller,
    where: Where,
    name: str,
    digest: Digest = None,
    length: Length = None,
) -> JSONResponse:
    """Write a message once. What has come when the connection breaks off is kept for a day."""
    if length is None:
        raise UploadRefused(f"{name[:200]!r}: the request has no Content-Length; send the message's length ahead")
    check_write(where, name, agency, length)
    return await _receive(request, store, Message(agency, where, name, read_digest(digest)), length, None)


@router.get("/{kind}/{space}/uploads/{sha256}/{name:path}", responses=_STATE)
def upload(store: Store, message: Annotated[Message, Depends(_upload)], response: Response) -> UploadState:
    """Say how far the upload of a message with this content has come."""
    state = _state(store, message)
    response.headers.update(_upload_headers(state))
    return state


@router.head("/{kind}/{space}/uploads/{sha256}/{name:path}", status_code=204, responses=_STATE)
def upload_offset(store: Store, message: Annotated[Message, Depends(_upload)]) -> Response:
    """Say in headers how far the upload has come: Upload-Offset and Upload-Complete."""
    return Response(status_code=204, headers=_upload_headers(_state(store, message)))


@router.patch(
    "/{kind}/{space}/uploads/{sha256}/{name:path}", responses=_STORING, openapi_extra={"requestBody": _PARTIAL}
)
async def go_on(
    request: Request,
    store: Store,
    message: Annotated[Message, Depends(_upload)],
    offset: Annotated[int | None, Header(alias="Upload-Offset", ge=0)] = None,
    complete: Annotated[str, Header(alias="Upload-Complete", description="?1: the body is all that is missing.")] = "",
    length: Length = None,
) -> JSONResponse:
    """Go on with an upload where it broke off; the body is all that is missing."""
    if offset is None or length is None or complete != "?1":
        raise UploadRefused(
            f"{message.name}: an upload goes on with Content-Length, Upload-Offset and Upload-Complete: ?1, all of "
            "the rest at once"
        )
    check_write(message.space, message.name, message.agency, offset + length)
    return await _receive(request, store, message, offset + length, offset)


def _state(store: Uploads, message: Message) -> UploadState:
    stored = store.stored(message)
    if stored is not None:
        return UploadState(offset=stored, complete=True)
    return UploadState(offset=store.offset(message), complete=False)


async def _receive(
    request: Request, uploads: Uploads, message: Message, total: int, offset: int | None
) -> JSONResponse:
    """Store a request's body; only when it is whole does it get its name."""
    new = False
    if await run_in_threadpool(uploads.stored, message) is None:
        opened = uploads.open(message, total, offset)
        upload = await run_in_threadpool(opened.__enter__)
        try:
            await _store(request, upload)
            new = await run_in_threadpool(upload.finish, uploads.exchange(message.space))
        finally:
            await run_in_threadpool(opened.__exit__, None, None, None)
    stored = Stored(name=message.name, bytes=total, sha256=message.sha256, new=new)
    return JSONResponse(stored.model_dump(), status_code=201 if new else 200)


async def _store(request: Request, upload: Upload) -> None:
    """Write what comes in pieces of a mebibyte; what came before a connection broke off is written, too."""
    waiting = bytearray()
    body = request.stream()
    try:
        while True:
            with anyio.fail_after(_SILENT_SECONDS):
                data = await anext(body, None)
            if data is None:
                break
            waiting += data
            if len(waiting) >= _CHUNK:
                await run_in_threadpool(upload.write, bytes(waiting))
                waiting.clear()
    except (ClientDisconnect, TimeoutError) as error:
        await run_in_threadpool(upload.write, bytes(waiting))
        raise UploadBroken(f"the connection broke off after {upload.offset} of {upload.total} bytes; go on") from error
    await run_in_threadpool(upload.write, bytes(waiting))


def _readable(where: Space, name: str, agency: str) -> bool:
    try:
        return may_read(named(where, name), agency)
    except ExchangeError:  # a file that somebody left there by hand
        return False


def _upload_headers(state: UploadState) -> dict[str, str]:
    return {
        "Upload-Offset": str(state.offset),
        "Upload-Complete": "?1" if state.complete else "?0",
        "Cache-Control": "no-store",
    }


def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Say in one line of the log, and in the answer, why a request was refused."""
    assert isinstance(error, FLError)  # what it is registered for
    # A name is quoted: whoever asks could otherwise write lines of our log.
    log.warning(
        "federation refused agency=%s method=%s name=%.300r code=%s",
        *(getattr(request.state, "agency", None), request.method, request.url.path, error.code),
    )
    if isinstance(error, ExchangeError):
        return _answer(error.http_status, error.code, str(error))
    log.error("federation code=%s %s", error.code, error)
    return _answer(500, error.code, "the server's own files are not as they should be; its log says which")


def _say_missing(_: Request, error: Exception) -> JSONResponse:
    """Answer who asks for what is not there yet: no refusal, and asked often."""
    return _answer(404, MissingInput.__name__, str(error))


def _answer(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(Refusal(code=code, message=message).model_dump(), status_code=status)


def _refuse_form(request: Request, error: Exception) -> JSONResponse:
    """Answer a request whose path or headers cannot be read; its values are not repeated."""
    assert isinstance(error, RequestValidationError)  # what it is registered for
    where = ", ".join(str(part["loc"][-1]) for part in error.errors())
    return _refuse(request, UploadRefused(f"the request's {where} cannot be read; see the server's openapi.json"))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
