"""Every folder lies inside the data folder, whatever the names are; homes are closed."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kirzl_lab.spawning import folders
from tests.spawning.samples import CHOICE, a_choice

DATA = Path("/lab/data")
NAMES = st.one_of(st.text(max_size=20), st.from_regex(r"[a-z0-9-]{1,30}", fullmatch=True), st.sampled_from(["..", "."]))


@given(hub_name=NAMES, space=NAMES, purpose=NAMES, server_name=NAMES)
@example(hub_name="..", space="..", purpose="..", server_name="..")
@example(hub_name="a\n", space="a", purpose="work", server_name="a")
@example(hub_name="a\0", space="/etc", purpose="work", server_name="a/../..")
def test_no_names_lead_out_of_the_data_folder(hub_name: str, space: str, purpose: str, server_name: str) -> None:
    choice = a_choice(hub_name=hub_name, space=space, purpose=purpose, server_name=server_name)
    for place, depth in ((folders.home, 4), (folders.materials_copy, 3), (folders.log_file, 3)):
        try:
            path = place(DATA, choice)
        except ValueError:
            continue
        assert path.is_relative_to(DATA)
        assert len(path.relative_to(DATA).parts) == depth
        assert not {"..", "."} & set(path.parts)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\..\\b", "a b", "ä", "a\n", "-a", "_a", "a" * 65])
def test_what_is_no_plain_name_is_refused(name: str) -> None:
    for part in ("hub_name", "space", "purpose"):
        with pytest.raises(ValueError, match="cannot be the name of a folder"):
            folders.home(DATA, a_choice(**{part: name}))


def test_a_person_has_a_folder_for_each_space_and_purpose() -> None:
    choices = [
        a_choice(space=space, purpose=purpose) for space in ("ml-101", "dl-201") for purpose in ("work", "preview")
    ]
    assert len({folders.home(DATA, choice) for choice in choices}) == 4


def test_logs_of_different_servers_are_different_files() -> None:
    one, other = a_choice(hub_name="a-b", server_name="c"), a_choice(hub_name="a", server_name="b-c")
    assert folders.log_file(DATA, one) != folders.log_file(DATA, other)


def test_homes_are_closed_to_other_people_also_when_they_were_open(tmp_path: Path) -> None:
    home = folders.home(tmp_path, CHOICE)
    home.mkdir(parents=True, mode=0o755)
    folders.make_private(home, tmp_path)
    for folder in (home, home.parent, home.parent.parent, tmp_path / "homes"):
        assert folder.stat().st_mode & 0o777 == 0o700
