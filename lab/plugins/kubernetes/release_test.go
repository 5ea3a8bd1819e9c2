package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/repo"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const token = "helm.sh/v3:Release"

func demo(namespace string, values props) props {
	return props{
		"chart": "./testdata/demo", "name": "demo", "namespace": namespace, "timeout": 30, "compat": "true",
		"values": values,
	}
}

func statusOf(t *testing.T, m *made) resource.PropertyMap {
	t.Helper()
	return m.properties(t)["status"].ObjectValue()
}

func TestAReleaseIsInstalledAndAwaited(t *testing.T) {
	s := live(t)
	m := s.create(token, demo(s.namespace(), props{"replicas": 2}))
	status := statusOf(t, m)
	if status["status"].StringValue() != "deployed" || status["revision"].NumberValue() != 1 ||
		status["appVersion"].StringValue() != "1.2.3" || status["version"].StringValue() != "0.1.0" {
		t.Fatalf("status is %v", status)
	}
}

func TestAReleaseIsRenderedForTheLiveCluster(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	s.create(token, demo(ns, props{}))
	secret, err := s.client("v1", "Secret", ns).Get(t.Context(), "demo", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.provider.cluster.discovery.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	normalized := map[string]any{"stringData": map[string]any{"v": version.GitVersion}}
	normalizeSecret(normalized)
	if got, want := secret.Object["data"].(map[string]any)["kubeVersion"], normalized["data"].(map[string]any)["v"]; got != want {
		t.Fatalf("the chart saw version %v, the server is %v", got, want)
	}
}

func TestAnUnchangedReleaseGivesNoDiff(t *testing.T) {
	s := live(t)
	inputs := demo(s.namespace(), props{"replicas": 1})
	m := s.create(token, inputs)
	s.refresh(m)
	if diff := s.diff(m, inputs); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatalf("unexpected diff: %v", diff.GetDetailedDiff())
	}
}

func TestChangedValuesUpgradeARelease(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create(token, demo(ns, props{"replicas": 1}))
	if diff := s.diff(m, demo(ns, props{"replicas": 2})); diff.GetDetailedDiff()["values.replicas"] == nil {
		t.Fatalf("diff is %v", diff.GetDetailedDiff())
	}
	s.update(m, demo(ns, props{"replicas": 2}))
	if revision := statusOf(t, m)["revision"].NumberValue(); revision != 2 {
		t.Fatalf("revision is %v", revision)
	}
}

func TestAnEditedChartOfTheSameVersionIsNotNoticed(t *testing.T) {
	s := live(t)
	dir := copyChart(t)
	inputs := demo(s.namespace(), props{})
	inputs["chart"] = dir
	m := s.create(token, inputs)
	template := filepath.Join(dir, "templates", "workload.yaml")
	content, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(template, append(content, "# edited\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := s.diff(m, inputs); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatal("the official provider does not notice, so the stand-in must not either")
	}
	inputs["description"] = "another digest"
	if diff := s.diff(m, inputs); diff.GetDetailedDiff()["description"] == nil {
		t.Fatalf("diff is %v", diff.GetDetailedDiff())
	}
}

func copyChart(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	if err := os.CopyFS(dir, os.DirFS("testdata/demo")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestASecretValueStaysSecretInTheState(t *testing.T) {
	s := live(t)
	hidden := resource.MakeSecret(resource.NewStringProperty("planted"))
	m := s.create(token, demo(s.namespace(), props{"password": hidden}))
	s.refresh(m)
	state := m.properties(t)
	if value := state["values"].ObjectValue()["password"]; !value.IsSecret() {
		t.Fatalf("values.password is %s", value.TypeString())
	}
	if !state[inputsKey].IsSecret() {
		t.Fatal("the saved inputs are open")
	}
}

func TestAFailedReleaseNamesWhatIsNotReadyAndIsTriedAgain(t *testing.T) {
	s := live(t)
	inputs := demo(s.namespace(), props{"nodeSelector": props{"no": "where"}})
	inputs["timeout"] = 5
	m, err := s.tryCreate(token, inputs)
	wantError(t, err, "not ready: Deployment demo: 0 of 1 ready")
	if statusOf(t, m)["status"].StringValue() != "failed" {
		t.Fatalf("status is %v", statusOf(t, m))
	}
	wantError(t, s.tryUpdate(m, inputs), "failed to become available within allocated timeout")
	if revision := statusOf(t, m)["revision"].NumberValue(); revision != 2 {
		t.Fatalf("revision is %v", revision)
	}
}

func TestARefreshHidesTheFailureOfARelease(t *testing.T) {
	s := live(t)
	inputs := demo(s.namespace(), props{"nodeSelector": props{"no": "where"}})
	inputs["timeout"] = 5
	m, err := s.tryCreate(token, inputs)
	wantError(t, err, "failed to become available")
	s.refresh(m)
	if diff := s.diff(m, inputs); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatal("the official provider forgets the failure, so the program must not rely on it being shown")
	}
}

func TestAnAtomicReleaseThatFailsLeavesNothing(t *testing.T) {
	s := live(t)
	inputs := demo(s.namespace(), props{"nodeSelector": props{"no": "where"}})
	inputs["timeout"], inputs["atomic"] = 5, true
	m, err := s.tryCreate(token, inputs)
	wantError(t, err, "has been uninstalled due to atomic being set")
	if m.id != "" {
		t.Fatalf("the state holds %q", m.id)
	}
}

func TestADeletedReleaseIsUninstalled(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create(token, demo(ns, props{}))
	if err := s.tryDelete(m, 0); err != nil {
		t.Fatal(err)
	}
	if read := s.refresh(m); read.GetId() != "" {
		t.Fatal("the release is still there")
	}
	secrets, err := s.client("v1", "Secret", ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) != 0 {
		t.Fatalf("%d Secrets are left, error %v", len(secrets.Items), err)
	}
}

func TestAReleaseNameInUseIsRefused(t *testing.T) {
	s := live(t)
	inputs := demo(s.namespace(), props{})
	s.create(token, inputs)
	_, err := s.tryCreate(token, inputs)
	wantError(t, err, "cannot re-use a name that is still in use")
}

func TestAChartComesFromARepository(t *testing.T) {
	s := live(t)
	s.configure(realCluster(t), "helmReleaseSettings", fmt.Sprintf(`{"repositoryCache": %q}`, t.TempDir()))
	inputs := demo(s.namespace(), props{})
	inputs["chart"], inputs["version"] = "demo", "~0.1"
	inputs["repositoryOpts"] = props{"repo": repository(t)}
	m := s.create(token, inputs)
	if version := m.properties(t)["version"].StringValue(); version != "0.1.0" {
		t.Fatalf("version is %q", version)
	}
}

// repository serves the test chart from a chart repository on loopback.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	chart, err := loader.Load("testdata/demo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chartutil.Save(chart, dir); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	index, err := repo.IndexDirectory(dir, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.WriteFile(filepath.Join(dir, "index.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL
}

// deadCluster is a kubeconfig of an address where nobody listens.
func deadCluster(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	return kubeconfig("https://"+address, "u")
}

func refusal(t *testing.T, s *session, urn string, inputs props) string {
	t.Helper()
	checked, err := s.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urnOf(urn), News: s.pack(inputs)})
	if err != nil {
		return err.Error()
	}
	var reasons []string
	for _, failure := range checked.GetFailures() {
		reasons = append(reasons, failure.GetProperty()+": "+failure.GetReason())
	}
	return strings.Join(reasons, "\n")
}

