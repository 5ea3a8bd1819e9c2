"""What the collector of logs is told, in its own language, which nothing else here reads."""

from __future__ import annotations

import re

import yaml

from checks.gitops.tree import GITOPS, documents

VALUES = yaml.safe_load((GITOPS / "logs" / "collector" / "release.yaml").read_text())["spec"]["values"]
CONFIGURATION: str = VALUES["alloy"]["configMap"]["content"]


def block(head: str) -> str:
    """What stands between the braces of a block, which ends where a line has its indentation again."""
    found = re.search(rf"^( *){re.escape(head)} \{{\n(.*?)^\1\}}", CONFIGURATION, re.MULTILINE | re.DOTALL)
    assert found, head
    return found[2]


def test_each_collector_reads_the_pods_of_its_own_node() -> None:
    """One runs on each node: without the selection every line would be kept once for each of them."""
    assert VALUES["controller"]["type"] == "daemonset"
    selection = block('discovery.kubernetes "pods"')
    # HOSTNAME is the node's name in the chart's DaemonSet: templates/containers/_agent.yaml of chart alloy.
    assert re.search(r'role += "pod"\n +field += "spec\.nodeName=" \+ sys\.env\("HOSTNAME"\)', selection)


def test_every_line_is_known_by_the_pod_that_wrote_it() -> None:
    relabelled = block('discovery.relabel "pods"')
    assert set(re.findall(r'target_label +=\s"(\w+)"', relabelled)) == {"namespace", "pod", "container", "app"}
    assert "discovery.relabel.pods.output" in block('loki.source.kubernetes "pods"')


def test_what_is_read_and_received_is_passed_on_to_where_it_is_kept() -> None:
    assert "loki.write.logs.receiver" in block('loki.source.kubernetes "pods"')
    # https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
    assert 'url = "http://loki.logs.svc:3100/loki/api/v1/push"' in block('loki.write "logs"')
    assert "otelcol.processor.batch.traces.input" in block('otelcol.receiver.otlp "applications"')
    assert "otelcol.exporter.otlp.tempo.input" in block('otelcol.processor.batch "traces"')
    assert 'endpoint = "tempo.traces.svc:4317"' in block('otelcol.exporter.otlp "tempo"')


def test_a_collector_of_traces_refuses_before_it_runs_out_of_memory() -> None:
    """It ends at its start with a spike that is no less than the limit, and the limiter helps only in front.

    https://github.com/open-telemetry/opentelemetry-collector/tree/v0.158.0/processor/memorylimiterprocessor
    """
    [collector] = [one for _, one in documents(GITOPS / "opentelemetry") if one["kind"] == "OpenTelemetryCollector"]
    config = collector["spec"]["config"]
    limiter = config["processors"]["memory_limiter"]
    assert 0 < limiter["spike_limit_percentage"] < limiter["limit_percentage"] < 100
    for name, pipeline in config["service"]["pipelines"].items():
        assert pipeline["processors"][0] == "memory_limiter", name
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind]), name
