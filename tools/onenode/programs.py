"""What is built from Go modules, and how: one entry for each folder in `modules/`.

The version of a program is what its `go.mod` requires; it is read from there, so that it stands in one place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODULES = Path(__file__).parent / "modules"


@dataclass(frozen=True)
class Program:
    """A Go module and the commands built from it."""

    name: str  # of its folder
    requires: str  # the module whose version counts; empty for code of our own
    commands: Mapping[str, str]  # file name -> Go package
    expected: int  # seconds for a cold build on two cores
    version_flags: tuple[str, ...] = ()  # for the linker; {version}, {major} and {minor} are filled in
    tags: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)  # name here -> folder of the required module

    @property
    def folder(self) -> Path:
        """Where its go.mod is."""
        return MODULES / self.name

    @property
    def version(self) -> str:
        """The version of the required module with its `v`, or `v0` for code of our own."""
        if not self.requires:
            return "v0"
        text = (self.folder / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"^(?:require)?\s+{re.escape(self.requires)} (v\S+)", text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.folder / 'go.mod'} does not require {self.requires}")
        return found[1]

    @property
    def linker_flags(self) -> str:
        """Without symbols, and with the version: otherwise clients are told v0.0.0."""
        major, minor = [*self.version.removeprefix("v").split("."), "0"][:2]
        versions = (flag.format(version=self.version, major=major, minor=minor) for flag in self.version_flags)
        return " ".join(["-s", "-w", *(f"-X {flag}" for flag in versions)])


KUBERNETES = "k8s.io/kubernetes"
CONTAINERD = "github.com/containerd/containerd/v2"
_COMPONENT_VERSION = "k8s.io/component-base/version"

# The longest first: that is the order in which they are built.
PROGRAMS = (
    Program(
        "kubernetes",
        KUBERNETES,
        {
            name: f"{KUBERNETES}/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-proxy",
                "kube-scheduler",
                "kubectl",
                "kubelet",
            )
        },
        expected=450,
        version_flags=(
            f"{_COMPONENT_VERSION}.gitVersion={{version}}",
            f"{_COMPONENT_VERSION}.gitMajor={{major}}",
            f"{_COMPONENT_VERSION}.gitMinor={{minor}}",
        ),
    ),
    Program(
        "kueue",
        "sigs.k8s.io/kueue",
        {"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
        expected=180,
        version_flags=("sigs.k8s.io/kueue/pkg/version.GitVersion={version}",),
        copies={"chart": "charts/kueue"},
    ),
    Program(
        "helm",
        "helm.sh/helm/v4",
        {"helm": "helm.sh/helm/v4/cmd/helm"},
        expected=180,
        version_flags=("helm.sh/helm/v4/internal/version.version={version}",),
    ),
    Program(
        "kube-router",
        "github.com/cloudnativelabs/kube-router",
        {"kube-router": "github.com/cloudnativelabs/kube-router/cmd/kube-router"},
        expected=170,
        version_flags=("github.com/cloudnativelabs/kube-router/pkg/version.Version={version}",),
    ),
    Program(
        "kwok",
        "sigs.k8s.io/kwok",
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        expected=110,
        version_flags=("sigs.k8s.io/kwok/pkg/consts.Version={version}",),
        copies={"kustomize": "kustomize"},
    ),
    Program(
        "versitygw",  # an S3 server, for tests
        "github.com/versity/versitygw",
        {"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
        expected=90,
        version_flags=("main.Version={version}",),
    ),
    Program(
        "containerd",
        CONTAINERD,
        {name: f"{CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        expected=80,
        version_flags=(f"{CONTAINERD}/version.Version={{version}}",),
        tags=("no_btrfs", "no_devmapper", "no_zfs"),
    ),
    Program(
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner",
        {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        expected=60,
        version_flags=("main.VERSION={version}",),
    ),
    Program("coredns", "github.com/coredns/coredns", {"coredns": "."}, expected=50),
    Program("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}, expected=25),
    Program("small", "", {"pause": "./pause", "probe": "./probe", "volume": "./volume"}, expected=5),
)
BY_NAME = {program.name: program for program in PROGRAMS}
