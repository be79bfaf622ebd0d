"""Receipts: placeholder of the branch until fix-arch is merged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import OKPKey


class Receipts:
    """Signs."""

    def __init__(self, data: Path) -> None:
        self._file = data / "receipt-key.json"

    def _key(self) -> OKPKey:
        import json

        if not self._file.exists():
            self._file.write_text(json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)))
        return OKPKey.import_key(json.loads(self._file.read_text()))

    def sign(self, content: Mapping[str, Any]) -> str:
        """The receipt."""
        import json

        return jws.serialize_compact({"alg": "EdDSA"}, json.dumps(dict(content)), self._key(), algorithms=["EdDSA"])

    def public(self) -> dict[str, Any]:
        """JWKS."""
        return {"keys": [self._key().as_dict(private=False)]}
