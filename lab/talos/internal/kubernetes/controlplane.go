// Package kubernetes is the real control plane behind the simulated nodes: etcd members, one kube-apiserver on the
// cluster's virtual address, controller-manager, scheduler and kwok, with the PKI of the applied machine configuration.
//
// It does not know machines, power or the Talos API: package machine tells it which members exist and which nodes run.
// Different from a real cluster: one apiserver for all control planes, started while etcd has a quorum.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"

	"homelab/lab/talos/internal/journal"
	"homelab/lab/talos/internal/pki"
	"homelab/lab/talos/internal/process"
)

// Binaries are the absolute paths of the programs that are run; Operators is a whole command, without the argument
// --kubeconfig, and empty where nobody plays operators.
type Binaries struct {
	Etcd              string `json:"etcd"`
	APIServer         string `json:"kubeApiserver"`
	ControllerManager string `json:"kubeControllerManager"`
	Scheduler         string `json:"kubeScheduler"`
	Kwok              string `json:"kwok"`
	Kubectl           string `json:"kubectl"`
	Flux              Flux   `json:"flux"`
	Pods              Pods   `json:"pods"`

	Operators []string `json:"operators"`
}

// Member is a configured control plane machine. Values are copied in; the configuration is never changed in place.
type Member struct {
	Machine int // VM id
	Name    string
	Address string
	DataDir string
	Config  config.Provider
}

// Errors that callers tell apart.
var (
	ErrBootstrapped = errors.New("etcd data directory is not empty")
	ErrNotMember    = errors.New("etcd is not running on this node")
	ErrNoQuorum     = errors.New("no healthy etcd member to join through")
)

// Faults of the API that a test can ask for.
const (
	faultDown = "api-down"
	faultHang = "api-hang"
)

// ControlPlane is safe for concurrent use.
type ControlPlane struct {
	binaries Binaries
	dir      string
	journal  *journal.Journal

	membership sync.Mutex // held while a member joins, leaves or bootstraps: one at a time
	parts      sync.Mutex // held while components are started or stopped

	mu          sync.Mutex
	members     map[string]*member // by address
	clusterID   string             // empty: not bootstrapped
	candidates  []Member           // running control planes; the first one's configuration rules
	addresses   []string           // of all configured control planes
	fault       string
	etcdClient  *etcdClient
	api         *api
	components  map[string]*component
	realNodes   map[string]Node // with a real kubelet, by name, while their machine runs
	drivers     []string        // of CSI, that the storage classes name
	podPolicies bool            // whether the API server decides which pods are real
	manifests   string          // what was applied last, to apply it again only when it changes
	podsSeen    time.Time       // when pods were last looked at
}

type member struct {
	Member
	process *process.Process // nil while the machine is off
	started time.Time
	learner bool
	healthy bool // as of the last look
}

// New prepares a control plane that keeps its files in dir.
func New(binaries Binaries, dir string, events *journal.Journal) (*ControlPlane, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	return &ControlPlane{
		binaries: binaries, dir: dir, journal: events,
		members: map[string]*member{}, components: map[string]*component{}, realNodes: map[string]Node{},
	}, nil
}

// Status is what the control API reports.
type Status struct {
	Bootstrapped bool           `json:"bootstrapped"`
	APIServer    string         `json:"apiserver"`
	Endpoint     string         `json:"endpoint"`
	EtcdMembers  []MemberStatus `json:"etcdMembers"`
}

// MemberStatus is one etcd member, as the lab sees it.
type MemberStatus struct {
	Machine int    `json:"vmid"`
	Name    string `json:"name"`
	Address string `json:"address"`
	Running bool   `json:"running"`
	Healthy bool   `json:"healthy"`
	Learner bool   `json:"learner"`
}

// Status asks the apiserver whether it is ready; the rest is known.
func (c *ControlPlane) Status(ctx context.Context) Status {
	c.mu.Lock()
	status := Status{Bootstrapped: c.clusterID != "", APIServer: "down", EtcdMembers: []MemberStatus{}}

	for _, m := range sorted(c.members) {
		status.EtcdMembers = append(status.EtcdMembers, MemberStatus{
			Machine: m.Machine, Name: m.Name, Address: m.Address,
			Running: m.process != nil && m.process.Running(), Healthy: m.healthy, Learner: m.learner,
		})
	}

	if c.api != nil {
		status.Endpoint = c.api.endpoint
	}
	c.mu.Unlock()
	if c.Ready(ctx) == nil {
		status.APIServer = "up"
	}
	return status
}

// ClusterID is the id of the bootstrapped cluster, or empty.
func (c *ControlPlane) ClusterID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clusterID
}

// Ready is nil when the apiserver says that it is ready.
func (c *ControlPlane) Ready(ctx context.Context) error {
	_, err := c.call(ctx, "GET", "/readyz", nil)
	return err
}

// Listener is where the apiserver listens, empty before bootstrap.
func (c *ControlPlane) Listener() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api == nil {
		return ""
	}
	return c.api.listener
}

