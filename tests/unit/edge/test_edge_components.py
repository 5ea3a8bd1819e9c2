"""What the edge's components refuse, and the text that they render."""

from __future__ import annotations

import ast
import re
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from components.edge.headscale_nodes import Tailnet
from components.edge.headscale_routes import HeadscaleRoutesArgs
from components.edge.on_host import nginx, powerdns
from components.edge.routing import Backend, Routing
from components.edge.secondary import EdgeSecondaryArgs
from components.edge.ssh import SshHost, text_of

ON_HOST = Path(nginx.__file__).parent
HOST = SshHost(host="192.0.2.1", private_key="k")
ONE, TWO = IPv4Address("10.0.3.2"), IPv4Address("10.0.3.22")


def routing(**changes: Any) -> Routing:
    known: dict[str, Any] = {
        "cluster": "cluster.example.org",
        "ingress": Backend([ONE], 443),
        "ingress_http": Backend([ONE], 80),
        "sites": {},
    }
    return Routing(**known | changes)


def test_the_only_address_of_a_backend_is_never_set_aside() -> None:
    assert "    server 10.0.3.2:443 max_fails=0;" in Backend([ONE], 443).upstream("one")


def test_one_of_several_addresses_is_set_aside_for_a_while() -> None:
    assert "    server 10.0.3.22:443 max_fails=1 fail_timeout=10s;" in Backend([ONE, TWO], 443).upstream("two")


def test_a_name_and_all_below_it_go_to_the_cluster() -> None:
    assert "        .cluster.example.org homelab_cluster;" in routing().stream()


def test_other_names_go_nowhere_unless_they_are_told_where() -> None:
    assert '        default "";' in routing().stream()
    assert "        default homelab_otherwise;" in routing(otherwise=Backend([TWO], 443)).stream()


def test_ipv6_is_listened_on() -> None:
    lines = [line.strip() for line in [*routing().stream(), *routing().http()]]
    assert [line for line in lines if "[::]" in line] == ["listen [::]:443;", "listen [::]:80;"]


def test_ipv6_is_left_out_where_the_host_has_none() -> None:
    assert "[::]" not in str([routing(ipv6=False).stream(), routing(ipv6=False).http()])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Backend([], 443), "addresses: none"),
        (lambda: Backend([ONE], 0), "port: 0 is not a TCP port"),
        (lambda: routing(cluster="Cluster.example.org"), "'Cluster.example.org' is not a server name"),
        (lambda: routing(sites={"a; }": Backend([ONE], 443)}), "is not a server name"),
        (lambda: routing(sites={"a.cluster.example.org": Backend([ONE], 443)}), "lies below cluster.example.org"),
        (lambda: routing(sites={"*.cluster.example.org": Backend([ONE], 443)}), "lies below cluster.example.org"),
    ],
)
def test_a_route_that_cannot_work_is_refused(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        make()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"primaries": []}, "primaries: none"),
        ({"zone": "cluster.example.org."}, "without a final dot"),
        ({"zone": "Cluster.example.org"}, "lower case"),
    ],
)
def test_a_secondary_that_cannot_work_is_refused(changes: dict[str, Any], says: str) -> None:
    known: dict[str, Any] = {
        "host": HOST,
        "zone": "cluster.example.org",
        "primaries": [ONE],
        "notified_by": [IPv4Network("100.64.0.0/10")],
    }
    with pytest.raises(ValueError, match=says):
        EdgeSecondaryArgs(**known | changes)


def test_a_tailnet_without_tags_is_refused() -> None:
    with pytest.raises(ValueError, match="any machine of a node's name would be taken for it"):
        Tailnet(host=HOST, nodes=["worker-0"], tags=[])


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"routers": ["router"]}, "not among the tailnet's nodes: router"), ({"routes": []}, "routes: none")],
)
def test_routes_that_cannot_be_approved_are_refused(changes: dict[str, Any], says: str) -> None:
    tailnet = Tailnet(host=HOST, nodes=["controlplane-0"], tags=["tag:cluster-router"])
    known: dict[str, Any] = {
        "tailnet": tailnet,
        "routers": ["controlplane-0"],
        "routes": [IPv4Network("10.0.3.0/27")],
    }
    with pytest.raises(ValueError, match=says):
        HeadscaleRoutesArgs(**known | changes)


@pytest.mark.parametrize("path", sorted(ON_HOST.glob("*.py")), ids=lambda path: path.stem)
def test_a_program_for_hosts_is_written_for_python_3_9_and_its_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    named = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named_whole = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {(node.level, node.module) for node in named if node.level} <= {(1, "common")}
    assert {(node.module or "").split(".")[0] for node in named if not node.level} <= sys.stdlib_module_names
    assert {name.split(".")[0] for name in named_whole} <= sys.stdlib_module_names


@pytest.mark.parametrize("program", ["nginx", "powerdns", "headscale"])
def test_what_is_sent_is_python_whatever_its_values_hold(program: str) -> None:
    text = text_of(program, """{"text": "'''; import this; '''\\n\\\\"}""")
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import)]
    assert [name.name for node in imports for name in node.names] == ["json", "sys", "types"]


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("listen 443 ssl;", 443),
        ("server { listen [::]:443 ssl http2; }", 443),
        ("listen 192.0.2.1:8443;", 8443),
        ("listen localhost;", 80),
        ("\tlisten\t443;", 443),
    ],
)
def test_a_port_that_a_site_listens_on_is_found(line: str, port: int) -> None:
    assert nginx.ports(line) == {port}


@pytest.mark.parametrize("line", ["# listen 443;", "listen unix:/run/site.sock;", "server_name listen443.example.org;"])
def test_what_only_looks_like_a_port_is_not(line: str) -> None:
    assert nginx.ports(line) == set()


def test_settings_of_powerdns_are_read_in_order() -> None:
    first = powerdns.parsed("# comment\nlaunch=gsqlite3 # backend\nsecondary=no\n", {})
    assert powerdns.parsed("secondary=yes\nlaunch+=bind\n", first) == {"launch": "gsqlite3, bind", "secondary": "yes"}
