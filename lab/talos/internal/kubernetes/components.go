package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"homelab/lab/talos/internal/pki"
	"homelab/lab/talos/internal/process"
)

const (
	apiServerName = "kube-apiserver"
	operatorsName = "operators"
	kwokPort      = 10247

	restartDelay = time.Second
)

// component is one supervised process of the control plane.
type component struct {
	process  *process.Process
	args     []string
	revision string // the files that the arguments name, as they were at the start
	started  time.Time
	ready    bool // the apiserver said so once
}

// api is where the apiserver is and how the lab itself talks to it.
type api struct {
	endpoint string // as the machine configuration declares it
	listener string // address:port
	client   *http.Client
}

// ensureAPI brings the components up, or back, in the shape that the ruling configuration asks for.
func (c *ControlPlane) ensureAPI(ctx context.Context) error {
	c.mu.Lock()
	fault, addresses := c.fault, c.addresses
	if len(c.candidates) == 0 {
		c.mu.Unlock()
		return nil
	}

	ruling := c.candidates[0]
	c.mu.Unlock()

	host, port, err := endpointOf(ruling)
	if err != nil {
		return err
	}

	listener := net.JoinHostPort(host, strconv.Itoa(port))
	server := "https://" + listener
	if err = c.connect(ruling, listener); err != nil {
		return err
	}

	args, err := c.apiServerArgs(ruling, addresses, host, port)
	if err != nil {
		return err
	}

	if fault != "" {
		return nil // a test broke it on purpose; the others live on without it, as on real nodes
	}

	if err = c.ensure(apiServerName, c.binaries.APIServer, args); err != nil {
		return err
	}

	if err = c.Ready(ctx); err != nil {
		return nil //nolint:nilerr // starting, or overloaded: the next tick looks again
	}

	c.mu.Lock()
	apiserver := c.components[apiServerName]
	first := !apiserver.ready
	apiserver.ready = true
	c.mu.Unlock()
	if first {
		c.journal.Record("apiserver-ready", 0, "", "listener", listener)
	}

	if err = c.ensureManifests(ctx, ruling); err != nil {
		return err
	}

	if err = c.ensurePodPolicies(ctx); err != nil {
		return err
	}

	for _, part := range []struct {
		name, path string
		args       func() ([]string, error)
	}{
		{"kube-controller-manager", c.binaries.ControllerManager, func() ([]string, error) { return c.controllerManagerArgs(ruling, host, server) }},
		{"kube-scheduler", c.binaries.Scheduler, func() ([]string, error) { return c.schedulerArgs(ruling, host, server) }},
		{"kwok", c.binaries.Kwok, func() ([]string, error) { return c.kwokArgs(ruling, host, kwokPort, server) }},
	} {
		if args, err = part.args(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}

		if err = c.ensure(part.name, part.path, args); err != nil {
			return err
		}
	}

	if command := c.binaries.Operators; len(command) > 0 {
		args := append(slices.Clone(command[1:]), "--kubeconfig", c.path("pki", "lab.kubeconfig"))
		if err = c.ensure(operatorsName, command[0], args); err != nil {
			return err
		}
	}

	if err = c.ensureNodes(ruling, server); err != nil {
		return err
	}

	if err = c.ensurePodStatus(ctx); err != nil {
		return err
	}

	if err = c.ensureVolumes(ctx); err != nil {
		return err
	}

	if err = c.ensureServing(ctx); err != nil {
		return err
	}
	return c.ensureFlux(ctx, ruling, host, server)
}

// ensure starts the component when it does not run, and restarts it when its flags or files changed.
func (c *ControlPlane) ensure(name, path string, args []string) error {
	revision := c.revision(name)

	c.mu.Lock()
	known := c.components[name]
	c.mu.Unlock()
	if known != nil && known.process.Running() {
		if slices.Equal(stable(known.args), stable(args)) && known.revision == revision {
			return nil
		}

		known.process.Stop()
		c.journal.Record("component-restart", 0, name, "reason", "its configuration changed")
	} else if known != nil {
		if time.Since(known.started) < restartDelay {
			return nil
		}

		c.journal.Record("component-exit", 0, name, "log", c.path(name+".log"))
	}

	started, err := process.Start(name, c.path(name+".log"), path, args...)
	if err != nil {
		return err
	}

	c.mu.Lock()
	c.components[name] = &component{process: started, args: args, revision: revision, started: time.Now()}
	c.mu.Unlock()
	c.journal.Record("component-start", 0, name)
	return nil
}

