"""What people are told when the file system refuses to write."""

import errno
import os
from pathlib import Path

import pytest
from tornado.web import HTTPError

from kirzl_lab.spawning import contents, folders


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> contents.LabContents:
    """In a home whose materials are a link to a copy elsewhere, as on a laptop."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    home, copy = tmp_path / "home", tmp_path / "copy"
    home.mkdir()
    copy.mkdir()
    (home / "materials").symlink_to(copy)
    return contents.LabContents(root_dir=str(home))


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """No file or folder can be made (root is refused nothing by modes)."""
    make_folder = os.mkdir

    def refused(path: str, *args: int, **options: object) -> None:
        if "home" not in Path(path).parts:
            make_folder(path, *args)
            return
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("jupyter_server.services.contents.fileio.atomic_writing", refused)
    monkeypatch.setattr("os.mkdir", refused)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("kind", ["notebook", "file", "directory"])
async def test_nothing_new_among_the_materials(
    manager: contents.LabContents, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    refuse(monkeypatch, number)
    with pytest.raises(HTTPError) as told:
        await manager.new_untitled("materials", type=kind)
    assert (told.value.status_code, told.value.log_message) == (403, contents.READ_ONLY)


async def test_elsewhere_it_is_not_the_materials(
    manager: contents.LabContents, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EACCES)
    with pytest.raises(HTTPError) as told:
        await manager.new_untitled("", type="file")
    assert (told.value.status_code, told.value.log_message) == (403, contents.NOT_PERMITTED)


def test_other_errors_stay_what_they_are(manager: contents.LabContents) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as told, manager.perm_to_403():
        raise full
    assert told.value is full


def test_the_name_of_the_materials_is_the_one_that_the_spawner_uses() -> None:
    assert contents.MATERIALS == folders.MATERIALS