func TestAMissingChartIsRefusedWithTheOfficialText(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	if got := refusal(t, s, token, props{"chart": "./nowhere"}); !strings.Contains(got, `chart: path "./nowhere" not found`) {
		t.Fatal(got)
	}
}

func TestAnUnknownInputOfAReleaseIsRefused(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	got := refusal(t, s, token, props{"chart": "./testdata/demo", "skipWait": true})
	if !strings.Contains(got, `unknown field "skipWait"`) {
		t.Fatal(got)
	}
}

func TestAnOutputOfAReleaseIsRefusedAsInput(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	got := refusal(t, s, token, props{"chart": "./testdata/demo", "manifest": props{"a": "b"}})
	if !strings.Contains(got, "manifest: it is an output; remove it") {
		t.Fatal(got)
	}
}

func TestTheVersionOfALocalChartIsFilledIn(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	checked, err := unmarshal(s.check(token, nil, props{"chart": "./testdata/demo"}))
	if err != nil {
		t.Fatal(err)
	}
	if version := checked["version"]; !version.IsString() || version.StringValue() != "0.1.0" {
		t.Fatalf("version is %v", version)
	}
}

func TestAnUnnamedReleaseIsNamedAfterItsResource(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	checked, err := unmarshal(s.check(token, nil, props{"chart": "./testdata/demo"}))
	if err != nil {
		t.Fatal(err)
	}
	if name := checked["name"]; !name.IsString() || !strings.HasPrefix(name.StringValue(), "it-") {
		t.Fatalf("name is %v", name)
	}
}

func TestValuesWinOverValueFilesAndLaterFilesOverEarlierOnes(t *testing.T) {
	file := func(text string) resource.PropertyValue {
		asset, err := resource.NewTextAsset(text)
		if err != nil {
			t.Fatal(err)
		}
		return resource.NewAssetProperty(asset)
	}
	inputs := resource.PropertyMap{
		"valueYamlFiles": resource.NewArrayProperty([]resource.PropertyValue{
			file("a: {first: 1, second: 1, third: 1}"), file("a: {second: 2, third: 2}"),
		}),
		"values": resource.NewObjectProperty(resource.NewPropertyMapFromMap(props{"a": props{"third": 3}})),
	}
	if err := mergeValueFiles(inputs); err != nil {
		t.Fatal(err)
	}
	want := resource.NewPropertyMapFromMap(props{"values": props{"a": props{"first": 1, "second": 2, "third": 3}}})
	if diff := want.Diff(inputs); diff != nil {
		t.Fatalf("inputs are %v", inputs)
	}
}

func TestThePreviewOfAReleaseAsksNobody(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	inputs := s.check(token, nil, props{"chart": "./testdata/demo", "name": "demo"})
	created, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf(token), Properties: inputs, Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	state, err := unmarshal(created.GetProperties())
	if err != nil || !state["status"].IsComputed() {
		t.Fatalf("status is %v, error %v", state["status"], err)
	}
}

func TestAnUnreachableClusterBlocksTheDeleteOfAReleaseWhateverTheSettings(t *testing.T) {
	s := open(t).configure(deadCluster(t), "deleteUnreachable", "true")
	_, err := s.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: urnOf(token), Id: "ns/demo"})
	wantError(t, err, `can't delete Helm Release with unreachable cluster. Reason: "unable to load schema information`)
}
