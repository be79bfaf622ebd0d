"""What the API server is asked for: golden files for every shape, and what holds for all choices."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import STAFF, NetworkReach, Role, Size, Text
from kirzl_lab.spawning import pod, pod_rules
from kirzl_lab.spawning.choice import Choice
from tests.spawning.golden import ALL, FOLDER, as_differences, as_text
from tests.spawning.shapes import (
    CPU,
    KINDS,
    OTHER_SITE,
    SHAPES,
    SITE,
    SLICED,
    WHOLLY,
    all_of,
    asked_for,
    manifest_of,
    shape,
    spawner_for,
)

NAMES = st.from_regex(r"[a-z](?:-?[a-z0-9]){0,11}", fullmatch=True)
HUB_NAMES = st.from_regex(r"[b-z][b-z2-9]{8}", fullmatch=True)
TEXTS = st.builds(Text, de=st.text(min_size=1, max_size=30).map(lambda t: f"x{t}"), en=st.just("Title"))
SIZES = st.builds(
    Size, title=TEXTS, cpus=st.floats(0.1, 64), memory_gib=st.floats(0.1, 512), gpu=st.none() | st.just("slice")
)


@st.composite
def choices(draw: Callable[..., Any]) -> Choice:
    """Any choice that a decision could make."""
    role = draw(st.sampled_from([role for role in Role if role is not Role.OPERATOR]))
    gpu = draw(st.sampled_from([{"size": draw(SIZES.filter(lambda size: size.gpu is None))}, SLICED, WHOLLY]))
    return shape(
        **{
            "hub_name": draw(HUB_NAMES),
            "space": draw(NAMES),
            "kind": draw(st.sampled_from(["course", "sandbox", "research"])),
            "role": role,
            "purpose": draw(st.sampled_from(["work", "preview"])) if role in STAFF else "work",
            "title": draw(TEXTS),
            "network_reach": draw(st.sampled_from(list(NetworkReach))),
            "storage_gib": draw(st.integers(1, 1000)),
        }
        | gpu
    )


@pytest.mark.parametrize("name", SHAPES)
async def test_what_is_asked_for_is_what_the_golden_file_says(name: str) -> None:
    text = as_text(await asked_for(*SHAPES[name]))
    assert text == FOLDER.joinpath(f"{name}.yaml").read_text(), "python -m tests.spawning.golden writes them anew"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_asked_for_everybody_in_every_size_is_what_the_golden_file_says(kind: str) -> None:
    text = as_differences({name: await asked_for(choice) for name, choice in all_of(kind).items()})
    assert text == ALL.joinpath(f"{kind}.yaml").read_text(), "python -m tests.spawning.golden writes them anew"


def test_every_golden_file_has_a_shape() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(SHAPES)
    assert {file.stem for file in ALL.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", [name for name, (choice, _site) in SHAPES.items() if not choice.staff])
def test_no_golden_file_of_somebody_who_does_not_run_the_course_names_its_volume(name: str) -> None:
    assert "course--" not in FOLDER.joinpath(f"{name}.yaml").read_text()


@given(choices())
def test_the_course_volume_is_only_for_those_who_run_the_course_and_work_in_it(choice: Choice) -> None:
    asked = str([pod.volumes(choice), pod.mounts(choice), pod.claims(choice, SITE)])
    runs_it = choice.kind == "course" and choice.role in STAFF and choice.purpose == "work"
    assert ("course--" in asked) is runs_it
    assert (str(pod.COURSE) in asked) is runs_it


@given(choices())
def test_materials_are_written_by_those_who_run_the_course_alone(choice: Choice) -> None:
    mounts = [mount for mount in pod.mounts(choice) if mount["name"] == "materials"]
    assert [mount.get("readOnly", False) for mount in mounts] == ([not choice.staff] if choice.kind == "course" else [])


@given(choices())
async def test_every_choice_makes_a_pod_that_passes_the_last_look(choice: Choice) -> None:
    manifest = await manifest_of(choice)  # raises when it does not pass
    assert len(manifest["metadata"]["name"]) <= 63
    assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())


@given(choices(), choices())
def test_two_servers_share_a_name_only_when_they_are_the_same(one: Choice, other: Choice) -> None:
    names = [(pod.pod_name(c.hub_name, c.space, c.purpose), pod.home_name(c)) for c in (one, other)]
    same = (one.hub_name, one.space, one.purpose) == (other.hub_name, other.space, other.purpose)
    assert (names[0][0] == names[1][0]) is same
    assert (names[0][1] == names[1][1]) is same


@given(HUB_NAMES, HUB_NAMES, NAMES, NAMES)
def test_names_of_volumes_of_different_kinds_never_meet(hub_a: str, hub_b: str, space_a: str, space_b: str) -> None:
    homes = {pod.home_name(shape(hub_name=hub_a, space=space_a)), pod.home_name(shape(hub_name=hub_b, space=space_b))}
    assert not homes & {f(space) for f in (pod.materials_name, pod.course_name) for space in (space_a, space_b)}


@pytest.mark.parametrize("hub_name", ["", "a-b", "a--b", "A", "a.b", "../a", "a" * 33])
def test_no_name_is_made_from_what_is_no_hub_name(hub_name: str) -> None:
    with pytest.raises(ValueError, match="cannot be in the name"):
        pod.pod_name(hub_name, "ml-101", "work")


@pytest.mark.parametrize("space", ["", "a--b", "a-", "-a", "A", "a/b", "a" * 25])
def test_no_name_is_made_from_what_is_no_space(space: str) -> None:
    with pytest.raises(ValueError, match="cannot be in the name"):
        pod.materials_name(space)


def test_a_quarter_of_the_cores_and_all_memory_are_guaranteed_by_default() -> None:
    size = Size(title=CPU.title, cpus=2, memory_gib=4)
    assert pod.guarantees_of(size) == (0.5, 4 * 2**30)
    assert pod.guarantees_of(Size(title=CPU.title, cpus=0.001, memory_gib=1))[0] == 0.001
    assert pod.guarantees_of(CPU) == (0.1, 2**29)


def environment(choice: Choice) -> Mapping[str, str]:
    return pod.environment(choice, SITE, "https://lab.example/hub/home", "http://service:8080/services/lab/")


def test_only_servers_for_package_mirrors_are_shown_the_proxy() -> None:
    assert not [name for name in environment(shape()) if "proxy" in name.lower()]
    assert not [name for name in environment(shape(network_reach=NetworkReach.INTERNET)) if "proxy" in name.lower()]
    told = environment(shape(network_reach=NetworkReach.PACKAGE_MIRRORS))
    assert {told[name] for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")} == {"http://egress:3128"}
    inside = told["NO_PROXY"].split(",")
    assert told["no_proxy"] == told["NO_PROXY"]
    assert {"hub", "service", "lab.example", "localhost", "127.0.0.1", ".svc"} <= set(inside)


def test_a_server_without_a_gpu_sees_none() -> None:
    assert environment(shape())["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in environment(shape(**SLICED))


async def test_titles_are_told_as_they_are_written() -> None:
    title = "{x} $(JUPYTERHUB_API_TOKEN) %s {"
    manifest = await manifest_of(shape(title=Text(de=title, en=title)))
    told = {entry["name"]: entry.get("value") for entry in manifest["spec"]["containers"][0]["env"]}
    # Kubernetes makes $( of $$(, and puts no other variable there.
    assert told["KIRZL_LAB_SPACE_TITLE_EN"] == title.replace("$(", "$$(")


async def test_what_a_site_adds_to_every_server_stays() -> None:
    toleration = {"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    choice = shape(**WHOLLY)
    spawner = spawner_for(choice, tolerations=[toleration], node_selector={"pool": "people"})
    for _start in range(2):  # nothing piles up from one start to the next
        spec = (await spawner.manifest(choice))["spec"]
        assert [each["key"] for each in spec["tolerations"]] == [
            "hub.jupyter.org/dedicated",
            "nvidia.com/gpu",
            "gpu.example/for",
        ]
        assert spec["nodeSelector"] == {"pool": "people", "gpu.example/model": "h100"}


async def test_nothing_of_the_last_start_is_left_in_the_next() -> None:
    spawner = spawner_for(shape(role=Role.INSTRUCTOR, **WHOLLY), OTHER_SITE)
    await spawner.manifest(spawner.choice or shape())
    spawner.choice, spawner.of_site = shape(), SITE
    assert await spawner.manifest(shape()) == await manifest_of(shape())


# -- the last look ---------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]


def spec(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]
    return found


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["containers"][0]
    return found


def volume(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in manifest["spec"]["volumes"] if each["name"] == name)


def mount(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in container(manifest)["volumeMounts"] if each["name"] == name)


def variable(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in container(manifest)["env"] if each["name"] == name)


BROKEN: Mapping[str, Change] = {
    "another name": lambda m: m["metadata"].update(name="server-bcd234fgh--other"),
    "another namespace": lambda m: m["metadata"].update(namespace="kube-system"),
    "wider reach": lambda m: m["metadata"]["labels"].update({"kirzl-lab/network": "internet"}),
    "called staff": lambda m: m["metadata"]["labels"].update({"kirzl-lab/staff": "true"}),
    "another space": lambda m: m["metadata"]["labels"].update({"kirzl-lab/space": "dl-201"}),
    "a label of ours that is none": lambda m: m["metadata"]["labels"].update({"kirzl-lab/free": "yes"}),
    "no component": lambda m: m["metadata"]["labels"].pop("app.kubernetes.io/component"),
    "token": lambda m: spec(m).update(automountServiceAccountToken=True),
    "token by default": lambda m: spec(m).pop("automountServiceAccountToken"),
    "service account": lambda m: spec(m).update(serviceAccountName="hub"),
    "service links": lambda m: spec(m).pop("enableServiceLinks"),
    "host network": lambda m: spec(m).update(hostNetwork=True),
    "host processes": lambda m: spec(m).update(hostPID=True),
    "host ipc": lambda m: spec(m).update(hostIPC=True),
    "shared processes": lambda m: spec(m).update(shareProcessNamespace=True),
    "a node of its choice": lambda m: spec(m).update(nodeName="node-1"),
    "init container": lambda m: spec(m).update(initContainers=[{"name": "x", "image": "y"}]),
    "second container": lambda m: spec(m)["containers"].append({"name": "x", "image": "y"}),
    "container of another name": lambda m: container(m).update(name="x"),
    "restarts": lambda m: spec(m).update(restartPolicy="OnFailure"),
    "root": lambda m: spec(m)["securityContext"].update(runAsUser=0),
    "no security of the pod": lambda m: spec(m).pop("securityContext"),
    "no security": lambda m: container(m).pop("securityContext"),
    "privileged": lambda m: container(m)["securityContext"].update(privileged=True),
    "escalation": lambda m: container(m)["securityContext"].update(allowPrivilegeEscalation=True),
    "capability": lambda m: container(m)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "writable root": lambda m: container(m)["securityContext"].update(readOnlyRootFilesystem=False),
    "no seccomp": lambda m: container(m)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "host port": lambda m: container(m)["ports"][0].update(hostPort=80),
    "secret in a variable": lambda m: container(m)["env"].append({"name": "X", "valueFrom": {"secretKeyRef": {}}}),
    "all of a secret": lambda m: container(m).update(envFrom=[{"secretRef": {"name": "lab-secrets"}}]),
    "another image": lambda m: container(m).update(image="registry.example/other"),
    "sees all GPUs": lambda m: container(m)["env"].remove({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}),
    "a GPU": lambda m: container(m)["resources"]["limits"].update({"nvidia.com/gpu": "1"}),
    "a GPU asked for": lambda m: container(m)["resources"]["requests"].update({"nvidia.com/gpu": "1"}),
    "more memory": lambda m: container(m)["resources"]["limits"].update(memory=2**40),
    "no limits": lambda m: container(m).pop("resources"),
    "more guaranteed": lambda m: container(m)["resources"]["requests"].update(cpu=64),
    "resource claim": lambda m: spec(m).update(resourceClaims=[{"name": "gpu"}]),
    "runtime class": lambda m: spec(m).update(runtimeClassName="nvidia"),
    "raw device": lambda m: container(m).update(volumeDevices=[{"name": "home", "devicePath": "/dev/x"}]),
    "host path": lambda m: spec(m)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "host path for scratch": lambda m: volume(m, "tmp").update(hostPath={"path": "/"}),
    "secret volume": lambda m: spec(m)["volumes"].append({"name": "x", "secret": {"secretName": "lab-secrets"}}),
    "projected token": lambda m: spec(m)["volumes"].append({"name": "tmp", "projected": {}}),
    "somebody else's home": lambda m: volume(m, "home")["persistentVolumeClaim"].update(claimName="home-x--ml-101"),
    "course volume": lambda m: spec(m)["volumes"].append(
        {"name": "course", "persistentVolumeClaim": {"claimName": "course--ml-101"}}
    ),
    "course volume as materials": lambda m: volume(m, "materials")["persistentVolumeClaim"].update(
        claimName="course--ml-101"
    ),
    "course mounted": lambda m: container(m)["volumeMounts"].append({"name": "course", "mountPath": "/x"}),
    "a hook in the container": lambda m: container(m).update(lifecycle={"postStart": {"exec": {"command": ["x"]}}}),
    "another command": lambda m: container(m).update(command=["sleep"]),
    "other arguments": lambda m: container(m).update(args=["--ip=::"]),
    "a probe that asks elsewhere": lambda m: container(m).update(readinessProbe={"httpGet": {"host": "x", "port": 1}}),
    "restarts of the container": lambda m: container(m).update(restartPolicy="Always"),
    "another hub": lambda m: spec(m).update(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["hub"]}]),
    "the node's names": lambda m: spec(m).update(dnsPolicy="Default"),
    "other names": lambda m: spec(m).update(dnsConfig={"nameservers": ["1.2.3.4"]}),
    "before the cluster's own parts": lambda m: spec(m).update(priorityClassName="system-node-critical"),
    "an account by its old name": lambda m: spec(m).update(serviceAccount="hub"),
    "no time to end": lambda m: spec(m).update(terminationGracePeriodSeconds=0),
    "what is yet to be invented": lambda m: spec(m).update(hostEverything=True),
    "every taint tolerated": lambda m: spec(m).update(tolerations=[{"operator": "Exists"}]),
    "no home": lambda m: spec(m)["volumes"].remove(volume(m, "home")),
    "no home where it belongs": lambda m: container(m)["volumeMounts"].remove(mount(m, "home")),
    "a home twice": lambda m: container(m)["volumeMounts"].append(mount(m, "home") | {"mountPath": "/x"}),
    "a home to read": lambda m: mount(m, "home").update(readOnly=True),
    "no materials": lambda m: container(m)["volumeMounts"].remove(mount(m, "materials")),
    "part of a volume by a variable": lambda m: mount(m, "home").update(subPathExpr="$(JUPYTERHUB_USER)"),
    "scratch in memory": lambda m: volume(m, "tmp")["emptyDir"].update(medium="Memory"),
    "scratch without an end": lambda m: volume(m, "tmp")["emptyDir"].pop("sizeLimit"),
    "shared memory without an end": lambda m: volume(m, "shm")["emptyDir"].pop("sizeLimit"),
    "materials' volume to write": lambda m: volume(m, "materials")["persistentVolumeClaim"].pop("readOnly"),
    "never idle": lambda m: variable(m, "KIRZL_LAB_IDLE_HOURS").update(value="10000"),
    "idle for ever": lambda m: container(m)["env"].remove(variable(m, "KIRZL_LAB_IDLE_HOURS")),
    "idle hours written over": lambda m: container(m)["env"].append({"name": "KIRZL_LAB_IDLE_HOURS", "value": "9"}),
    "told of another space": lambda m: variable(m, "KIRZL_LAB_SPACE").update(value="other"),
    "a proxy": lambda m: container(m)["env"].append({"name": "https_proxy", "value": "http://1.2.3.4"}),
    "materials to write": lambda m: mount(m, "materials").pop("readOnly"),
    "home elsewhere": lambda m: mount(m, "home").update(mountPath="/etc"),
    "part of a volume": lambda m: mount(m, "home").update(subPath="../x"),
    "mounts that spread": lambda m: mount(m, "home").update(mountPropagation="Bidirectional"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_the_last_look_sees(what: str) -> None:
    manifest = await manifest_of(shape())
    assert pod_rules.must_hold(manifest, shape(), SITE) == []
    BROKEN[what](manifest)
    assert pod_rules.must_hold(manifest, shape(), SITE)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: container(m)["resources"]["limits"].pop("nvidia.com/gpu"),
        lambda m: container(m)["resources"]["limits"].update({"nvidia.com/gpu": "2"}),
        lambda m: container(m)["env"].append({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}),
        lambda m: spec(m).pop("runtimeClassName"),
        lambda m: spec(m).pop("nodeSelector"),
        lambda m: spec(m).pop("tolerations"),
        lambda m: spec(m)["tolerations"].pop(),
    ],
)
async def test_the_last_look_sees_a_gpu_that_is_not_the_one_chosen(change: Change) -> None:
    choice = shape(**WHOLLY)
    manifest = await manifest_of(choice)
    change(manifest)
    assert pod_rules.must_hold(manifest, choice, SITE)


async def test_the_last_look_sees_another_proxy() -> None:
    choice = shape(network_reach=NetworkReach.PACKAGE_MIRRORS)
    manifest = await manifest_of(choice)
    variable(manifest, "HTTPS_PROXY").update(value="http://1.2.3.4")
    assert any("HTTPS_PROXY" in said for said in pod_rules.must_hold(manifest, choice, SITE))


async def test_the_last_look_leaves_a_site_what_is_its_own() -> None:
    choice = shape(network_reach=NetworkReach.INTERNET)
    manifest = await manifest_of(choice)
    container(manifest)["env"].append({"name": "HTTPS_PROXY", "value": "http://proxy.example"})
    spec(manifest).update(
        affinity={"nodeAffinity": {}}, schedulerName="user-scheduler", priorityClassName="people", hostUsers=False
    )
    spec(manifest)["tolerations"] = [{"key": "pool", "operator": "Exists"}]
    assert pod_rules.must_hold(manifest, choice, SITE) == []


async def test_a_hook_of_a_site_cannot_weaken_a_pod() -> None:
    from kirzl_lab.spawning.cluster_api import TroubleError

    def hook(_spawner: object, made: Any) -> Any:
        made.spec.host_network = True
        return made

    with pytest.raises(TroubleError, match="hostNetwork"):
        await spawner_for(shape(), modify_pod_hook=hook).manifest(shape())
