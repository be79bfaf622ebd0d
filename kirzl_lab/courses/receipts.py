"""Receipts for submissions: what the lab took, when, from whom, signed so that anybody can check it without the lab.

A receipt is a JWS (RFC 7515) in compact form, signed with ES256 by a key that is derived from a secret of the lab. Of
the kinds of secrets that the lab and its chart make, 64 hexadecimal digits, every one is a key: a file on a laptop and a
Secret of a cluster hold the same. Receipts outlive a key: after a change the new secret stands before the old ones,
signs, and the others still verify. A key's `kid` is its thumbprint (RFC 7638).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_serializer

ALGORITHM = "ES256"
TYPE = "kirzl-lab-receipt"
LONGEST = 8 * 1024
"""In characters. What is longer is no receipt."""
_SECRET = re.compile(r"[0-9a-f]{64}")
_PUBLIC = ("kty", "crv", "x", "y")

_Word = Annotated[str, Field(min_length=1, max_length=512)]
_Count = Annotated[int, Field(ge=0)]


class ReceiptRefused(Exception):  # noqa: N818 - a refusal, as the lab's problems are
    """A receipt that proves nothing, or a key that is none; the message is a sentence that says why."""


class Receipt(BaseModel):
    """What the lab says that it took. Its fields are the claims in the receipt, but for `issuer`, which is `iss` there."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    issuer: _Word = Field(alias="iss")
    """The lab's public address."""
    course: _Word
    """Name of the space."""
    assignment: _Word
    student: _Word
    """Their hub name."""
    submission: _Word
    """Its id in the lab."""
    time: AwareDatetime
    """When the lab had all of it, by the lab's clock; UTC."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the archive, hexadecimal."""
    size: _Count
    """Bytes of the archive."""
    files: _Count
    """How many are in it."""

    @field_serializer("time")
    def _in_utc(self, time: datetime) -> str:
        return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Signer:
    """Signs receipts in the name of the lab at `issuer` with the first of the keys."""

    def __init__(self, keys: Sequence[ECKey], issuer: str) -> None:
        self._keys = tuple(keys)
        self.issuer = issuer

    @classmethod
    def from_secret(cls, secret: str, issuer: str) -> "Signer":
        """Of one or several secrets with space between, the newest first. Raises `ValueError` for what is none."""
        found = secret.split()
        if not found or not all(map(_SECRET.fullmatch, found)):
            raise ValueError("a key for receipts is 64 hexadecimal digits; several have space between them")
        return cls([_derived(each) for each in found], issuer)

    @classmethod
    def from_key_file(cls, file: Path, issuer: str) -> "Signer":
        """Of a file with such secrets. Raises `OSError`, or `ValueError` when it is something else."""
        return cls.from_secret(file.read_text(encoding="ascii"), issuer)

    def sign(
        self, *, course: str, assignment: str, student: str, submission: str, time: datetime, sha256: str, size: int, files: int
    ) -> str:  # fmt: skip
        """The receipt; the meaning of the fields is `Receipt`'s. Raises `ValueError` for what cannot be in one."""
        receipt = Receipt(
            issuer=self.issuer,
            course=course,
            assignment=assignment,
            student=student,
            submission=submission,
            time=time,
            sha256=sha256,
            size=size,
            files=files,
        )
        key = self._keys[0]
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.thumbprint()}
        return jws.serialize_compact(header, receipt.model_dump_json(by_alias=True), key, algorithms=[ALGORITHM])

    @property
    def public_key(self) -> dict[str, Any]:
        """The key that signs, as a JWK (RFC 7517) for everybody."""
        return _public(self._keys[0])

    @property
    def public_keys(self) -> dict[str, Any]:
        """All keys that verify, as a JWK set: receipts that earlier keys signed go on to be good."""
        return {"keys": [_public(key) for key in self._keys]}


def verify(receipt: str, keys: Mapping[str, Any]) -> Receipt:
    """What a receipt says, when one of the keys (a JWK or a JWK set) signed it. Raises `ReceiptRefused`."""
    known = {key.thumbprint(): key for key in _keys(keys)}
    text = receipt.strip()
    if len(text) > LONGEST or not text.isascii():
        raise ReceiptRefused("This is not a receipt of a lab.")
    try:
        found = jws.extract_compact(text.encode())
    except (JoseError, ValueError, TypeError, KeyError):
        raise ReceiptRefused("This is not a receipt of a lab.") from None
    header = found.headers()
    if header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
        raise ReceiptRefused("This is signed, but it is not a receipt of a lab.")
    key = known.get(str(header.get("kid")))
    if key is None:
        raise ReceiptRefused("Another key signed this receipt: ask the lab that it comes from for all of its keys.")
    try:
        payload = jws.deserialize_compact(text, key, algorithms=[ALGORITHM]).payload
        return Receipt.model_validate_json(payload)
    except ValidationError:
        raise ReceiptRefused("The receipt is genuine, but of a version that is unknown here.") from None
    except (JoseError, ValueError, TypeError, KeyError):
        raise ReceiptRefused("The receipt was changed: the lab did not sign what is in it.") from None


def read_keys(text: str) -> dict[str, Any]:
    """The JWK, or the JWK set, in a text. Raises `ReceiptRefused`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ReceiptRefused("This is not a key of a lab: a JWK or a JWK set is expected.")
    _keys(found)
    return found


def _derived(secret: str) -> ECKey:
    """The key of a secret. Salt and info are ours, so that no library's default decides which one it is."""
    options = {"salt": b"kirzl-lab", "info": b"receipts ES256"}
    return ECKey.derive_key(bytes.fromhex(secret), "P-256", kdf_options=options)


def _public(key: ECKey) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM}


def _keys(found: Mapping[str, Any]) -> list[ECKey]:
    """Only the public members of each are looked at; a `kid` is worked out, never believed."""
    listed: Iterable[Any] = found["keys"] if isinstance(found.get("keys"), list) else [found]
    usable = [key for key in listed if isinstance(key, dict) and key.get("kty") == "EC" and key.get("crv") == "P-256"]
    try:
        return [ECKey.import_key({name: key[name] for name in _PUBLIC}) for key in usable] if usable else _none()
    except (JoseError, ValueError, TypeError, KeyError):
        return _none()


def _none() -> list[ECKey]:
    raise ReceiptRefused("This is not a key of a lab: a JWK or a JWK set with a key of ES256 is expected.")
