"""The routes of the lab service, by what they are about. Who may use each is in `kirzl_lab.service.access_table`."""

from typing import Any

from fastapi import Security
from fastapi.security import HTTPBearer

from kirzl_lab.service.answers import LARGEST_JSON, PROBLEM_JSON, ProblemDetails


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    return {"description": description, "content": {PROBLEM_JSON: {"schema": schema}}}


STREAMED: dict[str, Any] = {
    # For the description alone: `admit` is what checks the token.
    "dependencies": [Security(HTTPBearer(auto_error=False, description="A token of the hub."))],
    "responses": {
        401: _problem("No token, or one that the hub does not know."),
        403: _problem("The token or the person may not do this."),
        422: _problem("A parameter cannot be understood."),
        503: _problem("The hub or the lab database does not answer."),
    },
}
"""What every route of the REST API has in common. One that reads its body itself sees to how much that is."""

API: dict[str, Any] = STREAMED | {"max_body_size": LARGEST_JSON}
"""The same for routes whose body is JSON, or that have none."""
