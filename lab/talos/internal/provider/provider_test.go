package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	secretsURN   = "urn:pulumi:dev::p::talos:machine/secrets:Secrets::s"
	applyURN     = "urn:pulumi:dev::p::talos:machine/configurationApply:ConfigurationApply::cp1"
	bootstrapURN = "urn:pulumi:dev::p::talos:machine/bootstrap:Bootstrap::b"
)

func quiet() *Provider { return New(func(string, string) {}) }

func mapOf(values map[string]any) resource.PropertyMap { return resource.NewPropertyMapFromMap(values) }

func check(t *testing.T, urn string, values resource.PropertyMap) []*pulumirpc.CheckFailure {
	t.Helper()

	news, err := encode("test", values)
	if err != nil {
		t.Fatal(err)
	}

	answer, err := quiet().Check(context.Background(), &pulumirpc.CheckRequest{Urn: urn, News: news})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetFailures()
}

func create(t *testing.T, urn string, preview bool, values resource.PropertyMap) resource.PropertyMap {
	t.Helper()

	news, err := encode("test", values)
	if err != nil {
		t.Fatal(err)
	}

	answer, err := quiet().Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn, Properties: news, Preview: preview})
	if err != nil {
		t.Fatal(err)
	}

	outputs, err := decode("test", answer.GetProperties())
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

func diff(t *testing.T, urn string, state, inputs resource.PropertyMap) *pulumirpc.DiffResponse {
	t.Helper()

	olds, err := encode("test", state)
	if err != nil {
		t.Fatal(err)
	}

	news, err := encode("test", inputs)
	if err != nil {
		t.Fatal(err)
	}

	answer, err := quiet().Diff(context.Background(), &pulumirpc.DiffRequest{Urn: urn, Olds: olds, News: news})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func generated(t *testing.T, kind string, patches ...any) (secrets resource.PropertyMap, configuration string) {
	t.Helper()
	secrets = create(t, secretsURN, false, mapOf(map[string]any{"talosVersion": "v1.13.0"}))

	configuration, err := generateConfiguration(mapOf(map[string]any{
		"clusterName": "lab", "clusterEndpoint": "https://127.31.3.1:6443", "machineType": kind, "talosVersion": "v1.13.0",
		"machineSecrets": plain(secrets["machineSecrets"]).ObjectValue().Mappable(), "configPatches": patches,
	}))
	if err != nil {
		t.Fatal(err)
	}
	return secrets, configuration
}

func TestAnUnknownPropertyIsNamed(t *testing.T) {
	failures := check(t, bootstrapURN, mapOf(map[string]any{"node": "n", "nodes": "x", "clientConfiguration": map[string]any{
		"caCertificate": "", "clientCertificate": "", "clientKey": "", "colour": "blue",
	}}))

	var names []string
	for _, failure := range failures {
		names = append(names, failure.GetProperty())
	}

	if strings.Join(names, " ") != "clientConfiguration.colour nodes" {
		t.Errorf("got failures for %q", names)
	}
}

func TestAnUnknownResourceTypeIsNamed(t *testing.T) {
	_, err := quiet().Check(context.Background(), &pulumirpc.CheckRequest{Urn: "urn:pulumi:dev::p::talos:machine/disk:Disk::d"})
	if err == nil || !strings.Contains(err.Error(), "talos:machine/disk:Disk") {
		t.Errorf("got %v", err)
	}
}

func TestMachineSecretsInSnakeCaseAreRefused(t *testing.T) {
	args, err := encode("test", mapOf(map[string]any{
		"clusterName": "lab", "clusterEndpoint": "https://x:6443", "machineType": "worker",
		"machineSecrets": map[string]any{"secrets": map[string]any{"bootstrap_token": "x"}},
	}))
	if err != nil {
		t.Fatal(err)
	}

	answer, err := quiet().Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: "talos:machine/getConfiguration:getConfiguration", Args: args})
	if err != nil {
		t.Fatal(err)
	}

	reasons := ""
	for _, failure := range answer.GetFailures() {
		reasons += failure.GetReason() + "\n"
	}

	if !strings.Contains(reasons, "Missing Configuration for Required Attribute machineSecrets.secrets.bootstrapToken") {
		t.Errorf("got %q", reasons)
	}
}

