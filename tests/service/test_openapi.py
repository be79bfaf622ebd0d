"""Everything that the OpenAPI description allows, and much that it does not, over HTTP: nothing makes the service fail."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import response_schema_conformance

from kirzl_lab.service.answers import PROBLEM_JSON
from kirzl_lab.store.database import Store
from tests.service.conftest import opened_service
from tests.service.handed_in import KEY, fill_exchange, listening
from tests.service.sample import INSTRUCTOR, OPERATOR, STUDENT
from tests.service.test_access import APP, REAL
from tests.store.hostile_archives import ARCHIVES, GOOD

SEED = 20_261_124
EXAMPLES = 8
"""For each operation, and as many again that break the description."""
SCHEMA = schemathesis.openapi.from_dict(APP.openapi())
OPERATIONS: dict[str, APIOperation[Any, Any, Any, Any]] = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations()
}
BODIES = st.sampled_from([content for content, _ in ARCHIVES.values()] + [GOOD, b""]) | st.binary(max_size=500)


@schemathesis.serializer("application/gzip")
def as_it_is(_context: object, body: Any) -> bytes:
    """An archive is sent as it is; what else was made up for one as text."""
    return body if isinstance(body, bytes) else str(body).encode("utf-8", "surrogatepass")


@dataclass
class Site:
    """A service on a loopback port, in a thread of its own."""

    url: str
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def site(courses_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with people in courses and something handed in."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(courses_template, folder / "lab.sqlite")
    started: list[Site] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        store = Store(f"sqlite+aiosqlite:///{folder / 'lab.sqlite'}")
        async with opened_service(folder, store) as service:
            await fill_exchange(service, folder)
            async with listening(service) as url:
                started.append(Site(url, service.tokens))
                ready.set()
                await asyncio.to_thread(stop.wait)
        await store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30), "the service did not start"
        yield started[0]
    finally:
        stop.set()
        thread.join(30)


@pytest.mark.parametrize("label", list(OPERATIONS))
def test_nothing_makes_the_service_fail(site: Site, label: str) -> None:
    operation = OPERATIONS[label]
    print(f"seed {SEED}")

    @seed(SEED)
    @settings(max_examples=2 * EXAMPLES, database=None)
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]), label="mode")
        case = data.draw(operation.as_strategy(generation_mode=mode))
        for name in case.path_parameters or {}:
            real = REAL.get("{" + name + "}")
            if real is not None and data.draw(st.integers(0, 3), label=f"odd {name}"):
                case.path_parameters[name] = real
        headers = {
            "Authorization": f"Bearer {site.tokens[data.draw(st.sampled_from([INSTRUCTOR, STUDENT, OPERATOR]))]}"
        }
        if "application/gzip" in operation.get_request_payload_content_types():
            case.body, case.media_type = data.draw(BODIES, label="body"), "application/gzip"
            headers["Idempotency-Key"] = data.draw(st.sampled_from([KEY, "another-key-of-16", "short"]), label="key")
        answer = case.call(base_url=site.url, headers=headers)
        case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
        assert answer.status_code < 400 or answer.headers["content-type"] == [PROBLEM_JSON], answer.text

    ask()


def test_it_is_still_there(site: Site) -> None:
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {site.tokens[STUDENT]}"}) as client:
        assert client.get("/services/lab/api/courses").status_code == 200
