"""`kirzl-lab receipt verify`: its answers and exit codes, without a lab that runs."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.keys import keys_in
from kirzl_lab.cli.state import Folder
from kirzl_lab.courses.receipts import Signer
from tests.cli.test_main import run, run_json


@pytest.fixture
def signer(folder: Folder) -> Signer:
    return Signer.from_secret(keys_in(folder.secrets).receipt_keys, "https://lab.uni.example")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    archive = tmp_path / "ps1.tar.gz"
    archive.write_bytes(b"submission")
    return archive


@pytest.fixture
def receipt(signer: Signer, archive: Path, tmp_path: Path) -> Path:
    content = archive.read_bytes()
    file = tmp_path / "receipt"
    file.write_text(
        signer.sign(
            course="ml-101",
            assignment="ps1",
            student="s-7fk2",
            submission="42",
            time=datetime(2026, 11, 28, 9, 59, 59, tzinfo=UTC),
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            files=3,
        )
    )
    return file


def test_a_receipt_of_the_lab_here(folder: Folder, receipt: Path) -> None:
    code, said = run("receipt", "verify", str(receipt), "--data", str(folder.path))
    assert code == Exit.OK
    assert "✓ The receipt is genuine." in said
    assert "s-7fk2 handed in “ps1” of ml-101 at 2026-11-28 09:59:59 UTC." in said


def test_a_receipt_of_any_lab_with_its_key_and_the_archive(
    signer: Signer, receipt: Path, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(signer.public_keys))
    options = ("--key", str(tmp_path / "keys.json"), "--file", str(archive), "--data", str(tmp_path / "none"))
    code, told = run_json("receipt", "verify", str(receipt), *options)
    assert (code, told["ok"], told["file"]) == (Exit.OK, True, str(archive))
    assert told["receipt"]["submission"] == "42"
    assert told["receipt"]["time"] == "2026-11-28T09:59:59Z"


def test_another_archive_is_1(folder: Folder, receipt: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"Submission")
    options = ("--data", str(folder.path), "--file", str(tmp_path / "other"))
    code, told = run_json("receipt", "verify", str(receipt), *options)
    assert (code, told["ok"]) == (Exit.NO, False)
    assert "is not what this receipt is for" in told["error"]


def test_a_changed_receipt_is_1(folder: Folder, receipt: Path) -> None:
    text = receipt.read_text()
    receipt.write_text(f"{text[:200]}{'A' if text[200] != 'A' else 'B'}{text[201:]}")
    assert run("receipt", "verify", str(receipt), "--data", str(folder.path))[0] == Exit.NO


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 100_000])
def test_no_receipt_is_1(folder: Folder, tmp_path: Path, content: bytes) -> None:
    keys_in(folder.secrets)
    (tmp_path / "receipt").write_bytes(content)
    code, said = run("receipt", "verify", str(tmp_path / "receipt"), "--data", str(folder.path))
    assert (code, "not a receipt" in said) == (Exit.NO, True)


def test_without_a_key_is_3(receipt: Path, tmp_path: Path) -> None:
    code, said = run("receipt", "verify", str(receipt), "--data", str(tmp_path / "none"))
    assert (code, "--key" in said) == (Exit.CANNOT, True)
    code, said = run("receipt", "verify", str(receipt), "--key", str(receipt))
    assert (code, "is not a key of a lab" in said) == (Exit.CANNOT, True)
    code, said = run("receipt", "verify", str(tmp_path / "nothing"), "--key", str(tmp_path / "nothing"))
    assert (code, "cannot be used" in said) == (Exit.CANNOT, True)


def test_a_damaged_key_of_the_lab_is_3(folder: Folder, receipt: Path) -> None:
    (folder.secrets / "receipt_keys").write_text("half")
    code, said = run("receipt", "verify", str(receipt), "--data", str(folder.path))
    assert (code, "is damaged" in said) == (Exit.CANNOT, True)


def test_a_receipt_from_before_a_new_key(folder: Folder, receipt: Path) -> None:
    file = folder.secrets / "receipt_keys"
    file.write_text(f"{'f' * 64}\n{file.read_text()}\n")
    assert keys_in(folder.secrets).receipt_keys.startswith("f" * 64)
    assert run("receipt", "verify", str(receipt), "--data", str(folder.path))[0] == Exit.OK
    assert file.stat().st_mode & 0o777 == 0o600
