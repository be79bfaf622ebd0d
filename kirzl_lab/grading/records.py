"""What is graded, and what grading it gave: records that go between the lab and the processes of the steps."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

OPTIONS: Final = frozenset(
    {
        "AssignLatePenalties.plugin_class",
        "Autograde.exclude_overwriting",
        "IgnorePattern.enabled",
        "IgnorePattern.pattern",
        "LateSubmissionPlugin.penalty_method",
        "LimitOutput.max_lines",
        "LimitOutput.max_traceback",
        "OverwriteCells.add_missing_cells",
        "OverwriteCells.missing_cell_notification",
    }
)
"""nbgrader's options that bear on a grade. The others say where files and databases are, and those we say."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of assignments and students: nbgrader looks for their folders with wildcards."""


@dataclass(frozen=True)
class ToGrade:
    """One submission, and the gradebook that its scores go to. `ValueError` for names and options that are none."""

    course: str
    assignment: str
    student: str
    submitted_at: datetime
    """With a time zone. By it lateness is judged."""
    gradebook: str
    """An address for SQLAlchemy, with its password."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """nbgrader's, of `OPTIONS`. A `plugin_class` is imported: take it from who runs the lab, not from a course."""

    def __post_init__(self) -> None:
        """Refuse what would lead nbgrader elsewhere."""
        for name in (self.assignment, self.student):
            if not NAME.fullmatch(name):
                raise ValueError(f"no name for nbgrader: {name!r}")
        if self.submitted_at.tzinfo is None:
            raise ValueError("submitted_at needs a time zone")
        if unknown := self.options.keys() - OPTIONS:
            raise ValueError(f"no options of a grade: {sorted(unknown)}")

    @property
    def timestamp(self) -> str:
        """What nbgrader expects in `timestamp.txt`."""
        return f"{self.submitted_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return asdict(self) | {"submitted_at": self.submitted_at.isoformat()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record that `to_json` made plain."""
        return cls(**(dict(values) | {"submitted_at": datetime.fromisoformat(values["submitted_at"])}))


@dataclass(frozen=True)
class Score:
    """What nbgrader's gradebook says of a submission after it was graded."""

    score: float
    max_score: float
    needs_manual_grade: bool
    late_penalty: float
    """Points, not yet taken off `score`."""
