"""Who reaches whom: the chart's policies on a cluster that enforces them, with stand-ins for the lab's parts.

Every source is tried against every destination, before the policies and with them. People's servers have the labels
that `spawning.pod` gives them; the egress proxy is the real one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ruamel.yaml import YAML

from images import build, plan
from kirzl_lab.catalog.models import NetworkReach
from kirzl_lab.spawning import pod as server_pod
from kirzl_lab.spawning.site import ClusterSite
from tests.cluster.lab.internet import INSIDE, MIRROR, PUBLIC, internet
from tests.cluster.lab.stand_in import StandIn, pod, stand_in
from tests.cluster.space import Space, eventually
from tests.spawning.samples import a_choice
from tools import chart
from tools.onenode import api, images, network, paths

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NAMES = {
    "mirror": PUBLIC[2],
    "below": PUBLIC[0],
    "rebound": INSIDE["a private network"],
    "ours": MIRROR,
    "other": PUBLIC[1],
}
"""Names that the cluster's DNS knows, each below the namespace's, and what they mean."""

SERVERS = tuple(f"a server with {reach}" for reach in NetworkReach)
LAB = {"DNS", "hub", "proxy", "service"}
INTERNET = {f"{address}:{port}" for address in PUBLIC for port in (80, 443, 8080)}
HTTPS = {f"{address}:443" for address in PUBLIC}
REACHES: dict[str, set[str]] = {
    "a server with none": LAB,
    "a server with package-mirrors": LAB | {"egress"},
    "a server with internet": LAB | INTERNET,
    "proxy": {"DNS", "hub", "service", "another server", "demo institutions", "proxy's routes"},
    "hub": {"DNS", "service", "postgres", "another server", "proxy", "proxy's routes", "API server", "its Service"}
    | HTTPS,
    "service": {"DNS", "hub", "postgres"},
    "prepare": {"DNS", "postgres"},
    "tasks": {"DNS", "postgres"},
    "controller": {"DNS", "postgres", "API server", "its Service"},
    "a server of staff": LAB | {"postgres"},
    "postgres": set(),
    "demo-institutions": set(),
    "a pod of nobody": set(),
    "egress": {"DNS", "the site's mirror"} | {f"{address}:{port}" for address in PUBLIC for port in (80, 443)},
}
"""Everything that each may reach; what is not here, it may not."""

HOW_TO = chart.REPOSITORY / "docs" / "how-to" / "cluster" / "network.md"

COMPONENTS = {
    "hub": (8081, 8888),
    "proxy": (8000, 8001),
    "service": (8080,),
    "postgres": (5432,),
    "demo-institutions": (9400,),
    "prepare": (),
    "tasks": (8090,),
    "controller": (),
}


def load(name: str) -> str:
    """The reference of an image of the lab, loaded into the cluster."""
    image = build.described(plan.BY_NAME[name], plan.Choices())
    if image.reference not in images.present():
        images.load(image.archive)
    return image.reference


def labels_of(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "kirzl-lab",
        "app.kubernetes.io/instance": "lab",
        "app.kubernetes.io/component": component,
    }


def labels_of_server(reach: NetworkReach, space: Space) -> dict[str, str]:
    site = ClusterSite(
        namespace=space.name, release="lab", images={}, hub_url="http://hub", service_url="http://service", proxy_api_url="http://proxy-api"
    )  # fmt: skip
    labels = server_pod.labels(a_choice(network_reach=reach), site)
    return labels | {server_pod.COMPONENT: server_pod.SERVER_COMPONENT}


@dataclass(frozen=True)
class Walls:
    """The lab's network, with what was reached before there were policies."""

    space: Space
    sources: Mapping[str, StandIn]
    destinations: Mapping[str, str]
    before: Mapping[str, set[str]]
    authority: Path

    def host(self, name: str) -> str:
        """A name of `NAMES` in full."""
        return f"{name}.{self.space.name}.svc.cluster.local"

    def egress(self) -> Any:
        (found,) = json.loads(
            self.space.kubectl("get", "pods", f"--selector={server_pod.COMPONENT}=egress", "--output=json")
        )["items"]
        return found


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """The files of a certificate of its own for these names, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "outside")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "outside.pem", folder / "outside.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def named(name: str, address: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Service without pods: its name means this address, and so does `a.NAME`."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": "None", "ports": [{"port": 443}]},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "hostname": "a", "conditions": {"ready": True}}],
        "ports": [{"port": 443}],
    }
    return service, endpoints


def service_of(component: str, *ports: int) -> dict[str, Any]:
    """The Service of a part of the lab."""
    spec = {"selector": labels_of(component), "ports": [{"port": port, "name": f"p{port}"} for port in ports]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": component}, "spec": spec}


def rendered(space: Space, folder: Path, image: str) -> tuple[str, str]:
    """The chart's policies and egress proxy, with what it looks up in the cluster."""
    values = YAML(typ="safe").load((chart.CHART / "examples" / "one-machine.yaml").read_text("utf-8"))
    domain = f"{space.name}.svc.cluster.local"
    values["lab"]["package_mirrors"] = [
        *(f"{name}.{domain}" for name in ("mirror", "rebound", "ours", "a.below")),
        f".below.{domain}",
    ]
    values["images"]["references"] = {"egress": image}
    values["network"] = {"privateMirrors": [f"{MIRROR}/32"], "forbidden": [f"{INSIDE['what the site forbids']}/32"]}
    file = folder / "values.json"
    file.write_text(json.dumps(values), "utf-8")
    looked_up = ("--dry-run=server", f"--kubeconfig={paths.KUBECONFIG}")

    def of(template: str) -> str:
        return chart.render(file, *looked_up, f"--show-only=templates/{template}.yaml", namespace=space.name)

    return of("network-policies"), of("egress")


