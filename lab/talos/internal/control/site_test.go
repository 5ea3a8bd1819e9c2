package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"

	"homelab/lab/talos/internal/control"
	"homelab/lab/talos/internal/kubernetes"
	"homelab/lab/talos/internal/machine"
	"homelab/lab/talos/internal/provider"
)

// lab is a running site with what a test needs to drive it: the control socket and the provider plugin.
type lab struct {
	t      *testing.T
	dir    string
	bin    string
	prefix string // the first two numbers of the addresses
	http   *http.Client
	plugin *provider.Provider
}

var nodes = []struct {
	vmid               int
	name, suffix, kind string
}{
	{101, "cp1", "1.1", "controlplane"}, {102, "cp2", "1.2", "controlplane"}, {103, "cp3", "1.3", "controlplane"},
	{104, "w1", "2.1", "worker"}, {105, "w2", "2.2", "worker"},
}

func start(t *testing.T) *lab {
	t.Helper()

	bin := os.Getenv("LAB_BIN")
	if bin == "" {
		t.Fatal("LAB_BIN is not set: it must be the directory that holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, " +
			"kubectl and talosctl (the lab's tool cache)")
	}

	// Addresses of this process's own: several checkouts may run their tests at once.
	prefix := fmt.Sprintf("127.%d", 100+os.Getpid()%100)
	l := &lab{t: t, dir: t.TempDir(), bin: bin, prefix: prefix, plugin: provider.New(func(_, text string) { t.Log(text) })}

	socket := filepath.Join(l.dir, "control.sock")
	l.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}

	document, err := json.Marshal(map[string]any{
		"state": filepath.Join(l.dir, "state"), "control": socket, "factory": l.prefix + ".0.11:8090",
		"etcd": l.tool("etcd"), "kubeApiserver": l.tool("kube-apiserver"), "kubeControllerManager": l.tool("kube-controller-manager"),
		"kubeScheduler": l.tool("kube-scheduler"), "kwok": l.tool("kwok"), "kubectl": l.tool("kubectl"), "talosctl": l.tool("talosctl"),
		"bootSeconds": 0.2, "installSeconds": 0.2, "rebootSeconds": 0.5,
	})
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(l.dir, "config.json")
	if err = os.WriteFile(path, document, 0o600); err != nil {
		t.Fatal(err)
	}

	config, err := control.LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- control.Run(ctx, config, func() { close(ready) }) }()

	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}

		if left := l.processes(); len(left) > 0 {
			t.Errorf("processes outlive the site: %q", left)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil

		t.Fatal(err)
	}
	return l
}

func (l *lab) tool(name string) string { return filepath.Join(l.bin, name) }

// processes lists the children that run on this lab's files.
func (l *lab) processes() []string {
	var found []string

	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(l.dir)) && bytes.HasPrefix(line, []byte(l.bin)) {
			found = append(found, string(bytes.SplitN(line, []byte{0}, 2)[0]))
		}
	}
	return found
}

func (l *lab) request(method, path string, body any) []byte {
	l.t.Helper()

	document, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}

	r, err := http.NewRequest(method, "http://lab"+path, bytes.NewReader(document))
	if err != nil {
		l.t.Fatal(err)
	}

	answer, err := l.http.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()

	content, _ := io.ReadAll(answer.Body)
	if answer.StatusCode >= 300 {
		l.t.Fatalf("%s %s: %s: %s", method, path, answer.Status, content)
	}
	return content
}

func (l *lab) power(vmid int, on bool) {
	l.t.Helper()
	for i, n := range nodes {
		if n.vmid == vmid {
			l.request(http.MethodPut, fmt.Sprintf("/machines/%d", vmid), map[string]any{
				"name": n.name, "address": l.prefix + "." + n.suffix, "mac": fmt.Sprintf("BC:24:11:00:00:0%d", i), "cores": 4, "memoryMiB": 8192,
				"diskBytes": 100 << 30, "host": "pve1", "image": "talos-v1.13.9.qcow2", "on": on,
			})
		}
	}
}

