"""What the lab service's process holds: its settings, the catalogue, the lab database, the hub, the logins."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, cast

import httpx
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab import metrics
from kirzl_lab.catalog.models import Catalogue
from kirzl_lab.courses.gradebook import gradebooks
from kirzl_lab.courses.receipts import Signer
from kirzl_lab.problems import LabDatabaseAway
from kirzl_lab.service.hub import Hub
from kirzl_lab.service.sessions import LoginCookies, TokenCache
from kirzl_lab.service.uploads import Uploads
from kirzl_lab.settings import MissingSettingError, Settings
from kirzl_lab.store.blob_store import open_blobs
from kirzl_lab.store.blobs import Blobs
from kirzl_lab.store.database import AWAY, Store

DATABASE_LIMIT_S = 5.0
"""How long a page waits for the lab database before it says so."""
READY_LIMIT_S = 1.0
READERS, WRITERS = 11, 4
"""Sessions at the same moment, together as many as the store has connections; others wait in line. Without it hundreds
of requests would share these, each until its limit, and none would come to its end."""
LINE = 6
"""How much longer than the limit somebody stands in that line before it counts as the lab database's fault."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service stands beside its hub, from the variables that JupyterHub gives its services."""

    api_url: str
    api_token: str
    client_id: str
    prefix: str
    """Begins and ends with a slash: `/services/lab/`."""
    hub_prefix: str
    """Begins and ends with a slash: `/hub/`."""
    service_name: str
    metrics_token: str = ""
    """What Prometheus sends; empty: nobody reads the metrics."""
    receipt_keys: str = field(default="", repr=False)
    """What receipts for submissions are signed with: `receipts.Signer.from_secret` reads it."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Place":
        """Read the `JUPYTERHUB_...` variables. Raises `MissingSettingError` for the first that is needed and not there."""

        def need(name: str) -> str:
            value = environment.get(name)
            if not value:
                raise MissingSettingError(
                    f"The environment variable {name} is not set; JupyterHub sets it for its services."
                )
            return value

        base = "/" + environment.get("JUPYTERHUB_BASE_URL", "/").strip("/")
        return cls(
            api_url=need("JUPYTERHUB_API_URL"),
            api_token=need("JUPYTERHUB_API_TOKEN"),
            client_id=need("JUPYTERHUB_CLIENT_ID"),
            prefix=f"/{need('JUPYTERHUB_SERVICE_PREFIX').strip('/')}/",
            hub_prefix=f"{base.rstrip('/')}/hub/",
            service_name=environment.get("JUPYTERHUB_SERVICE_NAME", "lab"),
            metrics_token=environment.get("KIRZL_LAB_METRICS_TOKEN", ""),
            receipt_keys=environment.get("KIRZL_LAB_RECEIPT_KEYS", ""),
        )

    @property
    def scope(self) -> str:
        """The scope that a token needs."""
        return f"access:services!service={self.service_name}"

    @property
    def callback(self) -> str:
        """Where the hub sends people back to after they logged in there."""
        return f"{self.prefix}oauth_callback"


class ServiceState:
    """Everything that requests share. `open` it around the life of the process."""

    def __init__(
        self,
        settings: Settings,
        place: Place,
        catalogue: Catalogue,
        store: Store,
        client: httpx.AsyncClient,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        blobs: Blobs | None = None,
    ) -> None:
        self.settings = settings
        self.place = place
        self.catalogue = catalogue
        self.clock = clock
        self.store = store
        self.blobs = blobs or open_blobs(settings)
        self.uploads = Uploads()
        self._lines = {"read": asyncio.Semaphore(READERS), "write": asyncio.Semaphore(WRITERS)}
        self.hub = Hub(client, place.api_url, place.api_token)
        self.cookies = LoginCookies(place.api_token, place.prefix, secure=settings.public_url.startswith("https://"))
        self.tokens = TokenCache(self.hub.owner)
        self.gradebooks = gradebooks(settings.data, store.engine.url)

    @cached_property
    def signer(self) -> Signer:
        """Signs receipts. Raises `MissingSettingError` and ValueError."""
        if not self.place.receipt_keys:
            raise MissingSettingError("The environment variable KIRZL_LAB_RECEIPT_KEYS is not set.")
        return Signer.from_secret(self.place.receipt_keys, self.settings.public_url)

    def reading(self, limit_s: float = DATABASE_LIMIT_S) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that reads; `LabDatabaseAway` when the lab database does not answer within the limit."""
        return _limited(self.store.reading(), "read", limit_s, self._lines["read"])

    def writing(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that writes; `LabDatabaseAway` when the lab database does not answer within the limit."""
        return _limited(self.store.writing(), "write", DATABASE_LIMIT_S, self._lines["write"])


def state_of(request: Request) -> ServiceState:
    """The state that the request's application holds while it runs."""
    return cast(ServiceState, request.app.state.service)


@asynccontextmanager
async def _limited(
    context: AbstractAsyncContextManager[AsyncSession],
    access: Literal["read", "write"],
    limit_s: float,
    line: asyncio.Semaphore,
) -> AsyncIterator[AsyncSession]:
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(LINE * limit_s):
                await stack.enter_async_context(line)
            with metrics.database(access):
                async with asyncio.timeout(limit_s), context as session:
                    yield session
    except (*AWAY, OSError) as error:
        metrics.DATABASE_AWAY.inc()
        raise LabDatabaseAway() from error
