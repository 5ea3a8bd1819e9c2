package kubernetes

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"homelab/lab/talos/internal/pki"
	"homelab/lab/talos/internal/process"
)

func digest(content []byte) [sha256.Size]byte { return sha256.Sum256(content) }

func sorted(members map[string]*member) []*member {
	return slices.SortedFunc(maps.Values(members), func(a, b *member) int { return cmp.Compare(a.Machine, b.Machine) })
}

// Bootstrap makes m the first member of a new cluster.
func (c *ControlPlane) Bootstrap(m Member) error {
	c.membership.Lock()
	defer c.membership.Unlock()
	if c.ClusterID() != "" {
		return ErrBootstrapped
	}

	if _, _, err := endpointOf(m); err != nil {
		return err
	}

	if err := c.startMember(m, "new", nil); err != nil {
		return err
	}

	c.journal.Record("etcd-bootstrapped", m.Machine, m.Name)
	return nil
}

// Adopt starts the member of a machine that was a member before it was switched off, from the data on its disk.
func (c *ControlPlane) Adopt(m Member) error {
	c.membership.Lock()
	defer c.membership.Unlock()
	return c.startMember(m, "existing", nil)
}

// HasData tells whether the machine's disk holds an etcd member.
func HasData(m Member) bool {
	_, err := os.Stat(m.DataDir + "/member")
	return err == nil
}

func (c *ControlPlane) startMember(m Member, state string, others []string) error {
	ca := m.Config.Cluster().Etcd().CA()

	crt, key, err := c.pair("etcd/"+strconv.Itoa(m.Machine), ca, pki.Leaf{
		CommonName: m.Name, Names: []string{m.Address, "127.0.0.1", m.Name, "localhost"}, Server: true, Client: true,
	})
	if err != nil {
		return err
	}

	authority, err := c.write("etcd/ca.crt", ca.Crt)
	if err != nil {
		return err
	}

	clientCrt, clientKey, err := c.pair("etcd/client", ca, pki.Leaf{CommonName: "kube-apiserver", Client: true})
	if err != nil {
		return err
	}

	certificate, err := tls.LoadX509KeyPair(clientCrt, clientKey)
	if err != nil {
		return err
	}

	if err = os.MkdirAll(m.DataDir, 0o700); err != nil {
		return err
	}

	client, peer := "https://"+m.Address+":2379", "https://"+m.Address+":2380"

	args := append(render(map[string]string{}, m.Config.Cluster().Etcd().ExtraArgs()),
		"--name", m.Name, "--data-dir", m.DataDir,
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(append(others, m.Name+"="+peer), ","), "--initial-cluster-state", state,
		"--initial-cluster-token", m.Config.Cluster().ID(),
		"--client-cert-auth", "--cert-file", crt, "--key-file", key, "--trusted-ca-file", authority,
		"--peer-client-cert-auth", "--peer-cert-file", crt, "--peer-key-file", key, "--peer-trusted-ca-file", authority,
		// All addresses are on one loopback device, where a connection comes from the address that it goes to.
		"--peer-skip-client-san-verification",
		// The disks are simulated too: a power cut loses nothing here, and a laptop's disk is spared.
		"--unsafe-no-fsync", "--log-level", "warn")

	started, err := process.Start("etcd-"+m.Name, c.path("etcd-"+strconv.Itoa(m.Machine)+".log"), c.binaries.Etcd, args...)
	if err != nil {
		return err
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.clusterID = m.Config.Cluster().ID()
	c.members[m.Address] = &member{Member: m, process: started, started: time.Now()}
	c.etcdClient = &etcdClient{http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pki.Pool(ca.Crt), Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}}}

	return nil
}

// Halt stops the member of a machine that goes off; it stays a member.
func (c *ControlPlane) Halt(address string, powerCut bool) {
	c.mu.Lock()
	var running *process.Process
	if m := c.members[address]; m != nil {
		running, m.process, m.healthy = m.process, nil, false
	}
	c.mu.Unlock()
	switch {
	case running == nil:
	case powerCut:
		running.Kill()
	default:
		running.Stop()
	}
}

// Know records the member of a machine that is off, from the data on its disk: it still counts.
func (c *ControlPlane) Know(m Member) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.clusterID = m.Config.Cluster().ID()
	if c.members[m.Address] == nil {
		c.members[m.Address] = &member{Member: m}
	}
}

