package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func kubeconfig(server, user string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: %q, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: %q}}]
current-context: x
`, server, user, user)
}

func diffConfig(t *testing.T, olds, news props) *pulumirpc.DiffResponse {
	t.Helper()
	s := open(t)
	diff, err := s.DiffConfig(t.Context(), &pulumirpc.DiffRequest{
		Urn: "urn:pulumi:t::t::pulumi:providers:kubernetes::k", Olds: s.pack(olds), News: s.pack(news),
	})
	if err != nil {
		t.Fatal(err)
	}
	return diff
}

func TestTheProviderIsReplacedOnlyForAnotherCluster(t *testing.T) {
	one, two := kubeconfig("https://127.0.0.1:1", "u"), kubeconfig("https://127.0.0.1:2", "u")
	unknown := resource.MakeComputed(resource.NewStringProperty(""))
	for name, c := range map[string]struct {
		olds, news props
		replaces   string
	}{
		"another server":                            {props{"kubeconfig": one}, props{"kubeconfig": two}, "kubeconfig"},
		"another user of the same server":           {props{"kubeconfig": one}, props{"kubeconfig": kubeconfig("https://127.0.0.1:1", "v")}, ""},
		"an unknown kubeconfig":                     {props{"kubeconfig": one}, props{"kubeconfig": unknown}, "kubeconfig"},
		"another server under the same identifier":  {props{"kubeconfig": one, "clusterIdentifier": "a"}, props{"kubeconfig": two, "clusterIdentifier": "a"}, ""},
		"an unknown kubeconfig, same identifier":    {props{"kubeconfig": one, "clusterIdentifier": "a"}, props{"kubeconfig": unknown, "clusterIdentifier": "a"}, ""},
		"another identifier":                        {props{"kubeconfig": one, "clusterIdentifier": "a"}, props{"kubeconfig": one, "clusterIdentifier": "b"}, "clusterIdentifier"},
		"an identifier where there was none":        {props{"kubeconfig": one}, props{"kubeconfig": one, "clusterIdentifier": "a"}, ""},
		"a flag":                                    {props{"kubeconfig": one}, props{"kubeconfig": one, "deleteUnreachable": "true"}, ""},
		"a secret kubeconfig with the same content": {props{"kubeconfig": one}, props{"kubeconfig": resource.MakeSecret(resource.NewStringProperty(one))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(diffConfig(t, c.olds, c.news).GetReplaces(), ","); got != c.replaces {
				t.Fatalf("replaces %q, wanted %q", got, c.replaces)
			}
		})
	}
}

func configFailures(t *testing.T, news props) string {
	t.Helper()
	s := open(t)
	checked, err := s.CheckConfig(t.Context(), &pulumirpc.CheckRequest{News: s.pack(news)})
	if err != nil {
		t.Fatal(err)
	}
	var failures []string
	for _, failure := range checked.GetFailures() {
		failures = append(failures, failure.GetProperty())
	}
	return strings.Join(failures, ",")
}

func TestAnUnknownSettingOfTheProviderIsRefused(t *testing.T) {
	if got := configFailures(t, props{"kubeConfig": "x"}); got != "kubeConfig" {
		t.Fatalf("refused %q", got)
	}
}

func TestRenderingToADirectoryIsRefused(t *testing.T) {
	if got := configFailures(t, props{"renderYamlToDirectory": "out"}); got != "renderYamlToDirectory" {
		t.Fatalf("refused %q", got)
	}
}

func TestClientSideApplyIsRefused(t *testing.T) {
	if got := configFailures(t, props{"enableServerSideApply": "false"}); got != "enableServerSideApply" {
		t.Fatalf("refused %q", got)
	}
}

func TestTypesThatAreNoObjectsAreRefusedByName(t *testing.T) {
	for _, urn := range []string{"core/v1:ConfigMapPatch", "core/v1:ConfigMapList", "helm.sh/v4:Chart", "helm.sh/v3:Chart"} {
		t.Run(urn, func(t *testing.T) {
			if got := refusal(t, open(t), urn, props{}); !strings.Contains(got, "kubernetes:"+urn) {
				t.Fatalf("refused with %q", got)
			}
		})
	}
}

func TestAnInvokeIsRefusedByName(t *testing.T) {
	_, err := open(t).Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "kubernetes:helm:template"})
	wantError(t, err, `"kubernetes:helm:template"`)
}

func TestAComponentIsRefusedByName(t *testing.T) {
	_, err := open(t).Construct(t.Context(), &pulumirpc.ConstructRequest{Type: "kubernetes:yaml/v2:ConfigGroup"})
	wantError(t, err, `"kubernetes:yaml/v2:ConfigGroup"`)
}

func TestAnUnreachableClusterIsNoErrorForAPreview(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	inputs := s.check("core/v1:ConfigMap", nil, configMap("ns", props{}))
	_, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf("core/v1:ConfigMap"), Properties: inputs, Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	if !s.said("configured Kubernetes cluster is unreachable") {
		t.Fatal("nobody was warned")
	}
}

func TestAnUnreachableClusterFailsACreate(t *testing.T) {
	_, err := open(t).configure(deadCluster(t)).tryCreate("core/v1:ConfigMap", configMap("ns", props{}))
	wantError(t, err, "configured Kubernetes cluster is unreachable: unable to load schema information")
}

func TestAnUnreachableClusterBlocksADelete(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	_, err := s.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: urnOf("core/v1:ConfigMap"), Id: "ns/cm"})
	wantError(t, err, "PULUMI_K8S_DELETE_UNREACHABLE")
}

func TestDeleteUnreachableForgetsAnObject(t *testing.T) {
	t.Setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
	s := open(t).configure(deadCluster(t))
	_, err := s.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: urnOf("core/v1:ConfigMap"), Id: "ns/cm"})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeleteUnreachableForgetsAReleaseInARefresh(t *testing.T) {
	s := open(t).configure(deadCluster(t), "deleteUnreachable", "true")
	read, err := s.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(token), Id: "ns/demo"})
	if err != nil || read.GetId() != "" {
		t.Fatalf("id %q, error %v", read.GetId(), err)
	}
}

func TestABrokenKubeconfigIsReportedByWhatNeedsTheCluster(t *testing.T) {
	_, err := open(t).configure("no: [kubeconfig").tryCreate("core/v1:ConfigMap", configMap("ns", props{}))
	wantError(t, err, "failed to parse kubeconfig data")
}

func TestTheEnginesAddressIsTheFirstArgumentThatIsNoFlag(t *testing.T) {
	if got := engineAddress([]string{"--logtostderr", "-v", "9", "127.0.0.1:5"}); got != "127.0.0.1:5" {
		t.Fatalf("got %q", got)
	}
}
