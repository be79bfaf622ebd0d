"""The chart's policies and egress proxy as they render; whether they hold is tested on a cluster. Needs helm."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helm.test_chart import EXAMPLES, ONE_MACHINE, UNIVERSITY, Objects, changed, documents, templates
from tools import chart

pytestmark = pytest.mark.cluster

COMPONENT = "app.kubernetes.io/component"
SERVERS = "singleuser-server"
DOCUMENTATION = [ip_network(each) for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")]  # fmt: skip
"""They stand for the internet in tests, and lead nowhere in the real one."""


def policies(objects: Objects) -> dict[str, Mapping[str, Any]]:
    return {name: thing["spec"] for (kind, name), thing in objects.items() if kind == "NetworkPolicy"}


def rule_names(rule: Mapping[str, Any], end: str) -> set[str]:
    """The components that a rule names as the other end."""
    return {
        peer["podSelector"]["matchLabels"][COMPONENT]
        for peer in rule.get(end, [])
        if COMPONENT in peer.get("podSelector", {}).get("matchLabels", {})
    }


def ways(objects: Objects, direction: str, end: str) -> Iterator[tuple[str, str, int]]:
    """Every way between components of the lab that rules of one direction open: (from, to, port)."""
    for spec in policies(objects).values():
        here = spec["podSelector"].get("matchLabels", {}).get(COMPONENT)
        for rule in spec.get(direction, []):
            for there in rule_names(rule, end):
                for port in rule["ports"]:
                    yield (here, there, port["port"]) if direction == "egress" else (there, here, port["port"])


@EXAMPLES
def test_everything_is_closed_first(example: Path) -> None:
    objects = documents(chart.render(example))
    assert policies(objects)["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@EXAMPLES
def test_after_an_uninstall_everything_is_closed(example: Path) -> None:
    # Servers of people stay then. What opens goes, what closes stays.
    objects = documents(chart.render(example))
    kept = [
        name
        for (kind, name), thing in objects.items()
        if kind == "NetworkPolicy" and "helm.sh/resource-policy" in thing["metadata"].get("annotations", {})
    ]
    assert kept == ["default-deny"]


@EXAMPLES
def test_a_way_out_has_its_way_in_and_the_other_way_round(example: Path) -> None:
    objects = documents(chart.render(example))
    out, into = set(ways(objects, "egress", "to")), set(ways(objects, "ingress", "from"))
    assert len(out) >= 12
    # The front door lets everybody in, and names nobody.
    assert {way for way in out if way[1:] != ("proxy", 8000)} == {way for way in into if way[1:] != ("proxy", 8000)}


@EXAMPLES
def test_ways_lead_to_ports_that_somebody_listens_on(example: Path) -> None:
    objects = documents(chart.render(example))
    ports = {
        (template["metadata"]["labels"][COMPONENT], port["containerPort"])
        for _, template in templates(objects)
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    } | {(SERVERS, 8888)}
    assert {(to, port) for _, to, port in ways(objects, "egress", "to")} <= ports


@EXAMPLES
def test_people_have_no_way_to_the_databases(example: Path) -> None:
    found = policies(documents(chart.render(example)))
    staff = {"app.kubernetes.io/component": SERVERS, "kirzl-lab/staff": "true"}
    assert found["servers-staff"]["podSelector"]["matchLabels"] == staff  # who runs a course has its gradebook there
    assert {
        (to, port)
        for name, spec in found.items()
        if spec["podSelector"].get("matchLabels", {}).get(COMPONENT) == SERVERS and name != "servers-staff"
        for rule in spec["egress"]
        for to in rule_names(rule, "to")
        for port in (each["port"] for each in rule["ports"])
    } <= {("hub", 8081), ("proxy", 8000), ("service", 8080), ("egress", 3128)}
    into = [
        peer["podSelector"]["matchLabels"]
        for rule in found.get("postgres", {}).get("ingress", [])
        for peer in rule["from"]
    ]
    assert {labels[COMPONENT] for labels in into} <= {"hub", "service", "prepare", "tasks", "controller", SERVERS}
    assert [labels for labels in into if labels[COMPONENT] == SERVERS] == ([staff] if into else [])


def test_the_lab_database_of_a_site_can_be_named(tmp_path: Path) -> None:
    range_ = {"ipBlock": {"cidr": "10.5.0.0/24"}}
    values = changed(
        tmp_path, UNIVERSITY, lambda values: values.update(network={"database": {"to": [range_], "ports": [6432]}})
    )
    found = policies(documents(chart.render(values)))
    wanted = {"ports": [{"port": 6432, "protocol": "TCP"}], "to": [range_]}
    there = {name for name, spec in found.items() if wanted in spec.get("egress", [])}
    assert there == {"hub", "service", "prepare", "tasks", "controller", "servers-staff"}
    assert "postgres" not in found


# -- the internet ----------------------------------------------------------------------------------------------------


@cache
def internet() -> tuple[Mapping[str, Any], ...]:
    """The address blocks of network reach `internet` in a cluster with IPv6."""
    rendered = chart.render(UNIVERSITY, "--set=network.ipv6=true", "--set=network.forbidden={8.8.8.0/24,2a01:4f8::/32}")
    (rule,) = policies(documents(rendered))["servers-internet"]["egress"]
    assert set(rule) == {"to"}
    return tuple(peer["ipBlock"] for peer in rule["to"])


def is_open(address: IPv4Address | IPv6Address) -> bool:
    return any(
        address in ip_network(block["cidr"]) and not any(address in ip_network(part) for part in block["except"])
        for block in internet()
    )


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_the_internet_has_only_addresses_that_are_global(address: IPv4Address | IPv6Address) -> None:
    if is_open(address):
        assert address.is_global or any(address in each for each in DOCUMENTATION)
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_the_internet_has_all_that_are(address: IPv4Address) -> None:
    special = ("168.63.129.16/32", "192.0.0.0/24", "8.8.8.0/24", "240.0.0.0/4", "224.0.0.0/4")
    if address.is_global and not any(address in ip_network(each) for each in special):
        assert is_open(address)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "8.8.8.8",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2001::1",
        "2002:a00:1::",
        "2a01:4f8::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ],
)
def test_the_internet_has_no_place_inside(address: str) -> None:
    assert not is_open(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "9.9.9.9", "172.32.0.1", "2606:4700::1111", "2a01:4f9::1"])
def test_the_internet_has_its_places(address: str) -> None:
    assert is_open(ip_address(address))


def test_without_ipv6_there_is_no_such_block() -> None:
    # Some policy agents that know only IPv4 take ::/0 for 0.0.0.0/0.
    assert "::/" not in chart.render(UNIVERSITY, "--show-only=templates/network-policies.yaml")


# -- the hub's ways out ----------------------------------------------------------------------------------------------


def hub_rules(*options: str) -> list[Mapping[str, Any]]:
    rules: list[Mapping[str, Any]] = policies(documents(chart.render(UNIVERSITY, *options)))["hub"]["egress"]
    return rules


def test_the_api_server_is_where_the_site_says() -> None:
    options = ("--set=network.apiServer.ranges={203.0.113.0/28}", "--set=network.apiServer.ports={6443}")
    rule = {"ports": [{"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "203.0.113.0/28"}}]}
    assert rule in hub_rules(*options)
    # Nobody else finds a public one in the internet.
    assert "203.0.113.0/28" in policies(documents(chart.render(UNIVERSITY, *options)))["servers-internet"]["egress"][0]["to"][0]["ipBlock"]["except"]  # fmt: skip


def test_rendered_without_a_cluster_the_api_server_is_at_its_usual_ports() -> None:
    assert {"ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)]} in hub_rules()


def test_issuers_are_reached_at_the_ports_that_they_name(tmp_path: Path) -> None:
    def other_port(values: dict[str, Any]) -> None:
        name = next(iter(values["institutions"]["institutions"]))
        values["institutions"]["institutions"][name]["issuer"] = "https://login.uni.example:8443/realms/main"
        values["network"] = {"privateIssuers": ["10.7.0.0/16"]}

    rules = policies(documents(chart.render(changed(tmp_path, UNIVERSITY, other_port))))["hub"]["egress"]
    (issuers,) = [rule for rule in rules if {"ipBlock": {"cidr": "10.7.0.0/16"}} in rule.get("to", [])]
    assert {port["port"] for port in issuers["ports"]} == {443, 8443}


def test_the_front_door_can_be_narrowed_to_whoever_stands_before_it(tmp_path: Path) -> None:
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    values = changed(tmp_path, UNIVERSITY, lambda values: values.update(network={"frontDoor": [controller]}))
    before, after = (policies(documents(chart.render(each)))["proxy"]["ingress"][0] for each in (UNIVERSITY, values))
    assert "from" not in before
    assert controller in after["from"]
    assert rule_names(after, "from") == {SERVERS, "hub"}


# -- the egress proxy ------------------------------------------------------------------------------------------------


def test_without_mirrors_there_is_no_way_to_them(tmp_path: Path) -> None:
    objects = documents(
        chart.render(changed(tmp_path, ONE_MACHINE, lambda values: values["lab"].update(package_mirrors=[])))
    )
    assert not [name for _, name in objects if "egress" in name or "mirrors" in name]


@pytest.mark.parametrize(
    ("hosts", "listed"),
    [
        (["packages.example"], ["packages.example"]),
        ([".conda.example"], [".conda.example"]),
        # Squid drops a domain that it finds beside a host below it.
        ([".conda.example", "a.conda.example", "conda.example", ".b.conda.example"], [".conda.example"]),
        (["notconda.example", ".conda.example"], ["notconda.example", ".conda.example"]),
    ],
)
def test_hosts_are_listed_once(tmp_path: Path, hosts: list[str], listed: list[str]) -> None:
    values = changed(tmp_path, ONE_MACHINE, lambda values: values["lab"].update(package_mirrors=hosts))
    squid = documents(chart.render(values))["ConfigMap", "egress"]["data"]["squid.conf"]
    assert re.findall(r"^acl mirrors dstdomain -n (\S+)$", squid, re.MULTILINE) == listed


def test_squid_denies_the_places_that_the_policies_close(tmp_path: Path) -> None:
    network = {"forbidden": ["198.51.100.0/24"], "privateMirrors": ["10.8.0.0/24"]}
    values = changed(tmp_path, UNIVERSITY, lambda values: values.update(network=network))
    objects = documents(chart.render(values))
    squid = objects["ConfigMap", "egress"]["data"]["squid.conf"]
    (rule,) = [
        rule for rule in policies(objects)["egress"]["egress"] if {"port": 80, "protocol": "TCP"} in rule["ports"]
    ]
    assert set(re.findall(r"^acl inside\d+ dst (\S+)$", squid, re.MULTILINE)) > set(rule["to"][0]["ipBlock"]["except"])
    assert "198.51.100.0/24" in rule["to"][0]["ipBlock"]["except"]
    assert {"ipBlock": {"cidr": "10.8.0.0/24"}} in rule["to"]
    assert "acl ours dst 10.8.0.0/24" in squid
    assert "http_access deny inside !ours" in squid


def test_a_range_must_be_one(tmp_path: Path) -> None:
    values = changed(tmp_path, UNIVERSITY, lambda values: values.update(network={"forbidden": ["10.0.0.1"]}))
    with pytest.raises(chart.RefusedError, match="/network/forbidden/0"):
        chart.render(values)