// Join adds m as a learner and promotes it, as Talos does. A stale member of the same name is removed first.
func (c *ControlPlane) Join(ctx context.Context, m Member) error {
	c.membership.Lock()
	defer c.membership.Unlock()

	via, client := c.anyHealthy(m.Address)
	if via == "" {
		return ErrNoQuorum
	}

	if err := c.removeNamed(ctx, client, via, m.Name); err != nil {
		return err
	}

	peer := "https://" + m.Address + ":2380"

	var list etcdMemberList
	if err := client.post(ctx, via, "/v3/cluster/member/add", map[string]any{"peerURLs": []string{peer}, "isLearner": true}, &list); err != nil {
		return err
	}

	var (
		id     string
		others []string
	)
	for _, known := range list.Members {
		switch {
		case slices.Contains(known.PeerURLs, peer):
			id = known.ID
		case known.Name != "":
			others = append(others, known.Name+"="+known.PeerURLs[0])
		}
	}

	if err := c.startMember(m, "existing", others); err != nil {
		return err
	}

	c.mu.Lock()
	joined := c.members[m.Address]
	joined.learner = true
	c.mu.Unlock()

	c.journal.Record("etcd-learner", m.Machine, m.Name)

	err := poll(ctx, 30*time.Second, func() error {
		if !joined.process.Running() {
			return errStopped
		}
		return client.post(ctx, via, "/v3/cluster/member/promote", map[string]any{"ID": id}, nil)
	})
	if err != nil {
		// Without its vote the member is useless; once it is removed, joining can be tried again.
		_ = client.post(context.WithoutCancel(ctx), via, "/v3/cluster/member/remove", map[string]any{"ID": id}, nil)
		c.drop(m)
		return fmt.Errorf("promote etcd member %s: %w", m.Name, err)
	}

	c.mu.Lock()
	joined.learner = false
	c.mu.Unlock()

	c.journal.Record("etcd-member", m.Machine, m.Name)
	return nil
}

func (c *ControlPlane) removeNamed(ctx context.Context, client *etcdClient, via, name string) error {
	var list etcdMemberList
	if err := client.post(ctx, via, "/v3/cluster/member/list", map[string]any{}, &list); err != nil {
		return err
	}

	for _, known := range list.Members {
		if known.Name == name {
			return client.post(ctx, via, "/v3/cluster/member/remove", map[string]any{"ID": known.ID}, nil)
		}
	}
	return nil
}

// Leave takes a machine's member away with its data: gracefully through the other members, or as a disk that is gone.
// With the last member the cluster is gone too. A machine that is not a member leaves nothing behind.
func (c *ControlPlane) Leave(ctx context.Context, m Member, graceful bool) error {
	c.membership.Lock()
	defer c.membership.Unlock()

	c.mu.Lock()
	_, found := c.members[m.Address]
	last := found && len(c.members) == 1
	c.mu.Unlock()
	if !found {
		return os.RemoveAll(m.DataDir)
	}

	if last {
		c.drop(m)
		c.tearDown()
		return nil
	}

	if graceful {
		via, client := c.anyHealthy(m.Address)
		if via == "" {
			return fmt.Errorf("etcd member %s cannot leave: no other member is healthy", m.Name)
		}

		err := poll(ctx, 20*time.Second, func() error { return c.removeNamed(ctx, client, via, m.Name) })
		if err != nil {
			return fmt.Errorf("etcd member %s cannot leave: %w", m.Name, err)
		}
	}

	c.drop(m)
	c.journal.Record("etcd-left", m.Machine, m.Name, "graceful", graceful)
	return nil
}

func (c *ControlPlane) drop(m Member) {
	c.Halt(m.Address, true)
	c.mu.Lock()
	delete(c.members, m.Address)
	c.mu.Unlock()
	if err := os.RemoveAll(m.DataDir); err != nil {
		c.journal.Record("control-plane-error", m.Machine, m.Name, "error", err)
	}
}

func (c *ControlPlane) anyHealthy(except string) (string, *etcdClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range sorted(c.members) {
		if m.Address != except && m.healthy && !m.learner {
			return m.Address, c.etcdClient
		}
	}
	return "", nil
}

// probeMembers looks at every member at once and tells whether one answers a linearizable read: then there is a quorum.
func (c *ControlPlane) probeMembers(ctx context.Context) bool {
	c.mu.Lock()
	client := c.etcdClient
	members := sorted(c.members)
	running := make([]bool, len(members))
	for i, m := range members {
		running[i] = m.process != nil && m.process.Running()
	}
	c.mu.Unlock()

	answers := make([]bool, len(members))

	var group sync.WaitGroup
	for i, m := range members {
		if running[i] {
			group.Go(func() { answers[i] = client.healthy(ctx, m.Address) })
		}
	}

	group.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range members {
		m.healthy = answers[i] && m.process != nil
	}
	return slices.Contains(answers, true)
}

// Healthy tells whether the machine's member runs and answered the last probe.
func (c *ControlPlane) Healthy(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	m := c.members[address]
	return m != nil && m.healthy && !m.learner
}

// StartedAt is when the machine's member was started last; the zero time when it does not run.
func (c *ControlPlane) StartedAt(address string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	if m := c.members[address]; m != nil && m.process != nil {
		return m.started
	}
	return time.Time{}
}

// IsMember tells whether the machine has a member, running or not.
func (c *ControlPlane) IsMember(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[address] != nil
}

var errStopped = fmt.Errorf("the process ended")

// poll repeats try every 200 ms until it succeeds, the process is gone, ctx ends or time runs out.
func poll(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || err == errStopped || time.Now().After(deadline) {
			return err
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
