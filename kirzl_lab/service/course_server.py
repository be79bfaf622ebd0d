"""Where pages lead to in a person's own server of a course."""

from urllib.parse import quote

from fastapi import Request

from kirzl_lab.service.access import course_place_of, viewer_of
from kirzl_lab.service.state import state_of
from kirzl_lab.store.members import bindings


async def formgrader(request: Request) -> str:
    """Where formgrader is in the viewer's course server; the hub asks to start it where it does not run.

    A server that was never started gets the space's name when it is, unless the viewer chooses another.
    """
    server = await _server(request) or course_place_of(request).space.name
    return f"{_of_viewer(request)}/{quote(server)}/formgrader"


async def work_address(request: Request) -> str:
    """Where the viewer works on the course: in their server, or at "My spaces", where it is started for the first time."""
    server = await _server(request)
    return f"{_of_viewer(request)}/{quote(server)}/lab" if server else f"{state_of(request).place.hub_prefix}home"


async def _server(request: Request) -> str | None:
    space, viewer = course_place_of(request).space, viewer_of(request)
    async with state_of(request).reading() as session:
        bound = await bindings(session, viewer.person_id)
    return next((one.server_name for one in bound if one.space == space.name and one.purpose == "work"), None)


def _of_viewer(request: Request) -> str:
    return f"{state_of(request).place.hub_prefix}user/{quote(viewer_of(request).hub_name)}"