// stable leaves out what may change without a restart: one of the etcd servers that it started with is enough for the
// apiserver, which thus survives the replacement of a control plane.
func stable(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "--etcd-servers=") })
}

// revision covers the files that a component reads only when it starts.
func (c *ControlPlane) revision(name string) string {
	read := map[string][]string{
		apiServerName: {"admission-control-config.yaml", "auditpolicy.yaml", "authorization-config.yaml", "encryptionconfig.yaml", "ca.crt"},
	}

	var all bytes.Buffer
	for _, file := range read[name] {
		content, _ := os.ReadFile(c.path("pki", file))
		all.Write(content)
	}
	return fmt.Sprintf("%x", digest(all.Bytes()))
}

// stopComponents ends them in the given way; without etcd they could not end in order.
func (c *ControlPlane) stopComponents(reason string, end func(*process.Process)) {
	c.mu.Lock()
	// The apiserver goes last, so that the others can release their leases. What runs on nodes is not of the control plane.
	names := slices.Sorted(maps.Keys(c.binaries.Flux.Controllers))
	var components []*component
	for _, name := range append(names, operatorsName, "kwok", "kube-scheduler", "kube-controller-manager", apiServerName) {
		if known := c.components[name]; known != nil {
			components = append(components, known)
			delete(c.components, name)
		}
	}
	c.mu.Unlock()
	if len(components) == 0 {
		return
	}

	for _, known := range components {
		end(known.process)
	}

	c.journal.Record("control-plane-down", 0, "", "reason", reason)
}

func (c *ControlPlane) connect(m Member, listener string) error {
	c.mu.Lock()
	defer c.mu.Unlock()

	endpoint := m.Config.Cluster().Endpoint().String()
	if c.api != nil && c.api.listener == listener && c.api.endpoint == endpoint {
		return nil
	}

	ca := m.Config.Cluster().IssuingCA()

	certificate, err := pki.IssueTLS(ca, pki.Leaf{CommonName: "lab", Organizations: []string{"system:masters"}, Client: true})
	if err != nil {
		return err
	}

	c.api = &api{endpoint: endpoint, listener: listener, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pki.Pool(ca.Crt), Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}}}

	return nil
}

// apiError is an answer of the apiserver that is not a success.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string { return e.text }

// call sends one request to the apiserver as an administrator. A PATCH is a merge patch.
func (c *ControlPlane) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	return c.callAs(ctx, "", method, path, body)
}

// callAs sends it as a node, if one is named.
func (c *ControlPlane) callAs(ctx context.Context, node, method, path string, body any) ([]byte, error) {
	c.mu.Lock()
	target := c.api
	c.mu.Unlock()
	if target == nil {
		return nil, fmt.Errorf("kube-apiserver: the cluster is not bootstrapped")
	}

	var content io.Reader
	if body != nil {
		document, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}

		content = bytes.NewReader(document)
	}

	address, err := url.JoinPath("https://"+target.listener, path)
	if err != nil {
		return nil, err
	}

	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, err
	}

	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}

	if node != "" {
		request.Header.Set("Impersonate-User", node)
		request.Header["Impersonate-Group"] = []string{"system:nodes", "system:authenticated"}
	}

	response, err := target.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()

	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}

	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, &apiError{response.StatusCode, fmt.Sprintf("%s %s: %s: %.300s", method, path, response.Status, answer)}
	}
	return answer, nil
}

func statusOf(err error) int {
	if answer, ok := err.(*apiError); ok { //nolint:errorlint // call returns it unwrapped
		return answer.status
	}
	return 0
}
