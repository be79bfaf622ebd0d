"""An assignment's way in a real lab: from the lecturer's server through the service to a student's, and back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.people import Person
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

ASSIGNMENT = {"course_id": "ml-101", "assignment_id": "way1"}
EXERCISE = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "id": "one", "metadata": {}, "source": ["Your answer"]},
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)


def started(person: Person, space: str) -> JupyterServer:
    """The person's server of the space, once it answers, and opened."""
    person.start(space, "cpu-small")
    wait_until(lambda: (person.server(space) or {}).get("ready"), f"the server of {space}", limit_s=90)
    server = JupyterServer(person.http, f"{person.lab_url}/user/{person.hub_name}/{space}")
    assert server.open().status_code == 200
    return server


def told(server: JupyterServer, method: str, path: str, body: Any = None) -> Any:
    """The value of an answer, which must be one of success."""
    answer = server.get(path) if method == "GET" else server.send(method, path, body)
    found = answer.raise_for_status().json()
    assert found["success"], found
    return found.get("value", found)


def test_release_fetch_submit_collect(person: Callable[[str, str], Person]) -> None:
    lecturer, student = person("uni", "lecturer"), person("uni", "student7")
    desk = started(lecturer, "ml-101")
    for folder in ("course/release", "course/release/way1"):
        desk.send("PUT", f"/api/contents/{folder}", {"type": "directory"}).raise_for_status()
    desk.write("course/release/way1/p1.ipynb", EXERCISE).raise_for_status()
    told(desk, "POST", "/formgrader/api/assignment/way1/release")
    assert [each["kind"] for each in told(desk, "GET", "/formgraders") if each["course_id"] == "ml-101"] == ["local"]

    seat = started(student, "ml-101")
    assert told(seat, "GET", "/courses") == ["ml-101"]
    assert "way1" in [each["assignment_id"] for each in told(seat, "GET", "/assignments?course_id=ml-101")]
    told(seat, "POST", "/assignments/fetch", ASSIGNMENT)
    assert seat.get("/api/contents/course").status_code == 404
    seat.write("way1/p1.ipynb", seat.read_text("way1/p1.ipynb").replace("Your answer", "Because.")).raise_for_status()
    lines = told(seat, "POST", "/assignments/submit", ASSIGNMENT)
    (handed_in,) = (line for line in lines if line["status"] == "submitted" and line["assignment_id"] == "way1")
    assert handed_in["student_id"] == student.hub_name

    collected = told(desk, "POST", "/formgrader/api/assignment/way1/collect")
    assert f"Collecting submission: {student.hub_name} way1" in collected["log"]
    folder = f"course/submitted/{student.hub_name}/way1"
    assert "Because." in desk.read_text(f"{folder}/p1.ipynb")
    assert desk.read(f"{folder}/timestamp.txt") == handed_in["submissions"][0]["timestamp"]
    assert told(desk, "POST", "/kirzl-lab/course-folder") >= 0
