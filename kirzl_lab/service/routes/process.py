"""Whether the process is alive and ready, and the reference of what it offers."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import select

from kirzl_lab.problems import LabDatabaseAway
from kirzl_lab.service.answers import ProblemDetails
from kirzl_lab.service.models import Health, Ready
from kirzl_lab.service.pages import page
from kirzl_lab.service.reference import problems, readable, rows
from kirzl_lab.service.state import READY_LIMIT_S, ServiceState, state_of
from kirzl_lab.store.tables import Person

router = APIRouter()


@router.get("/health", name="health", tags=["process"], summary="Whether the process is alive")
async def health() -> Health:
    """Answers 200 as long as the process does; asks nobody else."""
    return Health()


@router.get(
    "/ready",
    name="ready",
    tags=["process"],
    summary="Whether the lab database and the hub answer",
    responses={503: {"model": Ready, "description": "One of them does not answer."}},
)
async def ready(request: Request, response: Response) -> Ready:
    """Answers 200 when both answer within a second, 503 otherwise."""
    state = state_of(request)
    database, hub = await asyncio.gather(_database_answers(state), state.hub.reachable())
    if not (database and hub):
        response.status_code = 503
    return Ready(ready=database and hub, lab_database=database, hub=hub)


@router.get("/metrics", name="metrics", include_in_schema=False, summary="Metrics, for Prometheus")
async def metrics() -> Response:
    """Every metric of this process, in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", name="openapi", include_in_schema=False, summary="This API, described in OpenAPI")
async def openapi(request: Request) -> JSONResponse:
    """The OpenAPI description."""
    return JSONResponse(description(request))


@router.get("/reference", name="reference", include_in_schema=False, summary="A page that describes this API")
async def reference(request: Request) -> HTMLResponse:
    """What there is, who may use it, and every problem by its slug."""
    return page(request, "reference.html", rows=rows(request.app), problems=problems(), readable=readable)


def description(request: Request) -> dict[str, Any]:
    """The OpenAPI description, made once a process."""
    described: dict[str, Any] = request.app.openapi()
    described["components"]["schemas"].setdefault(ProblemDetails.__name__, ProblemDetails.model_json_schema())
    return described


async def _database_answers(state: ServiceState) -> bool:
    try:
        async with state.reading(READY_LIMIT_S) as session:
            await session.execute(select(Person.id).limit(1))
    except LabDatabaseAway:
        return False
    return True
