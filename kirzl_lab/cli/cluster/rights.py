"""What whoever installs must be allowed to do, worked out from what the chart makes. Pure.

So it is exactly what this chart with these values needs: an option that makes one kind of object more asks for one
right more, and nothing here has to follow.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirzl_lab.cli.cluster.connection import Thing

MAKING = ("get", "create", "patch", "delete")
"""What Helm does with every object of a chart, over its life."""


@dataclass(frozen=True, order=True, slots=True)
class Right:
    """To do something with a kind of resource, in the lab's namespace or (`cluster`) everywhere."""

    group: str
    resource: str
    verb: str
    cluster: bool = False

    def __str__(self) -> str:
        """As an administrator writes it: `create deployments.apps`."""
        where = " (in the whole cluster)" if self.cluster else ""
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}{where}"

    def review(self, namespace: str) -> Thing:
        """The question to the API server whether one has it."""
        resource, _, subresource = self.resource.partition("/")
        attributes = {"group": self.group, "resource": resource, "verb": self.verb} | (
            {} if self.cluster else {"namespace": namespace}
        )
        if subresource:
            attributes["subresource"] = subresource
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object as a cluster serves it."""

    name: str
    namespaced: bool


Served = Mapping[tuple[str, str], Resource]
"""(apiVersion, kind) -> what the cluster calls it."""

OWN = frozenset(
    {
        *(Right("", "secrets", verb) for verb in ("list", "update")),  # Helm's notes of what it installed
        Right("", "pods", "list"),
        Right("", "pods/log", "get"),
        Right("", "pods/exec", "create"),
        Right("apps", "deployments", "list"),
        Right("apps", "statefulsets", "list"),
        *(Right("batch", "jobs", verb) for verb in ("list", "watch")),  # Helm waits for the one before an upgrade
    }
)
"""What the commands need besides: to watch the lab come up, and to look from inside whether its walls hold."""


def kinds(objects: Iterable[Thing]) -> set[tuple[str, str]]:
    """Which kinds of objects there are: (apiVersion, kind)."""
    return {(thing["apiVersion"], thing["kind"]) for thing in objects}


def needed(objects: Iterable[Thing], served: Served, *, namespace_is_fine: bool) -> set[Right]:
    """The rights for making these objects; kinds that the cluster does not serve ask for none."""
    found = set(OWN)
    if not namespace_is_fine:
        found |= {Right("", "namespaces", verb, cluster=True) for verb in ("create", "patch")}
    for thing in objects:
        resource = served.get((thing["apiVersion"], thing["kind"]))
        if resource:
            group = thing["apiVersion"].rpartition("/")[0]
            found |= {Right(group, resource.name, verb, not resource.namespaced) for verb in MAKING}
        if thing["kind"] in {"Role", "ClusterRole"}:
            # Who lets somebody do something must be allowed to do it.
            found |= set(_passed_on(thing))
    return found


def _passed_on(role: Mapping[str, Any]) -> Iterator[Right]:
    for rule in role.get("rules") or []:
        for group in rule.get("apiGroups", []):
            for resource in rule.get("resources", []):
                for verb in rule.get("verbs", []):
                    yield Right(group, resource, verb, role["kind"] == "ClusterRole")
