"""What a process of the lab is told by its environment: where its files, its database and its public address are.

`kirzl-lab up` sets these on a laptop, the chart sets them in a cluster. What a *site* decides (institutions, sizes,
courses) is in the catalogue, never here.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class MissingSettingError(Exception):
    """A variable that the process cannot do without is not set; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are. Folders are absolute."""

    hub_config: Path
    """Folder with `lab.yaml`, `sizes.yaml` and `institutions.yaml`."""
    courses: Path
    """Folder with one folder a course."""
    data: Path
    """The lab's state: databases, secrets, homes, logs."""
    database_url: str
    """SQLAlchemy address of the lab database: `sqlite+aiosqlite:///...` or `postgresql+psycopg://...`."""
    public_url: str
    """Scheme, host and port under which browsers reach the lab, without a path or a slash at the end."""
    demo_url: str | None = None
    """Scheme, host and port of the demo institutions, when they run; their issuers are `<demo_url>/<institution>`."""
    blobs: str = ""
    """Where released, handed in and graded files are: a folder, or `s3://BUCKET/PREFIX`; `blobs` below `data` unless set."""

    def __post_init__(self) -> None:
        """Say where the folder of the blobs is."""
        if not self.in_bucket:
            object.__setattr__(self, "blobs", str(Path(self.blobs or self.data / "blobs").absolute()))

    @property
    def in_bucket(self) -> bool:
        """Whether `blobs` is a bucket of an S3 server."""
        return self.blobs.startswith("s3://")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read `KIRZL_LAB_HUB_CONFIG`, `_COURSES`, `_DATA`, `_DATABASE_URL`, `_PUBLIC_URL`, `_DEMO_URL` and `_BLOBS`.

        Raises `MissingSettingError` for the first one that is needed and not there.
        """

        def need(name: str) -> str:
            value = environment.get(name)
            if not value:
                raise MissingSettingError(f"The environment variable {name} is not set; `kirzl-lab up` sets it.")
            return value

        return cls(
            hub_config=Path(need("KIRZL_LAB_HUB_CONFIG")).absolute(),
            courses=Path(need("KIRZL_LAB_COURSES")).absolute(),
            data=Path(need("KIRZL_LAB_DATA")).absolute(),
            database_url=need("KIRZL_LAB_DATABASE_URL"),
            public_url=need("KIRZL_LAB_PUBLIC_URL").rstrip("/"),
            demo_url=(environment.get("KIRZL_LAB_DEMO_URL") or "").rstrip("/") or None,
            blobs=environment.get("KIRZL_LAB_BLOBS") or "",
        )

    def environment(self) -> dict[str, str]:
        """The variables from which `from_environment` reads these settings again."""
        variables = {
            "KIRZL_LAB_HUB_CONFIG": str(self.hub_config),
            "KIRZL_LAB_COURSES": str(self.courses),
            "KIRZL_LAB_DATA": str(self.data),
            "KIRZL_LAB_DATABASE_URL": self.database_url,
            "KIRZL_LAB_PUBLIC_URL": self.public_url,
            "KIRZL_LAB_BLOBS": self.blobs,
        }
        return variables | ({"KIRZL_LAB_DEMO_URL": self.demo_url} if self.demo_url else {})
