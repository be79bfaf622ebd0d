"""The form of a course: fields as people fill them in, and what they mean or why they mean nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData

from kirzl_lab.catalog.models import CourseFile, NetworkReach, Text
from kirzl_lab.courses.terms import NextTerm
from kirzl_lab.problems import Phrase

TEXTS = (
    "name",
    "title_de",
    "title_en",
    "description_de",
    "description_en",
    "term",
    "timezone",
    "starts",
    "ends",
    "default_size",
    "image",
    "storage_gib",
    "network_reach",
    "idle_hours",
    "max_submission_mib",
    "max_submission_files",
    "late_penalty",
)
NUMBERS = ("storage_gib", "idle_hours", "max_submission_mib", "max_submission_files")
REACHES = {
    NetworkReach.NONE: Phrase("Nothing but the lab"),
    NetworkReach.PACKAGE_MIRRORS: Phrase("The lab's package mirrors"),
    NetworkReach.INTERNET: Phrase("The internet"),
}
PENALTIES = {
    "none": Phrase("Nothing"),
    "zero": Phrase("All of its points"),
}
LONGEST = 2000
WRONG = {
    "date": Phrase("This is no day."),
    "greater_than": Phrase("This number is too small."),
    "greater_than_equal": Phrase("This number is too small."),
    "less_than_equal": Phrase("This number is too large."),
    "string_too_long": Phrase("This text is too long."),
    "float": Phrase("This is no number."),
    "int": Phrase("This is no whole number."),
}
"""Pydantic's type of an error, or its first word, in words for people."""
CANNOT_USE = Phrase("This cannot be used.")
FILL_IN = Phrase("Please fill this in.")


@dataclass(frozen=True, slots=True)
class CourseForm:
    """What somebody filled in."""

    values: Mapping[str, str]
    sizes: tuple[str, ...]
    errors: dict[str, Phrase] = field(default_factory=dict)
    """Field -> what is wrong with it."""

    @classmethod
    def of(cls, file: CourseFile, name: str = "") -> "CourseForm":
        """The form for a course that there is."""
        plain = file.model_dump(mode="json")
        values = {key: "" if plain.get(key) is None else str(plain[key]) for key in TEXTS if key in plain}
        for key, text in (("title", file.title), ("description", file.description)):
            values |= {f"{key}_de": text.de if text else "", f"{key}_en": text.en if text else ""}
        if file.idle_hours == int(file.idle_hours):
            values["idle_hours"] = str(int(file.idle_hours))
        return cls({"name": name} | values, file.sizes)

    @classmethod
    def empty(cls, sizes: Sequence[str]) -> "CourseForm":
        """The form for a new course: with the defaults of course files, and the first size."""
        fields = CourseFile.model_fields
        values = {
            key: str(fields[key].default)
            for key in TEXTS
            if key in fields and not fields[key].is_required() and fields[key].default is not None
        }
        first = tuple(sizes[:1])
        return cls(dict.fromkeys(TEXTS, "") | values | {"default_size": "".join(first)}, first)

    @classmethod
    def sent(cls, form: FormData) -> "CourseForm":
        """The form as a browser sent it."""
        values = {key: str(form.get(key, ""))[:LONGEST].strip() for key in TEXTS}
        sizes = tuple(dict.fromkeys(str(size) for size in form.getlist("sizes")))
        return cls(values, sizes)

    def course(self) -> CourseFile | None:
        """The course that the form describes, or None; then `errors` has what is wrong."""
        plain: dict[str, Any] = {
            key: value for key in TEXTS if key in CourseFile.model_fields and (value := self.values[key])
        }
        plain |= {key: value.replace(",", ".") for key, value in plain.items() if key in NUMBERS}
        plain["sizes"] = self.sizes
        for key in ("title", "description"):
            german, english = self.values[f"{key}_de"], self.values[f"{key}_en"]
            if german or english:  # who writes one language means both
                plain[key] = {"de": german or english, "en": english or german}
        plain["default_size"] = self.default_size
        try:
            return CourseFile.model_validate(plain)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=False):
                self.errors.setdefault(self._field(each["loc"]), _why(each["type"], str(each["loc"][0])))
            return None

    @property
    def default_size(self) -> str:
        """The size that is chosen at first; the first of the course's where none was chosen."""
        chosen = self.values["default_size"]
        return chosen if chosen in self.sizes else next(iter(self.sizes), "")

    def _field(self, loc: tuple[int | str, ...]) -> str:
        first = str(loc[0])
        if first in ("title", "description"):
            return f"{first}_{loc[1] if len(loc) > 1 else 'de'}"
        return first


@dataclass(frozen=True, slots=True)
class CopyForm:
    """What somebody filled in to copy a course."""

    values: Mapping[str, str]
    errors: dict[str, Phrase] = field(default_factory=dict)

    @classmethod
    def of(cls, file: CourseFile) -> "CopyForm":
        """The form at first: the same days half a year later."""
        later = NextTerm("", weeks=26)
        starts = "" if file.starts is None else _moved(file.starts, later)
        return cls(
            {
                "name": "",
                "term": "",
                "title_de": file.title.de,
                "title_en": file.title.en,
                "starts": starts,
                "weeks": "26",
            }
        )

    @classmethod
    def sent(cls, form: FormData) -> "CopyForm":
        """The form as a browser sent it."""
        keys = ("name", "term", "title_de", "title_en", "starts", "weeks")
        return cls({key: str(form.get(key, ""))[:LONGEST].strip() for key in keys})

    def wanted(self) -> NextTerm | None:
        """What the copy is to be, or None; then `errors` has what is wrong."""
        values = self.values
        german, english = values["title_de"], values["title_en"]
        if not values["term"]:
            self.errors["term"] = FILL_IN
        starts, weeks = None, 0
        try:
            starts = date.fromisoformat(values["starts"]) if values["starts"] else None
        except ValueError:
            self.errors["starts"] = WRONG["date"]
        try:
            weeks = int(values["weeks"] or "0")
        except ValueError:
            self.errors["weeks"] = WRONG["int"]
        if abs(weeks) > 520:
            self.errors["weeks"] = CANNOT_USE
        if max(map(len, values.values())) > 500:
            self.errors["title_de" if len(german) > 500 else "title_en" if len(english) > 500 else "term"] = WRONG[
                "string_too_long"
            ]
        if self.errors:
            return None
        title = Text(de=german or english, en=english or german) if german or english else None
        return NextTerm(values["term"], title, weeks, starts)


def _moved(day: date, then: NextTerm) -> str:
    try:
        return date.fromordinal(day.toordinal() + 7 * then.weeks).isoformat()
    except (OverflowError, ValueError):
        return ""


def _why(kind: str, name: str) -> Phrase:
    if kind in ("missing", "string_too_short", "too_short"):
        return FILL_IN
    if name == "ends" and kind == "value_error":
        return Phrase("The last day cannot be before the first.")
    return WRONG.get(kind) or WRONG.get(kind.partition("_")[0]) or CANNOT_USE
