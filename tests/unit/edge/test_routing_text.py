"""What the router's configuration says of a request, line by line: each of them decides who gets it, or who sent it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from components.edge.routing import Backend, Routing

INGRESS = IPv4Address("10.0.3.2")


def routing() -> Routing:
    return Routing(
        cluster="cluster.example.org", ingress=Backend([INGRESS], 443), ingress_http=Backend([INGRESS], 80), sites={}
    )


def stream() -> set[str]:
    return {line.strip() for line in routing().stream()}


def http() -> set[str]:
    return {line.strip() for line in routing().http()}


def test_a_name_is_read_before_the_connection_is_passed_on() -> None:
    # Without it the variable that the map looks at is empty.
    assert "ssl_preread on;" in stream()


def test_names_below_the_domain_are_compared_as_names() -> None:
    # `.example.org` means all below it only where `hostnames` says that these are names:
    # https://nginx.org/en/docs/stream/ngx_stream_map_module.html
    assert {"hostnames;", ".cluster.example.org homelab_cluster;"} <= stream()


def test_a_name_below_the_domain_is_answered_on_port_80_too() -> None:
    # An application's challenge by HTTP-01 comes there; the dot stands for the domain and all below it:
    # https://nginx.org/en/docs/http/server_names.html#wildcard_names
    assert {"listen 80;", "server_name .cluster.example.org;"} <= http()


def test_a_quiet_connection_is_kept_for_as_long_as_a_websocket_needs() -> None:
    assert "proxy_timeout 1h;" in stream()


@pytest.mark.parametrize(
    "line",
    [
        "proxy_set_header Host $host;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
    ],
)
def test_the_ingress_learns_which_host_was_asked_and_by_whom(line: str) -> None:
    # `$host` is what the client asked for; the value is set anew, so that no client can claim another address.
    assert line in http()
