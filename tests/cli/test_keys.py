"""The lab's secrets: made once, whole or made anew, for their owner's eyes only."""

from pathlib import Path

import pytest

from kirzl_lab.cli.keys import WHOLE, keys_in
from kirzl_lab.cli.state import Folder

NAMES = ("crypt_key", "cookie_secret", "proxy_token", "service_token", "metrics_token", "receipt_keys")


def test_made_once(folder: Folder) -> None:
    assert keys_in(folder.secrets) == keys_in(folder.secrets)


def test_each_is_its_own(folder: Folder) -> None:
    keys = keys_in(folder.secrets)
    made = (keys.crypt_key, keys.proxy_token, keys.service_token, keys.metrics_token, keys.receipt_keys)
    found = {*made, keys.cookie_secret_file.read_text()}
    assert len(found) == 6
    assert all(WHOLE.fullmatch(key) for key in found)


def test_only_the_owner_can_read_them(folder: Folder) -> None:
    keys_in(folder.secrets)
    (folder.secrets / "crypt_key").chmod(0o644)
    keys_in(folder.secrets)
    assert {(folder.secrets / name).stat().st_mode & 0o777 for name in NAMES} == {0o600}


@pytest.mark.parametrize("left", [b"", b"ab", b"\xff" * 64, b"g" * 64])
def test_what_is_not_whole_is_made_anew_and_the_rest_stays(folder: Folder, left: bytes) -> None:
    before = keys_in(folder.secrets)
    (folder.secrets / "crypt_key").write_bytes(left)
    after = keys_in(folder.secrets)
    assert WHOLE.fullmatch(after.crypt_key)
    assert after.proxy_token == before.proxy_token


def test_the_draft_of_a_killed_start_is_in_nobodys_way(folder: Folder) -> None:
    Path(folder.secrets / ".crypt_key.4711").write_text("half")
    assert WHOLE.fullmatch(keys_in(folder.secrets).crypt_key)
