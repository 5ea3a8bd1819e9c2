package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"homelab/lab/talos/internal/kubernetes"
)

const apiProbe = 2 * time.Second

// playedLimit is how long kwok may take until it plays the kubelet of a node that was registered; it looks every 10 s.
const playedLimit = 15 * time.Second

// mirrorPeriod is how often a kubelet looks for the objects of its static pods.
const mirrorPeriod = time.Second

func shortName(extension string) string { return path.Base(extension) }

// Run lets running nodes take part in the cluster until ctx ends: etcd members, Node objects, API on their own address.
func (s *Site) Run(ctx context.Context) {
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.reconcile(ctx)
		}
	}
}

func (s *Site) reconcile(ctx context.Context) {
	id := s.control.ClusterID()
	if id == "" {
		s.mu.Lock()
		clear(s.gone)
		s.mu.Unlock()
	}

	var (
		running   []kubernetes.Member
		addresses []string
	)

	probe, cancel := context.WithTimeout(ctx, apiProbe)
	apiReady := id != "" && s.control.Ready(probe) == nil
	cancel()
	for _, m := range s.list() {
		v := m.view()
		inCluster := id != "" && v.config != nil && v.config.Cluster().ID() == id
		if member, ok := m.member(); ok && inCluster {
			addresses = append(addresses, v.spec.Address)
			if v.stage == Running {
				running = append(running, member)
			}

			if v.stage == Running && !v.left && !s.control.IsMember(v.spec.Address) {
				m.join(ctx, member)
			}
		}

		m.setReady(v.stage == Running && (!v.controlPlane() || s.control.Healthy(v.spec.Address)))
		m.serveAPI(ctx, v, inCluster)
		if apiReady {
			if err := m.kubelet(ctx, v, id, inCluster); err != nil && ctx.Err() == nil {
				m.note("error", "error", err)
			}
		}
	}

	s.control.SetControlPlanes(running, addresses)
	if apiReady {
		s.silenceGone(ctx)
	}
}

// forget notes that the kubelet behind a registration is gone for good. The caller holds mu.
func (s *Site) forget(registered string) {
	if name := registeredName(registered); name != "" {
		s.gone[name] = true
	}
}

// silenceGone stops the leases of nodes whose machine was destroyed, or goes by another name now.
func (s *Site) silenceGone(ctx context.Context) {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.gone))
	s.mu.Unlock()
	for _, name := range names {
		if s.control.Silence(ctx, name) == nil {
			s.mu.Lock()
			delete(s.gone, name)
			s.mu.Unlock()
		}
	}
}

// registeredName takes the node's name out of what kubelet remembers: cluster, name, everything.
func registeredName(registered string) string {
	if fields := strings.SplitN(registered, " ", 3); len(fields) == 3 {
		return fields[1]
	}
	return ""
}

// join adds the machine's etcd member in the background: it takes seconds, and one joins after the other.
func (m *Machine) join(ctx context.Context, member kubernetes.Member) {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()
	if m.joining || m.busy {
		return
	}

	m.joining = true
	go func() {
		err := m.site.control.Join(ctx, member)
		if err != nil && ctx.Err() == nil && !errors.Is(err, kubernetes.ErrNoQuorum) {
			m.note("etcd-join-retried", "error", err)
			pause(ctx, time.Second)
		}

		m.site.mu.Lock()
		m.joining = false
		m.site.mu.Unlock()
	}()
}

func (m *Machine) setReady(ready bool) {
	m.site.mu.Lock()
	changed := m.ready != ready
	m.ready = ready
	m.site.mu.Unlock()
	if changed {
		m.publishStatus()
	}
}

// serveAPI opens the Kubernetes API on a control plane's own address while its etcd member is healthy.
func (m *Machine) serveAPI(ctx context.Context, v view, inCluster bool) {
	target := m.site.control.Listener()
	wanted := inCluster && v.controlPlane() && v.stage == Running && m.site.control.Healthy(v.spec.Address) && target != ""
	own := ""
	if wanted {
		own = net.JoinHostPort(v.spec.Address, strconv.Itoa(v.config.Cluster().LocalAPIServerPort()))
		wanted = own != target
	}

	m.site.mu.Lock()
	defer m.site.mu.Unlock()
	switch {
	case wanted && m.proxy == nil:
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", own)
		if err != nil {
			return // still closing from the last boot: the next look tries again
		}

		m.proxy = listener
		go proxy(listener, target)
	case !wanted && m.proxy != nil:
		_ = m.proxy.Close()
		m.proxy = nil
	}
}

func proxy(listener net.Listener, target string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}

		go func() {
			defer client.Close()

			server, err := net.DialTimeout("tcp", target, apiProbe)
			if err != nil {
				return
			}
			defer server.Close()
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			}()

			_, _ = io.Copy(client, server)
		}()
	}
}

