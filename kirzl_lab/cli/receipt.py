"""`kirzl-lab receipt verify`: whether a lab signed a receipt, and for which archive. Nothing but files is asked."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.keys import RECEIPT_KEYS
from kirzl_lab.cli.state import Folder
from kirzl_lab.courses.receipts import LONGEST, Receipt, ReceiptRefused, Signer, read_keys, verify

LONGEST_KEYS = 1 << 20
"""Bytes of a file with keys."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A receipt that is genuine."""

    receipt: Receipt
    archive: Path | None
    """The archive that it is for, where one was named."""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        about = self.receipt.model_dump(mode="json")
        return {"ok": True, "receipt": about, "file": str(self.archive) if self.archive else None}

    def lines(self) -> list[str]:
        """For people."""
        it = self.receipt
        about = [
            f"{it.student} handed in “{it.assignment}” of {it.course} at {it.time:%Y-%m-%d %H:%M:%S} UTC.",
            f"Signed by the lab at {it.issuer}; submission {it.submission}, {it.files} files, {it.size} bytes packed.",
        ]
        return [*about, f"{self.archive} is what was handed in." if self.archive else f"SHA-256 {it.sha256}"]


def check(file: Path, archive: Path | None, key: Path | None, folder: Folder) -> Verified:
    """The receipt in `file`, when a key in the file `key` signed it, or one of the lab of the folder.

    Raises `Stop` where it is not genuine, or for another archive than the one named, and where there is no key.
    """
    keys = _keys_of(key, folder)
    with file.open("rb") as stream:
        text = stream.read(2 * LONGEST).decode("utf-8", "replace")
    try:
        receipt = verify(text, keys)
    except ReceiptRefused as refused:
        raise _no(f"{file}: {refused}") from None
    if archive is not None:
        size, digest = _size_and_digest(archive)
        if (size, digest) != (receipt.size, receipt.sha256):
            raise _no(f"{archive} is not what this receipt is for: that has {receipt.size} bytes and the SHA-256 {receipt.sha256}, the file {size} and {digest}.")  # fmt: skip
    return Verified(receipt, archive)


def _keys_of(file: Path | None, folder: Folder) -> dict[str, Any]:
    if file is None:
        own = folder.secrets / RECEIPT_KEYS
        try:
            return Signer.from_key_file(own, "").public_keys
        except FileNotFoundError:
            raise Stop(
                Exit.CANNOT,
                f"There is no lab in {folder.path}: name its folder with --data, or a file with the key of the lab that signed with --key.",
            ) from None
        except ValueError as error:
            raise Stop(Exit.CANNOT, f"{own} is damaged: {error}.") from None
    with file.open("rb") as stream:
        text = stream.read(LONGEST_KEYS).decode("utf-8", "replace")
    try:
        return read_keys(text)
    except ReceiptRefused as refused:
        raise Stop(Exit.CANNOT, f"{file}: {refused}") from None


def _size_and_digest(file: Path) -> tuple[int, str]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return stream.tell(), digest


def _no(sentence: str) -> Stop:
    return Stop(Exit.NO, sentence, details={"ok": False})
