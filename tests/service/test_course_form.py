"""The form of a course: what it does not show it must not take away."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import CourseFile, NetworkReach
from kirzl_lab.service.course_form import CourseForm

WORDS = st.sampled_from(["Kurs", "A course, again", "Übung"])
DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@st.composite
def courses(draw: st.DrawFn) -> CourseFile:
    starts = draw(st.none() | DAYS)
    file = CourseFile.model_validate(
        {
            "title": {"de": draw(WORDS), "en": draw(WORDS)},
            "description": draw(st.none() | st.fixed_dictionaries({"de": WORDS, "en": WORDS})),
            "term": "2026/27 winter",
            "timezone": draw(st.sampled_from(["Europe/Berlin", "America/Lima"])),
            "starts": starts,
            "ends": draw(st.none() | st.just(starts)),
            "image": draw(st.sampled_from(["notebook", "notebook-gpu"])),
            "sizes": ["cpu-small", "cpu-medium"],
            "default_size": draw(st.sampled_from(["cpu-small", "cpu-medium"])),
            "storage_gib": draw(st.integers(1, 100)),
            "network_reach": draw(st.sampled_from(list(NetworkReach))),
            "idle_hours": draw(st.sampled_from([0.5, 1, 2, 24])),
            "max_submission_mib": draw(st.integers(1, 100)),
            "max_submission_files": draw(st.integers(1, 10_000)),
            "late_penalty": draw(st.sampled_from(["none", "zero"])),
        }
    )
    assert file.model_fields_set == set(CourseFile.model_fields), "a field that this test does not know"
    return file


@given(courses())
def test_what_is_shown_and_saved_is_the_course_again(file: CourseFile) -> None:
    assert CourseForm.of(file).course() == file