@pytest.fixture(scope="module")
def walls(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walls]:
    folder = tmp_path_factory.mktemp("network")
    image = load("egress")
    space, elsewhere = Space(f"test-{token_hex(4)}"), Space(f"test-{token_hex(4)}")
    with ExitStack() as stack:
        for each in (space, elsewhere):
            api.kubectl("create", "namespace", each.name)
            stack.callback(api.kubectl, "delete", "namespace", each.name, "--wait=false")
        domain = f"{space.name}.svc.cluster.local"
        files = certificate(folder, f"mirror.{domain}", f"a.below.{domain}", f"ours.{domain}")
        stack.enter_context(internet(*map(str, files)))

        policies, egress = rendered(space, folder, image)
        space.apply(*(thing for name, address in NAMES.items() for thing in named(name, address)))
        space.kubectl("apply", "--filename=-", given=egress)
        space.apply(*(service_of(name, *ports) for name, ports in COMPONENTS.items() if ports))
        sources = {name: stand_in(space, image, name, labels_of(name), ports) for name, ports in COMPONENTS.items()}
        for reach in NetworkReach:
            labels = labels_of_server(reach, space)
            sources[f"a server with {reach}"] = stand_in(space, image, f"server-{reach}", labels, [8888])
        staff = labels_of_server(NetworkReach.NONE, space) | {"kirzl-lab/staff": "true"}
        sources["a server of staff"] = stand_in(space, image, "server-staff", staff, [8888])
        sources["a pod of nobody"] = stand_in(space, image, "nobody", {}, [8888])
        stand_in(space, image, "server-other", labels_of_server(NetworkReach.NONE, space), [8888])
        neighbour = stand_in(elsewhere, image, "neighbour", {}, [8888])
        space.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "pod", "--all")
        elsewhere.ready("neighbour")
        (egress_pod,) = space.kubectl(
            "get", "pods", f"--selector={server_pod.COMPONENT}=egress", "--output=name"
        ).split()
        sources["egress"] = StandIn(space, egress_pod.removeprefix("pod/"))

        dns = api.get("--namespace=kube-system", "pods", "--selector=k8s-app=kube-dns")["items"][0]["status"]["podIP"]
        destinations = {
            "DNS": f"{network.DNS_SERVICE}:53",
            "hub": f"{space.address('hub')}:8081",
            "proxy": f"{space.address('proxy')}:8000",
            "service": f"{space.address('service')}:8080",
            "egress": f"{space.address(sources['egress'].name)}:3128",
            "postgres": f"{space.address('postgres')}:5432",
            "tasks": f"{space.address('tasks')}:8090",
            "proxy's routes": f"{space.address('proxy')}:8001",
            "demo institutions": f"{space.address('demo-institutions')}:9400",
            "another server": f"{space.address('server-other')}:8888",
            "another port of the hub": f"{space.address('hub')}:8888",
            "a pod of nobody": f"{space.address('nobody')}:8888",
            "another namespace": f"{elsewhere.address('neighbour')}:8888",
            "another port of the DNS": f"{dns}:8181",
            "API server": f"{network.NODE_ADDRESS}:{network.API_PORT}",
            "its Service": f"{network.API_SERVICE}:443",
            "kubelet": f"{network.NODE_ADDRESS}:10250",
            "the site's mirror": f"{MIRROR}:443",
            **{name: f"{address}:80" for name, address in INSIDE.items()},
            **{place: place for place in INTERNET},
        }
        before = {name: source.reached(destinations) for name, source in sources.items()}
        space.kubectl("apply", "--filename=-", given=policies)
        # The policy agent takes one pod after the other.
        for source in [*sources.values()]:
            eventually(lambda: not source.reached({"it": destinations["kubelet"]}), f"the walls of {source.name}")  # noqa: B023
        eventually(lambda: not neighbour.reached({"it": destinations["hub"]}), "the walls of the hub")
        yield Walls(space, {**sources, "another namespace": neighbour}, destinations, before, files[0])