func (l *lab) all(do func(i int)) {
	var group sync.WaitGroup
	for i := range nodes {
		group.Go(func() { do(i) })
	}

	group.Wait()
}

func (l *lab) eventually(what string, limit time.Duration, holds func() error) {
	l.t.Helper()

	deadline := time.Now().Add(limit)
	for {
		err := holds()
		if err == nil {
			return
		}

		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within %s: %v\n%s", what, limit, err, l.request(http.MethodGet, "/status", nil))
		}

		time.Sleep(200 * time.Millisecond)
	}
}

func (l *lab) stage(want machine.Stage) func() error {
	return func() error {
		var reports []machine.Report
		if err := json.Unmarshal(l.request(http.MethodGet, "/machines", nil), &reports); err != nil {
			return err
		}

		for _, report := range reports {
			if report.Stage != want {
				return fmt.Errorf("%s is %s", report.Name, report.Stage)
			}
		}
		return nil
	}
}

func (l *lab) status() (status kubernetes.Status) {
	l.t.Helper()
	if err := json.Unmarshal(l.request(http.MethodGet, "/status", nil), &status); err != nil {
		l.t.Fatal(err)
	}
	return status
}

func (l *lab) healthy(members int) func() error {
	return func() error {
		status, count := l.status(), 0
		for _, m := range status.EtcdMembers {
			if m.Healthy && !m.Learner {
				count++
			}
		}

		if status.APIServer != "up" || count != members {
			return fmt.Errorf("apiserver %s, %d healthy members", status.APIServer, count)
		}
		return nil
	}
}

var options = plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true}

func (l *lab) marshal(values resource.PropertyMap) *structpb.Struct {
	l.t.Helper()

	encoded, err := plugin.MarshalProperties(values, options)
	if err != nil {
		l.t.Fatal(err)
	}
	return encoded
}

func urn(token, name string) string { return "urn:pulumi:dev::lab::" + token + "::" + name }

func (l *lab) create(token, name string, values map[string]any) (resource.PropertyMap, error) {
	answer, err := l.plugin.Create(context.Background(), &pulumirpc.CreateRequest{
		Urn: urn(token, name), Properties: l.marshal(resource.NewPropertyMapFromMap(values)),
	})
	if err != nil {
		return nil, err
	}
	return plugin.UnmarshalProperties(answer.GetProperties(), plugin.MarshalOptions{})
}

