"""The cluster's certificates: one authority for everything, a second for the aggregation layer, EC keys, one year.

The second one must differ from the first, since whoever holds one of its certificates may speak for anybody
(Kubernetes documentation, "Configure the aggregation layer").
"""

import base64
import datetime as dt
import json
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools.onenode.network import API_SERVICE, NODE_ADDRESS
from tools.onenode.paths import CERTIFICATES

NODE = "onenode"
_VALID = dt.timedelta(days=365)
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    name: str

    @property
    def certificate(self) -> Path:
        """PEM."""
        return CERTIFICATES / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        """PEM, in the oldest form of its kind (the API server and Kueue read no newer), mode 0600."""
        return CERTIFICATES / f"{self.name}.key"


AUTHORITY = Pair("authority")
FRONT_AUTHORITY = Pair("front-authority")
FRONT = Pair("front")
API_SERVER = Pair("apiserver")
API_TO_KUBELET = Pair("apiserver-to-kubelet")
ETCD = Pair("etcd")
KUBELET_SERVER = Pair("kubelet-server")
SERVICE_ACCOUNTS = Pair("service-accounts")
# Kueue makes these itself where they are missing, and then waits a minute or more until the kubelet has mounted them.
KUEUE_AUTHORITY = Pair("kueue-authority")
KUEUE_WEBHOOK = Pair("kueue-webhook")

# Who a client is: its common name and organisation are its user and group.
CLIENTS = {
    "admin": ("onenode-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", None),
    "kube-scheduler": ("system:kube-scheduler", None),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", None),
    "kube-router": ("onenode:kube-router", None),
}


def create() -> None:
    """Makes all certificates, keys and the key that encrypts Secrets at rest, unless they are there."""
    done = CERTIFICATES / "complete"
    if done.exists():
        return
    CERTIFICATES.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(AUTHORITY, "onenode")
    front = _authority(FRONT_AUTHORITY, "onenode-front")
    service = "kubernetes"
    names = [service, f"{service}.default", f"{service}.default.svc", f"{service}.default.svc.cluster.local"]
    _issue(API_SERVER, authority, "kube-apiserver", names=[*names, "localhost", "127.0.0.1", API_SERVICE, NODE_ADDRESS])
    _issue(API_TO_KUBELET, authority, "kube-apiserver", "system:masters")
    _issue(ETCD, authority, "etcd", names=["localhost", "127.0.0.1"])
    _issue(KUBELET_SERVER, authority, NODE, names=[NODE, NODE_ADDRESS])
    _issue(FRONT, front, "front")
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # Kueue's rotator parses no other kind
    kueue = _authority(KUEUE_AUTHORITY, "kueue-ca", names=["kueue-ca"], key=rsa_key)  # and looks for this name
    _issue(KUEUE_WEBHOOK, kueue, "kueue", names=["kueue-webhook-service.kueue-system.svc"])
    for name, (user, group) in CLIENTS.items():
        _issue(Pair(f"client-{name}"), authority, user, group)
    _write_key(SERVICE_ACCOUNTS.key, ec.generate_private_key(ec.SECP256R1()))
    _write(CERTIFICATES / "encryption.json", json.dumps(_encryption()).encode())
    done.touch()


def kubeconfig(client: str, server: str) -> str:
    """A kubeconfig, in JSON, with the certificates of `client` in it."""
    pair = Pair(f"client-{client}")

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": NODE,
                "cluster": {"server": server, "certificate-authority-data": embedded(AUTHORITY.certificate)},
            }
        ],
        "users": [
            {
                "name": client,
                "user": {
                    "client-certificate-data": embedded(pair.certificate),
                    "client-key-data": embedded(pair.key),
                },
            }
        ],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": client}}],
        "current-context": NODE,
    }
    return json.dumps(config, indent=2) + "\n"


@dataclass(frozen=True)
class _Authority:
    name: x509.Name
    key: _Key


def _authority(pair: Pair, name: str, names: list[str] | None = None, key: _Key | None = None) -> _Authority:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _builder(subject, subject, key)
    if names:
        builder = builder.add_extension(_alternatives(names), critical=False)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_pair(pair, certificate, key)
    return _Authority(subject, key)


def _issue(
    pair: Pair, authority: _Authority, name: str, organisation: str | None = None, names: list[str] | None = None
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(_name(name, organisation), authority.name, key)
    if names:
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(_alternatives(names), critical=False)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    _write_pair(pair, certificate, key)


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )


def _name(common: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _alternatives(names: list[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _encryption() -> dict[str, object]:
    key = {"name": "first", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": [key]}}, {"identity": {}}]}],
    }


def _write_pair(pair: Pair, certificate: x509.Certificate, key: _Key) -> None:
    _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(pair.key, key)


def _write_key(file: Path, key: _Key) -> None:
    _write(
        file,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
    )


def _write(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)