@pytest.mark.parametrize("source", REACHES)
def test_without_policies_everything_is_reached(walls: Walls, source: str) -> None:
    # Else what follows would show nothing.
    assert walls.before[source] == set(walls.destinations)


@pytest.mark.parametrize("source", REACHES)
def test_everybody_reaches_what_they_need_and_nothing_else(walls: Walls, source: str) -> None:
    here = walls.space.address(walls.sources[source].name)
    others = {name: address for name, address in walls.destinations.items() if not address.startswith(f"{here}:")}
    assert walls.sources[source].reached(others) == REACHES[source] & set(others)


def test_another_namespace_reaches_the_front_door_alone(walls: Walls) -> None:
    inside = {name for name, address in walls.destinations.items() if address.startswith("10.244.")}
    reached = walls.sources["another namespace"].reached(walls.destinations)
    assert reached & inside == {"proxy", "another namespace", "another port of the DNS"}


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_asks_the_dns(walls: Walls, server: str) -> None:
    said = walls.sources[server].run("import socket; print(socket.gethostbyname('mirror'))")
    assert said == f"{PUBLIC[2]}\n"


@pytest.mark.parametrize(
    ("server", "opened"),
    [
        ("a server with none", set()),
        ("a server with package-mirrors", {"egress:3128"}),
        ("a server with internet", {"1.1.1.1:443"}),
    ],
)
def test_what_operators_are_told_to_try_says_what_they_are_told(walls: Walls, server: str, opened: set[str]) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    # This cluster has no way out: an address of the stand-in for the internet takes the place of a real one.
    said = walls.sources[server].run(script.replace("1.1.1.1", PUBLIC[0])).replace(PUBLIC[0], "1.1.1.1")
    lines = dict(line.split(" ") for line in said.splitlines())
    assert len(lines) == 8
    assert {place for place, state in lines.items() if state == "open"} == {"hub:8081", "service:8080"} | opened


