"""From a task to the Kubernetes Job that runs it. Pure.

Three containers, one after the other, in a pod that reaches the lab's task endpoint and nothing else: `fetch` gets the
prepared files with a token that works once; `execute` runs them, with no token and no credential of any kind; `report`
sends what is there then, with another such token. Student code runs in `execute` alone, which can leave files for
`report` and nothing else: no process of it is left, and it never saw the other two.
"""

from dataclasses import dataclass
from typing import Any

from kirzl_lab.grading.outcomes import EXIT_STATUS, MIB, Limits, Reason
from kirzl_lab.grading.tasks import Task
from kirzl_lab.store import archives

TASK = "kirzl-lab/grading-task"
ATTEMPT = "kirzl-lab/grading-attempt"
COMPONENT = "app.kubernetes.io/component"
GRADER_COMPONENT = "grader"

WORK = "/task"
FIRST_USER = 200_000
USERS = 100_000
"""Each task runs as a user of its own: the limit on processes counts all of a user's on a node."""
END_GRACE_S = 5
AROUND_S = 120
"""For fetching, reporting, and pulling the image, besides the time that a submission has."""
WAITING_S = 3600
"""How long a Job may wait for room on a node."""


@dataclass(frozen=True, slots=True)
class GraderSite:
    """Where graders run."""

    namespace: str
    release: str
    image: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    limits: Limits
    cpus: float
    """Of one grader."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one attempt holds. The lab remembers their hashes alone."""

    fetch: str
    report: str


def job_name(task: Task) -> str:
    """The name of an attempt's Job."""
    return f"task-{task.id}-{task.attempt}"


def labels(task: Task, site: GraderSite) -> dict[str, str]:
    """By what the Job and its pod are found."""
    return {
        "app.kubernetes.io/name": "kirzl-lab",
        "app.kubernetes.io/instance": site.release,
        "app.kubernetes.io/managed-by": "kirzl-lab-controller",
        COMPONENT: GRADER_COMPONENT,
        TASK: str(task.id),
        ATTEMPT: str(task.attempt),
    }


def job(task: Task, site: GraderSite, tokens: Tokens, endpoint: str) -> dict[str, Any]:
    """The Job of the task's attempt. `endpoint` is the address of the task endpoint, with an IP: graders have no DNS."""
    user = FIRST_USER + task.id % USERS
    own = labels(task, site)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(task), "namespace": site.namespace, "labels": own},
        "spec": {
            # Another try is another attempt, with tokens of its own: the controller decides.
            "backoffLimit": 0,
            "activeDeadlineSeconds": _time(site.limits) + WAITING_S,
            "ttlSecondsAfterFinished": 600,
            "template": {"metadata": {"labels": own}, "spec": _pod(site, tokens, endpoint, user)},
        },
    }


def _pod(site: GraderSite, tokens: Tokens, endpoint: str, user: int) -> dict[str, Any]:
    return {
        "activeDeadlineSeconds": _time(site.limits),  # from when a node has it
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": END_GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # No names: what leaves the pod goes to the task endpoint or nowhere.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        **(
            {"imagePullSecrets": [{"name": name} for name in site.image_pull_secrets]}
            if site.image_pull_secrets
            else {}
        ),
        "initContainers": [
            _container(site, "fetch", ["fetch", endpoint, f"{WORK}/prepared"], tokens.fetch),
            _execute(site),
        ],
        "containers": [_container(site, "report", ["report", endpoint, f"{WORK}/executed"], tokens.report)],
        "volumes": [
            {"name": "work", "emptyDir": {"sizeLimit": str(_disk(site.limits))}},
            {"name": "tmp", "emptyDir": {"sizeLimit": str(site.limits.output_bytes)}},
        ],
    }


def _container(site: GraderSite, name: str, arguments: list[str], token: str) -> dict[str, Any]:
    return {
        "name": name,
        **_alike(site),
        "command": ["python", "-P", "-m", "kirzl_lab.grading.carrier", *arguments],
        "env": [{"name": "KIRZL_LAB_TASK_TOKEN", "value": token}],
        "resources": {
            "requests": {"cpu": "50m", "memory": str(64 * MIB)},
            "limits": {"cpu": "1", "memory": str(256 * MIB)},
        },
        "volumeMounts": [{"name": "work", "mountPath": WORK}],
    }