func TestGeneratedSecretsAreSecret(t *testing.T) {
	outputs := create(t, secretsURN, false, mapOf(nil))
	token := outputs["machineSecrets"].ObjectValue()["trustdinfo"].ObjectValue()["token"]
	key := outputs["clientConfiguration"].ObjectValue()["clientKey"]
	if !token.IsSecret() || !key.IsSecret() {
		t.Error("a secret of the schema is not marked")
	}
}

func TestAPreviewOfSecretsIsUnknown(t *testing.T) {
	outputs := create(t, secretsURN, true, mapOf(map[string]any{"talosVersion": "v1.13.0"}))
	if !unknown(outputs["machineSecrets"]) || !unknown(outputs["clientConfiguration"]) {
		t.Errorf("got %v", outputs)
	}
}

func TestSecretsAreReplacedOnlyByAnOlderVersion(t *testing.T) {
	state := create(t, secretsURN, false, mapOf(map[string]any{"talosVersion": "v1.12.0"}))
	if newer := diff(t, secretsURN, state, mapOf(map[string]any{"talosVersion": "v1.13.0"})); len(newer.GetReplaces()) > 0 || newer.GetChanges() != pulumirpc.DiffResponse_DIFF_SOME {
		t.Errorf("a newer version: %v", newer)
	}

	if older := diff(t, secretsURN, state, mapOf(map[string]any{"talosVersion": "v1.11.0"})); len(older.GetReplaces()) != 1 {
		t.Errorf("an older version: %v", older)
	}

	if same := diff(t, secretsURN, state, mapOf(map[string]any{"talosVersion": "v1.12.0"})); same.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("the same version: %v", same)
	}
}

func TestThePlannedConfigurationHoldsThePatches(t *testing.T) {
	secrets, configuration := generated(t, "controlplane")
	planned := create(t, applyURN, true, mapOf(map[string]any{
		"node": "127.31.1.1", "machineConfigurationInput": configuration,
		"clientConfiguration": plain(secrets["clientConfiguration"]).ObjectValue().Mappable(),
		"configPatches":       []any{"machine: {nodeLabels: {lab/x: y}}"},
	}))
	if !planned["machineConfiguration"].IsSecret() || !strings.Contains(str(planned, "machineConfiguration"), "lab/x: \"y\"") {
		t.Error("the patched configuration is missing, or not secret")
	}

	if str(planned, "endpoint") != "127.31.1.1" || str(planned, "resolvedApplyMode") != "auto" {
		t.Errorf("defaults are missing: %v", planned)
	}
}

func TestAnUnknownNodeLeavesThePlanUnknown(t *testing.T) {
	values := mapOf(map[string]any{"clientConfiguration": map[string]any{"caCertificate": "", "clientCertificate": "", "clientKey": ""}})
	values["node"], values["machineConfigurationInput"] = computed(), computed()
	planned := create(t, applyURN, true, values)
	if !unknown(planned["endpoint"]) || !unknown(planned["machineConfiguration"]) {
		t.Errorf("got %v", planned)
	}
}

func TestGeneratedConfigurationHasTheDocumentsOfItsContract(t *testing.T) {
	_, configuration := generated(t, "controlplane", "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 127.31.3.1\nlink: eth0")
	for _, want := range []string{"kind: HostnameConfig", "kind: Layer2VIPConfig", "type: controlplane"} {
		if !strings.Contains(configuration, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestInvalidArgumentEndsTheRetries(t *testing.T) {
	calls := 0
	err := retry(context.Background(), nil, "create", func(context.Context) error {
		calls++
		return status.Error(codes.InvalidArgument, "no")
	})
	if calls != 1 || status.Code(err) != codes.InvalidArgument {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestTheTimeoutOfTheResourceEndsTheRetries(t *testing.T) {
	state := mapOf(map[string]any{"timeouts": map[string]any{"create": "600ms"}})
	start := time.Now()
	err := retry(context.Background(), state, "create", func(context.Context) error { return status.Error(codes.AlreadyExists, "there") })
	if err == nil || !strings.Contains(err.Error(), "there") || time.Since(start) > 3*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}

func TestCancelEndsTheRetries(t *testing.T) {
	p := quiet()
	ctx, done := p.work(context.Background())
	defer done()

	time.AfterFunc(300*time.Millisecond, p.Stop)

	start := time.Now()
	err := retry(ctx, nil, "create", func(context.Context) error { return status.Error(codes.Unavailable, "off") })
	if !errors.Is(err, errCancelled) || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}
