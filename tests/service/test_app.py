"""The application as uvicorn makes it, its description, and the same pages on PostgreSQL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from kirzl_lab.service.app import app_from_environment
from kirzl_lab.settings import MissingSettingError
from kirzl_lab.store.database import Store
from tests.service.conftest import Service
from tests.service.sample import OPERATOR, STUDENT, fill

ROOT = Path(__file__).parents[2]


def environment(tmp_path: Path, database_url: str) -> dict[str, str]:
    return {
        "KIRZL_LAB_HUB_CONFIG": str(ROOT / "hub_config"),
        "KIRZL_LAB_COURSES": str(ROOT / "courses"),
        "KIRZL_LAB_DATA": str(tmp_path),
        "KIRZL_LAB_DATABASE_URL": database_url,
        "KIRZL_LAB_PUBLIC_URL": "http://localhost:8000",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",  # nobody listens there
        "JUPYTERHUB_API_TOKEN": "token",
        "JUPYTERHUB_CLIENT_ID": "service-lab",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/lab/",
    }


async def test_the_application_of_the_environment(tmp_path: Path, sqlite_url: str) -> None:
    app = app_from_environment(environment(tmp_path, sqlite_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lab.test") as client,
    ):
        assert (await client.get("/services/lab/health")).status_code == 200
        ready = await client.get("/services/lab/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "lab_database": True, "hub": False})
        # What graders report to is another process: whoever got hold of a task's token can do nothing with it here.
        for method, what in (("GET", "prepared"), ("PUT", "result")):
            answer = await client.request(
                method, f"/services/lab/api/tasks/{what}", headers={"Authorization": "Bearer x"}
            )
            assert answer.json()["slug"] == "not-found"


def test_a_missing_variable_is_named(tmp_path: Path, sqlite_url: str) -> None:
    variables = environment(tmp_path, sqlite_url)
    del variables["JUPYTERHUB_API_TOKEN"]
    with pytest.raises(MissingSettingError, match="JUPYTERHUB_API_TOKEN"):
        app_from_environment(variables)


async def test_the_description_is_whole(service: Service) -> None:
    async with service.client() as client:
        described = (await client.get("/services/lab/openapi.json")).json()
    schemas = described["components"]["schemas"]
    text = str(described)
    for name in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas
    assert "HTTPValidationError" not in text.replace("schemas/HTTPValidationError", ""), "422 is a problem as well"
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
            if "/api/" in path and not path.endswith("/api/receipts/key"):  # which is for everybody
                assert operation["security"] == [{"HTTPBearer": []}]
                assert "application/problem+json" in operation["responses"]["403"]["content"]


async def test_the_pages_on_both_databases(
    any_store: Store, open_service: Callable[[Store], AbstractAsyncContextManager[Service]]
) -> None:
    await fill(any_store)
    async with open_service(any_store) as service, service.with_token(OPERATOR) as client:
        html = {"Accept": "text/html"}
        for page in ("people?search=am", "spaces?search=ml", f"audit?person={STUDENT}", f"people/{STUDENT}"):
            answer = await client.get(f"/services/lab/{page}", headers=html)
            assert answer.status_code == 200
            assert "ml-101" in answer.text, page
        for odd in ("people?search=%00", "people?search=%ED%A0%80", "audit?page=100000", "audit?space=%25"):
            assert (await client.get(f"/services/lab/api/{odd}")).status_code in (200, 422)
