"""The reference of the lab service, made from its routes, its table of access and the problems."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from kirzl_lab.problems import Problem
from kirzl_lab.service.access_table import ACCESS, Who

PAGE = "docs/reference/lab-service.md"

WHO_MEANS = {
    Who.ANYONE: "anyone, without a login",
    Who.PERSON: "a person of the lab who is not blocked",
    Who.OPERATOR: "an operator, and not with the token of a notebook server",
    Who.MONITORING: "who has the lab's token for metrics: Prometheus",
    Who.LECTURER: "a person who may create courses (`course_creators` in `lab.yaml`, instructors, operators), and not with the token of a notebook server",
    Who.MEMBER: "a person with any role in the course of the address; for everybody else there is no such course. The token of a notebook server counts for the course that the server was started in",
    Who.STAFF: "an assistant or instructor of the course; not with the token of a server that previews",
    Who.INSTRUCTOR: "an instructor of the course, and not with the token of a notebook server",
    Who.TASK: "a grader with a token of its task: it works once, for the attempt that it was made for",
    Who.OWN_WORK: "the person whose submission it is, and the assistants and instructors of its course; for everybody else there is no such submission",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A route."""

    name: str
    method: str
    path: str
    who: Who
    summary: str
    api: bool
    """Whether programs use it: it stands in the OpenAPI description."""


def rows(app: FastAPI) -> list[Row]:
    """The application's routes, by path. Raises KeyError for one without a row in the table of access."""
    return sorted(_rows(app), key=lambda row: (not row.api, row.path, row.method))


def problems() -> list[type[Problem]]:
    """Every problem with a slug of its own, by slug."""
    return sorted(
        (kind for kind in _kinds(Problem) if kind.__module__ == Problem.__module__), key=lambda kind: kind.slug
    )


def markdown(app: FastAPI) -> str:
    """The page `docs/reference/lab-service.md`."""
    parts = [
        "# Lab service",
        "Made from `kirzl_lab/service` by `python -m kirzl_lab.service.reference`; a test fails when it is out of date.",
        "The service answers at `/services/lab/`. Programs send a token of the hub that has the scope "
        "`access:services!service=lab` (every token that a person makes under “API tokens” has it, unless they chose "
        "other scopes) as `Authorization: Bearer ...`; `/services/lab/openapi.json` describes every field. "
        "Browsers are sent to the hub to log in.",
        "## Who may use what",
        "\n".join(f"- **{who}**: {meaning}" for who, meaning in WHO_MEANS.items()),
        "## For programs",
        _table(row for row in rows(app) if row.api),
        "## Pages",
        _table(row for row in rows(app) if not row.api),
        "## Problems",
        "Errors are problem details (RFC 9457, `application/problem+json`) with `type`, `title`, `status`, `detail` "
        "and `slug`; browsers get a page. These are all that the lab knows, the hub's included.",
        "| slug | status | in words |\n|---|---|---|\n"
        + "\n".join(f"| `{kind.slug}` | {kind.status} | {readable(kind.sentence)} |" for kind in problems()),
    ]
    return "\n\n".join(parts) + "\n"


def readable(sentence: str) -> str:
    """A sentence with its fields named in it, for people."""
    return re.sub(r"%\((\w+)\)s", "…", sentence)


def _rows(app: FastAPI) -> Iterator[Row]:
    for route in iter_route_contexts(app.routes):
        original = route.original_route
        if not isinstance(original, APIRoute):
            raise TypeError(f"{route.path} is no endpoint that the table of access guards")
        for method in sorted(route.methods or ()):
            yield Row(
                name=original.name,
                method=method,
                path=route.path or "",
                who=ACCESS[original.name],
                summary=original.summary or "",
                api=original.include_in_schema,
            )


def _kinds(kind: type[Problem]) -> Iterator[type[Problem]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _table(those: Iterator[Row]) -> str:
    lines = [f"| {row.method} | `{row.path}` | {row.who} | {row.summary} |" for row in those]
    return "\n".join(["| method | address | who | what |", "|---|---|---|---|", *lines])


def main() -> None:
    """Write the page again."""
    from kirzl_lab.service.app import EVERYTHING, app_for  # noqa: PLC0415 - the application serves this reference
    from kirzl_lab.service.state import Place, ServiceState  # noqa: PLC0415 - as above

    @asynccontextmanager
    async def never() -> AsyncIterator[ServiceState]:
        raise AssertionError("the page is made from an application that nobody starts")
        yield

    place = Place(
        api_url="", api_token="", client_id="", prefix="/services/lab/", hub_prefix="/hub/", service_name="lab"
    )
    Path(PAGE).write_text(markdown(app_for(place, never, EVERYTHING)))


if __name__ == "__main__":
    main()