def _execute(site: GraderSite) -> dict[str, Any]:
    limits = site.limits
    options = {
        "--cell-s": limits.cell_s,
        "--total-s": limits.total_s,
        "--output-bytes": limits.output_bytes,
        "--processes": limits.processes,
        "--open-files": limits.open_files,
    }
    words = [word for name, value in options.items() for word in (name, str(value))]
    return {
        "name": "execute",
        **_alike(site),
        "command": ["python", "-P", "-m", "kirzl_lab.grading.execute", f"{WORK}/prepared", f"{WORK}/executed", *words],
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own
            {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"},
        ],
        "resources": {
            "requests": {
                "cpu": f"{site.cpus / 2:g}",
                "memory": str(limits.memory_bytes // 2),
                "ephemeral-storage": str(limits.output_bytes),
            },
            "limits": {
                "cpu": f"{site.cpus:g}",
                "memory": str(limits.memory_bytes),
                "ephemeral-storage": str(_disk(limits) + limits.output_bytes),
            },
        },
        "volumeMounts": [
            {"name": "work", "mountPath": WORK},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
        ],
    }


def _alike(site: GraderSite) -> dict[str, Any]:
    return {
        "image": site.image,
        "imagePullPolicy": site.image_pull_policy,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # The end of what it printed, for the people who run the course.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _time(limits: Limits) -> int:
    """Seconds on a node. A submission that takes too long is ended before that by what runs it."""
    return limits.total_s + AROUND_S


def _disk(limits: Limits) -> int:
    """Bytes for the prepared files, their copy that runs with what it writes, and the archive of either."""
    return 2 * archives.LIMITS.unpacked + archives.LIMITS.packed + limits.output_bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """Why an attempt's pod came to nothing."""

    reason: Reason | None
    """None: through no fault of the submission; the next attempt may do better."""
    log: str


MOST_LOSSES = 3
"""Attempts that come to nothing through no fault of the submission."""

NODE_IS_FULL = "The node was low on resource"
"""So the kubelet begins its message about a pod that it evicts for no use of its own."""
IMAGE_TROUBLES = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}
)


def look_at(pod: dict[str, Any]) -> Ended | None:
    """How the pod of an attempt ended without a result, or what keeps it from ever beginning; None while it may go on."""
    if "deletionTimestamp" in pod.get("metadata", {}):
        # Somebody took it away: a drain, an operator. That it was killed then says nothing about the submission.
        return Ended(None, "its pod was taken away")
    status = pod.get("status", {})
    message = str(status.get("message", ""))
    if status.get("reason") == "DeadlineExceeded":  # before its containers, which were killed for that
        return Ended(Reason.TIME if _ran(status) else None, message)
    if ended := _containers(status):
        return ended
    if status.get("phase") != "Failed":
        return None
    if status.get("reason") == "Evicted" and not message.startswith(NODE_IS_FULL):
        return Ended(Reason.OUTPUT, message)
    return Ended(None, f"{status.get('reason', '')} {message}".strip())


def _containers(status: dict[str, Any]) -> Ended | None:
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        ended = container.get("state", {}).get("terminated")
        if ended and ended.get("exitCode"):
            message = str(ended.get("message") or ended.get("reason") or "")
            return Ended(_reason(container["name"], ended), f"{container['name']}: {message}")
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in IMAGE_TROUBLES:
            return Ended(Reason.FAILED, f"{container['name']}: {waiting['reason']}: {waiting.get('message', '')}")
    return None


def _ran(status: dict[str, Any]) -> bool:
    began = [each["name"] for each in status.get("initContainerStatuses", ()) if "waiting" not in each.get("state", {})]
    return "execute" in began


def _reason(container: str, ended: dict[str, Any]) -> Reason | None:
    if container == "report" and ended["exitCode"] == EXIT_STATUS[Reason.OUTPUT]:
        return Reason.OUTPUT
    if container != "execute":
        return None
    if ended.get("reason") == "OOMKilled":
        return Reason.MEMORY
    return next((reason for reason, status in EXIT_STATUS.items() if status == ended["exitCode"]), Reason.KILLED)
