"""A plan survives its way through the pipe to the inner supervisor."""

from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.cli.parts import Check, Part, Plan

texts = st.text(max_size=20)
parts = st.builds(
    Part,
    name=texts,
    argv=st.lists(texts, min_size=1, max_size=3).map(tuple),
    environment=st.dictionaries(texts, texts, max_size=3),
    folder=texts,
    log=texts,
    check=st.none() | st.builds(Check, texts, st.lists(st.integers(100, 599), min_size=1, max_size=3).map(tuple)),
    after=st.lists(texts, max_size=2).map(tuple),
)


@given(
    st.builds(
        Plan,
        parts=st.lists(parts, max_size=3).map(tuple),
        at_last=st.none() | st.builds(Check, texts),
        ends_first=st.none() | texts,
    )
)
def test_a_plan_is_one_line_and_comes_back(plan: Plan) -> None:
    line = plan.dumps()
    assert "\n" not in line
    assert Plan.loads(line) == plan