// SetFault kills ("api-down") or freezes ("api-hang") the apiserver, or ends that ("api-up").
func (c *ControlPlane) SetFault(fault string) error {
	switch fault {
	case faultDown, faultHang:
	case "api-up":
		fault = ""
	default:
		return fmt.Errorf("fault %q is not known: use api-down, api-hang or api-up", fault)
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.fault = fault
	if apiserver := c.components[apiServerName]; apiserver != nil {
		switch fault {
		case faultDown:
			apiserver.process.Kill()
		case faultHang:
			apiserver.process.Pause()
		default:
			apiserver.process.Resume()
		}
	}
	return nil
}

// Run keeps the parts in the state that they should have until ctx ends, then stops them all.
func (c *ControlPlane) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()

	failures := 0
	for {
		select {
		case <-ctx.Done():
			c.stop()
			return
		case <-ticker.C:
		}

		if c.ClusterID() == "" {
			continue
		}

		if c.probeMembers(ctx) {
			failures = 0
		} else {
			failures++
		}

		c.parts.Lock()
		switch {
		case c.ClusterID() == "": // gone in the meantime
		case failures == 0:
			if err := c.ensureAPI(ctx); err != nil && ctx.Err() == nil {
				c.journal.Record("control-plane-error", 0, "", "error", err)
			}
		case failures >= 2:
			// One missed probe is an election; the virtual address is given up only when the quorum stays away.
			c.stopComponents("etcd has no quorum", (*process.Process).Kill)
		}

		c.parts.Unlock()
	}
}

// stop ends all processes and keeps all data.
func (c *ControlPlane) stop() {
	c.stopNodes((*process.Process).Stop)
	c.stopComponents("the lab stops", (*process.Process).Stop)

	c.mu.Lock()
	var running []*process.Process
	for _, m := range c.members {
		if m.process != nil {
			running = append(running, m.process)
		}
	}
	c.mu.Unlock()

	var group sync.WaitGroup
	for _, child := range running {
		group.Go(child.Stop)
	}

	group.Wait()
}

// tearDown forgets the cluster: called with no member left.
func (c *ControlPlane) tearDown() {
	c.mu.Lock()
	c.clusterID = ""
	c.mu.Unlock()

	c.parts.Lock()
	defer c.parts.Unlock()

	c.stopNodes((*process.Process).Kill)
	c.stopComponents("the last control plane is gone", (*process.Process).Kill)

	c.mu.Lock()
	defer c.mu.Unlock()

	c.api, c.etcdClient, c.manifests, c.fault, c.drivers, c.podPolicies = nil, nil, "", "", nil, false
	c.candidates, c.addresses = nil, nil
	if err := os.RemoveAll(c.path("pki")); err != nil {
		c.journal.Record("control-plane-error", 0, "", "error", err)
	}

	c.journal.Record("cluster-gone", 0, "")
}

// SetControlPlanes tells which configured control planes run now, and the addresses of all. The first running one's
// configuration is the one that the apiserver, the controller-manager and the scheduler follow.
func (c *ControlPlane) SetControlPlanes(running []Member, addresses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.candidates, c.addresses = running, addresses
}

func (c *ControlPlane) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// write stores a file that may hold a secret, if it differs, and returns its path.
func (c *ControlPlane) write(name string, content []byte) (string, error) {
	path := c.path("pki", name)
	if old, err := os.ReadFile(path); err == nil && string(old) == string(content) {
		return path, nil
	}

	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}

	// Renamed into place: kube-apiserver reloads its serving certificate while it runs.
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// pair signs and stores a certificate with its key. names change rarely: a pair is kept while its description is the same.
func (c *ControlPlane) pair(name string, ca *pki.CA, leaf pki.Leaf) (crt, key string, err error) {
	crt, key = c.path("pki", name+".crt"), c.path("pki", name+".key")
	description := fmt.Sprintf("%+v %x\n", leaf, digest(ca.Crt))
	if old, readErr := os.ReadFile(c.path("pki", name+".for")); readErr == nil && string(old) == description {
		return crt, key, nil
	}

	signed, err := pki.Issue(ca, leaf)
	if err != nil {
		return "", "", err
	}

	if _, err = c.write(name+".key", signed.Key); err != nil {
		return "", "", err
	}

	if _, err = c.write(name+".crt", signed.Crt); err != nil {
		return "", "", err
	}

	_, err = c.write(name+".for", []byte(description))
	return crt, key, err
}

// endpointOf finds where the apiserver listens: the declared virtual address, else the endpoint's own.
func endpointOf(m Member) (host string, port int, err error) {
	endpoint := m.Config.Cluster().Endpoint()
	port = m.Config.Cluster().LocalAPIServerPort()
	if given := endpoint.Port(); given != "" {
		if port, err = strconv.Atoi(given); err != nil {
			return "", 0, fmt.Errorf("cluster endpoint %s: port %q is not a number", endpoint, given)
		}
	}

	for _, vip := range virtualAddresses(m.Config) {
		if vip == endpoint.Hostname() || net.ParseIP(endpoint.Hostname()) == nil {
			return vip, port, nil
		}
	}

	if net.ParseIP(endpoint.Hostname()) != nil {
		return endpoint.Hostname(), port, nil
	}
	return "", 0, fmt.Errorf("the cluster endpoint %s is a name and the machine configuration declares no virtual IP: "+
		"the lab cannot tell where the API listens; declare a Layer2VIPConfig or use an address", endpoint)
}

func virtualAddresses(cfg config.Provider) []string {
	var found []string
	for _, vip := range cfg.NetworkVirtualIPConfigs() {
		found = append(found, vip.VIP().String())
	}

	if cfg.Machine() == nil {
		return found
	}

	for _, device := range cfg.Machine().Network().Devices() {
		if device.VIPConfig() != nil && device.VIPConfig().IP() != "" {
			found = append(found, device.VIPConfig().IP())
		}
	}
	return found
}