// up configures, bootstraps and returns the states of the applies and the path of the kubeconfig.
func (l *lab) up() (applied []resource.PropertyMap, kubeconfig string) {
	l.t.Helper()

	secrets, err := l.create("talos:machine/secrets:Secrets", "s", nil)
	if err != nil {
		l.t.Fatal(err)
	}

	values := secrets.Mappable()
	applied = make([]resource.PropertyMap, len(nodes))
	failures := make([]error, len(nodes))

	configuration := func(kind string) string {
		answer, err := l.plugin.Invoke(context.Background(), &pulumirpc.InvokeRequest{
			Tok: "talos:machine/getConfiguration:getConfiguration",
			Args: l.marshal(resource.NewPropertyMapFromMap(map[string]any{
				"clusterName": "lab", "clusterEndpoint": "https://" + l.prefix + ".3.1:6443", "machineType": kind, "machineSecrets": values["machineSecrets"],
				"kubernetesVersion": "1.36.3",
				"configPatches":     []any{"cluster: {network: {cni: {name: none}}, proxy: {disabled: true}}"},
			})),
		})
		if err != nil || len(answer.GetFailures()) > 0 {
			l.t.Fatal(err, answer.GetFailures())
		}
		return answer.GetReturn().GetFields()["machineConfiguration"].GetStringValue()
	}
	configurations := map[string]string{"controlplane": configuration("controlplane"), "worker": configuration("worker")}

	l.all(func(i int) {
		n := nodes[i]
		patches := []any{"apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: " + n.name + "\nauto: off"}

		if n.kind == "controlplane" {
			patches = append(patches, "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: "+l.prefix+".3.1\nlink: eth0")
		}

		applied[i], failures[i] = l.create("talos:machine/configurationApply:ConfigurationApply", n.name, map[string]any{
			"node": l.prefix + "." + n.suffix, "clientConfiguration": values["clientConfiguration"],
			"machineConfigurationInput": configurations[n.kind], "configPatches": patches,
			"onDestroy": map[string]any{"reset": true, "reboot": true}, "timeouts": map[string]any{"create": "60s", "delete": "60s"},
		})
	})
	for _, err := range failures {
		if err != nil {
			l.t.Fatal(err)
		}
	}

	first := map[string]any{
		"node": l.prefix + ".1.1", "clientConfiguration": values["clientConfiguration"], "timeouts": map[string]any{"create": "60s"},
	}

	if _, err = l.create("talos:machine/bootstrap:Bootstrap", "b", first); err != nil {
		l.t.Fatal(err)
	}

	access, err := l.create("talos:cluster/kubeconfig:Kubeconfig", "k", first)
	if err != nil {
		l.t.Fatal(err)
	}

	kubeconfig = filepath.Join(l.dir, "kubeconfig")
	if err = os.WriteFile(kubeconfig, []byte(access["kubeconfigRaw"].StringValue()), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return applied, kubeconfig
}

// readyNodes asks through a control plane's own address, so that its proxy and certificate are used too.
func (l *lab) readyNodes(kubeconfig, via string, want int) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()

		output, err := exec.CommandContext(ctx, l.tool("kubectl"), "--kubeconfig", kubeconfig, "--server", "https://"+l.prefix+via+":6443",
			"get", "nodes", "--no-headers").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}

		if count := strings.Count(string(output), " Ready "); count != want {
			return fmt.Errorf("%d nodes are ready:\n%s", count, output)
		}
		return nil
	}
}

// One test on purpose: each step is the state that the next one starts from, and a control plane takes seconds to start.
func TestFiveMachinesLiveThroughUpPowerCycleResetAndDestroy(t *testing.T) {
	l := start(t)
	l.all(func(i int) { l.power(nodes[i].vmid, true) })
	l.eventually("machines in maintenance mode", 10*time.Second, l.stage(machine.Maintenance))

	applied, kubeconfig := l.up()
	l.eventually("control plane", 60*time.Second, l.healthy(3))
	l.eventually("nodes ready", 30*time.Second, l.readyNodes(kubeconfig, ".1.2", 5))

	l.power(101, false)
	l.eventually("the API with two members", 20*time.Second, l.healthy(2))
	l.power(101, true)
	l.eventually("the third member back from its disk", 20*time.Second, l.healthy(3))

	l.all(func(i int) {
		if _, err := l.plugin.Delete(context.Background(), &pulumirpc.DeleteRequest{
			Urn: urn("talos:machine/configurationApply:ConfigurationApply", nodes[i].name), Properties: l.marshal(applied[i]),
		}); err != nil {
			t.Error(err)
		}
	})
	l.eventually("all nodes back in maintenance mode", 20*time.Second, l.stage(machine.Maintenance))
	if status := l.status(); status.Bootstrapped {
		t.Fatalf("after the reset of all nodes: %+v", status)
	}

	_, kubeconfig = l.up()
	l.eventually("control plane, second time", 60*time.Second, l.healthy(3))
	l.eventually("nodes ready, second time", 30*time.Second, l.readyNodes(kubeconfig, ".3.1", 5))

	l.all(func(i int) { l.request(http.MethodDelete, fmt.Sprintf("/machines/%d", nodes[i].vmid), nil) })
	if status := l.status(); status.Bootstrapped || len(status.EtcdMembers) > 0 {
		t.Errorf("after the destruction of all machines: %+v", status)
	}

	if left := l.processes(); len(left) > 0 {
		t.Errorf("processes outlive the machines: %q", left)
	}

	journal, err := os.ReadFile(filepath.Join(l.dir, "state", "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}

	if bytes.Contains(journal, []byte("PRIVATE KEY")) || bytes.Contains(journal, []byte("machineSecrets")) {
		t.Error("the journal holds a secret")
	}
}