def test_the_commands_for_operators_work(walls: Walls) -> None:
    commands = re.findall(r"^\$ kubectl --namespace kirzl-lab (.*)$", HOW_TO.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        walls.space.kubectl(*command.split())


# -- the egress proxy ----------------------------------------------------------------------------------------------

ASK = """
import json, ssl, sys, urllib.error, urllib.request
proxies = urllib.request.ProxyHandler({"http": sys.argv[1], "https": sys.argv[1]})
trusting = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
opener = urllib.request.build_opener(proxies, trusting)
def ask(url):
    try:
        return opener.open(url, timeout=20).status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError as problem:
        return 403 if "403 Forbidden" in str(problem) else str(problem)
print(json.dumps([ask(url) for url in sys.argv[2:]]))
"""
RAW = """
import json, socket, sys
def ask(request):
    with socket.create_connection((sys.argv[1], 3128), 10) as connection:
        connection.sendall(request.encode() + b"\\r\\n\\r\\n")
        return int(connection.recv(100).split()[1])
print(json.dumps([ask(request) for request in sys.argv[2:]]))
"""


def test_with_package_mirrors_only_the_named_hosts_answer(walls: Walls) -> None:
    mirror, other = walls.host("mirror"), walls.host("other")
    expected = {
        f"http://{mirror}/": 200,
        f"https://{mirror}/": 200,
        f"https://a.{walls.host('below')}/": 200,
        f"https://{walls.host('ours')}/": 200,
        f"http://{other}/": 403,
        f"https://{other}/": 403,
        # A name of the list that means an address inside.
        f"http://{walls.host('rebound')}/": 403,
        f"https://{walls.host('rebound')}/": 403,
        # An address whose owner says backwards that it is a name of the list.
        f"https://{PUBLIC[0]}/": 403,
        # The host by its address, and what is nobody's business.
        f"https://{PUBLIC[2]}/": 403,
        f"http://{INSIDE['the metadata address']}/": 403,
        f"https://{network.API_SERVICE}/": 403,
        f"http://hub.{walls.space.name}.svc.cluster.local:8081/": 403,
        # Other ports.
        f"http://{mirror}:8080/": 403,
        f"https://{mirror}:8080/": 403,
        f"http://{mirror}:443/": 403,
    }
    server = walls.sources["a server with package-mirrors"]
    answers = json.loads(server.run(ASK, "http://egress:3128", *expected))
    assert dict(zip(expected, answers, strict=True)) == expected


def test_the_egress_proxy_does_nothing_else(walls: Walls) -> None:
    mirror = walls.host("mirror")
    expected = {
        f"HEAD http://{mirror}/ HTTP/1.0": 501,  # of the stand-in for the internet, which knows GET
        f"POST http://{mirror}/ HTTP/1.0\r\nContent-Length: 0": 403,
        f"PUT http://{mirror}/ HTTP/1.0\r\nContent-Length: 0": 403,
        f"TRACE http://{mirror}/ HTTP/1.0": 403,
        f"CONNECT {mirror}:80 HTTP/1.1": 403,
        f"GET ftp://{mirror}:80/ HTTP/1.0": 403,
        # Squid's own pages, which would tell who asks for what.
        f"GET cache_object://{mirror}:80/info HTTP/1.0": 403,
        f"GET http://{mirror}/squid-internal-mgr/info HTTP/1.0": 403,
        "GET /squid-internal-mgr/info HTTP/1.0\r\nHost: egress": 403,
    }
    server = walls.sources["a server with package-mirrors"]
    answers = json.loads(server.run(RAW, "egress", *expected))
    assert dict(zip(expected, answers, strict=True)) == expected


def test_outside_nothing_is_told_of_the_one_who_asks(walls: Walls) -> None:
    script = f"import urllib.request as r; print(r.build_opener(r.ProxyHandler({{'http': 'http://egress:3128'}})).open('http://{walls.host('mirror')}/').read().decode())"
    told = json.loads(walls.sources["a server with package-mirrors"].run(script))
    assert told["from"] == walls.egress()["status"]["podIP"]
    assert {"via", "x-forwarded-for", "forwarded"}.isdisjoint(name.lower() for name in told["headers"])
    assert walls.space.address("server-package-mirrors") not in json.dumps(told)


def test_the_log_says_who_asked_which_host_and_how_much_and_no_more(walls: Walls) -> None:
    server, word = walls.sources["a server with package-mirrors"], token_hex(8)
    urls = [f"http://{walls.host('mirror')}/{word}?{word}", f"https://{walls.host('other')}/{word}"]
    before = len(log_of(walls))
    server.run(ASK, "http://egress:3128", *urls)
    allowed, denied = eventually(lambda: lines if len(lines := log_of(walls)[before:]) >= 2 else [], "the log")
    assert word not in json.dumps([allowed, denied])
    who = walls.space.address("server-package-mirrors")
    assert {
        "who": who,
        "method": "GET",
        "host": walls.host("mirror"),
        "port": "80",
        "status": 200,
    }.items() <= allowed.items()
    assert {"who": who, "method": "CONNECT", "host": walls.host("other"), "status": 403}.items() <= denied.items()
    assert allowed["received"] > 100
    assert datetime.fromisoformat(allowed["time"]).tzinfo is not None


def log_of(walls: Walls) -> list[dict[str, Any]]:
    """The lines of the egress proxy's log; each must be JSON."""
    lines = walls.space.kubectl("logs", walls.sources["egress"].name).splitlines()
    return [json.loads(line) for line in lines if not line.startswith("20")]


def test_squid_finds_nothing_wrong_with_its_configuration(walls: Walls) -> None:
    said = walls.space.kubectl(
        "exec", walls.sources["egress"].name, "--", "sh", "-c", "squid -k parse -d 1 2>&1; echo $?"
    )
    *lines, status = said.splitlines()
    assert status == "0", said
    assert any("acl mirrors dstdomain -n .below" in line for line in lines), said
    wrong = [line for line in lines if any(word in line for word in ("WARNING", "ERROR", "FATAL"))]
    assert [line for line in wrong if "requires the use of Via" not in line] == []


def test_pip_installs_from_a_named_mirror_and_from_nowhere_else(walls: Walls) -> None:
    labels = labels_of_server(NetworkReach.PACKAGE_MIRRORS, walls.space)
    proxy = {name: "http://egress:3128" for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")}
    told = {
        **proxy,
        "HOME": "/tmp",
        "PIP_CERT": "/tmp/outside.pem",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_RETRIES": "0",
    }
    variables = [{"name": name, "value": value} for name, value in told.items()]
    walls.space.apply(pod("server-pip", load("notebook"), ["sleep", "infinity"], labels, env=variables))
    walls.space.ready("server-pip")

    def run(*command: str, given: str | None = None) -> str:
        return walls.space.kubectl("exec", "--stdin", "server-pip", "--", *command, given=given)

    run("sh", "-c", "cat > /tmp/outside.pem", given=walls.authority.read_text("utf-8"))
    install = ("python", "-m", "pip", "install", "--target=/tmp/packages", "tinylab")
    with pytest.raises(api.KubectlError):
        run(*install, f"--index-url=https://{walls.host('other')}/simple")
    run(*install, f"--index-url=https://{walls.host('mirror')}/simple")
    assert run("env", "PYTHONPATH=/tmp/packages", "python", "-c", "import tinylab; print(tinylab.answer)") == "42\n"
    # Past the proxy there is no way, even to the same mirror.
    with pytest.raises(api.KubectlError):
        run(
            "env",
            *(f"--unset={name}" for name in proxy),
            *install,
            f"--index-url=https://{walls.host('mirror')}/simple",
            "--upgrade",
            "--force-reinstall",
            "--timeout=3",
        )