// kubelet registers a running node, brings its object up to date, and lets its lease stop when the node does not run.
func (m *Machine) kubelet(ctx context.Context, v view, cluster string, inCluster bool) error {
	m.site.mu.Lock()
	registered, silenced := m.registered, m.silenced
	m.site.mu.Unlock()
	if !inCluster || v.stage != Running {
		m.port.Close()
		if !strings.HasPrefix(registered, cluster+" ") || silenced {
			return nil
		}

		if err := m.site.control.Silence(ctx, registeredName(registered)); err != nil {
			return err
		}

		m.setRegistered(registered, true)
		m.note("kubelet-stopped")
		return nil
	}

	node := m.node(v)
	wanted := fmt.Sprintf("%s %s %+v", cluster, node.Name, node)
	if wanted == registered && !silenced {
		if err := m.ensureMirrored(ctx, node); err != nil {
			return err
		}

		if m.site.control.Real(node) {
			return nil // its own kubelet answers there, and renews its lease
		}

		signed := v.config.Machine().Kubelet().ExtraArgs()["rotate-server-certificates"]
		if err := m.port.Ensure(ctx, cluster, node.Name, node.Address, slices.Contains(signed, "true")); err != nil {
			return err
		}
		return m.ensurePlayed(ctx, node.Name)
	}

	m.site.mu.Lock()
	delete(m.site.gone, node.Name)
	if name := registeredName(registered); name != node.Name && strings.HasPrefix(registered, cluster+" ") {
		m.site.forget(registered)
	}
	m.site.mu.Unlock()
	if err := m.site.control.Register(ctx, node); err != nil {
		return fmt.Errorf("register node %s: %w", node.Name, err)
	}

	m.setRegistered(wanted, false)
	m.note("kubelet-registered", "node", node.Name)
	if v.controlPlane() {
		m.publishStaticPods(v)
	}
	return nil
}

// ensureMirrored makes a static pod's object again that somebody deleted, as a kubelet does.
func (m *Machine) ensureMirrored(ctx context.Context, node kubernetes.Node) error {
	m.site.mu.Lock()
	due := node.ControlPlane && time.Since(m.mirroredAt) > mirrorPeriod
	if due {
		m.mirroredAt = time.Now()
	}
	m.site.mu.Unlock()
	if !due {
		return nil
	}
	return m.site.control.MirrorPods(ctx, node)
}

func (m *Machine) setRegistered(registered string, silenced bool) {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()

	m.registered, m.silenced = registered, silenced
	m.registeredAt, m.played = time.Now(), false
}

// ensurePlayed registers the node once more when kwok has not taken it back: it may mistake a node that was away for a
// moment only for one that has just gone.
func (m *Machine) ensurePlayed(ctx context.Context, name string) error {
	m.site.mu.Lock()
	played, since := m.played, time.Since(m.registeredAt)
	m.site.mu.Unlock()
	if played || since < time.Second {
		return nil
	}

	played, err := m.site.control.Played(ctx, name)
	if err != nil {
		return err
	}

	m.site.mu.Lock()
	m.played = played
	m.site.mu.Unlock()
	if played || since < playedLimit {
		return nil
	}

	if err := m.site.control.Silence(ctx, name); err != nil {
		return err
	}

	m.note("kubelet-registered-again", "node", name)
	m.site.mu.Lock()
	m.silenced = true
	m.site.mu.Unlock()
	return nil
}

// node is what the kubelet of this configuration on this VM reports.
func (m *Machine) node(v view) kubernetes.Node {
	settings := v.config.Machine()
	images := m.running(v)
	version := tagOf(images[kubelet])
	delete(images, kubelet)

	node := kubernetes.Node{
		Name: v.hostname, Address: v.spec.Address, ControlPlane: v.controlPlane(), Labels: settings.NodeLabels(), Annotations: settings.NodeAnnotations(),
		Cores: v.spec.Cores, MemoryMiB: v.spec.MemoryMiB, DiskBytes: v.spec.DiskBytes, BootID: v.bootID,
		MachineID: fmt.Sprintf("ab%030x", m.vmid), // letters in it: kwok's template reads digits alone as a number
		OSImage:   "Talos (" + v.version + ")", Kernel: "6.18.0-talos", KubeletVersion: version,
		StaticPods: images,
	}

	if values := settings.Kubelet().ExtraArgs()["provider-id"]; len(values) > 0 {
		node.ProviderID = values[0]
	}

	if node.ControlPlane && !v.config.Cluster().ScheduleOnControlPlanes() {
		node.Taints = append(node.Taints, kubernetes.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"})
	}

	for key, value := range settings.NodeTaints() {
		text, effect, found := strings.Cut(value, ":")
		if !found {
			text, effect = "", value
		}

		node.Taints = append(node.Taints, kubernetes.Taint{Key: key, Value: text, Effect: effect})
	}
	return node
}
