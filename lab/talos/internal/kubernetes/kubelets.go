package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"homelab/lab/talos/internal/pki"
	"homelab/lab/talos/internal/process"
)

const (
	proxyName    = "kube-proxy"
	policiesName = "network-policies"

	// The lab's own files are private; what containers share with the node is not.
	asOnNode = "umask 022; PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin exec \"$@\""
)

// onNode is the arguments of sh that run a program as a node does.
func onNode(command ...string) []string { return append([]string{"-c", asOnNode, "sh"}, command...) }

// kubeletOf and runtimeOf are the names of a node's two processes.
func kubeletOf(node string) string { return "kubelet-" + node }
func runtimeOf(node string) string { return "containerd-" + node }

// runNode notes that a node's machine runs: its kubelet is started, and kept, with the control plane's other parts.
func (c *ControlPlane) runNode(node Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.realNodes[node.Name] = node
}

// stopNode ends a node's kubelet, its runtime and every container, as a power cut does.
func (c *ControlPlane) stopNode(name string) {
	c.mu.Lock()
	_, known := c.realNodes[name]
	delete(c.realNodes, name)
	names := []string{kubeletOf(name), runtimeOf(name)}
	for _, driver := range c.drivers {
		names = append(names, driverOf(driver, name))
	}

	var parts []*component
	for _, each := range names {
		parts = append(parts, c.components[each])
		delete(c.components, each)
	}
	c.mu.Unlock()
	if !known {
		return
	}

	for _, part := range parts {
		if part != nil {
			part.process.Kill()
		}
	}

	// A node that is off has nothing mounted; what it finds on its disk when it boots is no mount.
	if err := errors.Join(killGroup(c.cgroup(name)), unmountBelow(c.rootOf(name))); err != nil {
		c.journal.Record("control-plane-error", 0, name, "error", err)
	}
}

// stopNodes ends all of them, and what they share.
func (c *ControlPlane) stopNodes(end func(*process.Process)) {
	c.mu.Lock()
	names := slices.Sorted(maps.Keys(c.realNodes))
	shared := []*component{c.components[policiesName], c.components[proxyName]}
	delete(c.components, policiesName)
	delete(c.components, proxyName)
	c.mu.Unlock()

	for _, name := range names {
		c.stopNode(name)
	}

	for _, part := range shared {
		if part != nil {
			end(part.process)
		}
	}
}

func (c *ControlPlane) cgroup(node string) string { return filepath.Join(c.binaries.Pods.Cgroup, node) }

// shims is the group of what looks after a node's containers: it outlives them, and its runtime too, so it ends with the node
// only if it is in the node's group.
func (c *ControlPlane) shims(node string) string { return filepath.Join(c.cgroup(node), "shims") }

// ensureNodes keeps the real nodes' processes running. As they are in one network namespace, one kube-proxy is for all of
// them, and one process that enforces NetworkPolicies.
func (c *ControlPlane) ensureNodes(ruling Member, server string) error {
	c.mu.Lock()
	nodes := slices.SortedFunc(maps.Values(c.realNodes), func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	c.mu.Unlock()

	for _, node := range nodes {
		if err := makeGroup(c.shims(node.Name)); err != nil {
			return fmt.Errorf("node %s: cgroup: %w", node.Name, err)
		}

		runtime, err := c.containerdArgs(node, ruling)
		if err != nil {
			return err
		}

		if err = c.ensure(runtimeOf(node.Name), "sh", runtime); err != nil {
			return err
		}

		kubelet, err := c.kubeletArgs(node, ruling, server)
		if err != nil {
			return err
		}

		if err = c.ensure(kubeletOf(node.Name), "sh", kubelet); err != nil {
			return err
		}

		if err = c.ensureDrivers(node, c.rootOf(node.Name)); err != nil {
			return err
		}
	}

	if len(nodes) == 0 {
		return nil
	}

	policies := onNode(c.binaries.Pods.Policies, c.path("pki", "lab.kubeconfig"), podRange(ruling))
	if err := c.ensure(policiesName, "sh", policies); err != nil {
		return err
	}

	proxy, err := c.proxyArgs(nodes[0], ruling, server)
	if err != nil {
		return err
	}
	return c.ensure(proxyName, "sh", proxy)
}

// rootOf is a kubelet's root directory. It listens on sockets far below it, whose paths have a limit, so this one is short.
func (c *ControlPlane) rootOf(node string) string { return filepath.Join(c.binaries.Pods.Roots, node) }

// directory is one of a node's own, made if it is missing.
func (f *files) directory(parts ...string) string {
	path := f.control.path(append([]string{"nodes"}, parts...)...)
	f.keep(os.MkdirAll(path, 0o755))
	return path
}

func (c *ControlPlane) socketOf(node Node) string {
	return filepath.Join(c.binaries.Pods.Sockets, node.Name, "containerd.sock")
}

// containerdArgs writes the runtime's configuration. The options that tolerate and restrict let it run in a container.
func (c *ControlPlane) containerdArgs(node Node, ruling Member) ([]string, error) {
	f := &files{control: c}
	pods := c.binaries.Pods
	sockets := filepath.Join(pods.Sockets, node.Name)
	f.keep(os.MkdirAll(sockets, 0o700))

	list := map[string]any{
		"cniVersion": "1.0.0", "name": "pods",
		"plugins": []any{
			map[string]any{
				"type": "bridge", "bridge": "pods0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
				"ipam": map[string]any{
					"type": "host-local", "dataDir": f.directory("addresses"),
					"ranges": []any{[]any{map[string]any{"subnet": podRange(ruling)}}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}

	document, err := json.Marshal(list)
	f.keep(err)

	network := f.write(filepath.Join("cni", node.Name, "10-pods.conflist"), document)
	store := "http://" + pods.Store
	hosts := f.write(filepath.Join("registries", node.Name, "_default", "hosts.toml"),
		fmt.Appendf(nil, "server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", store, store))

	settings := fmt.Sprintf(containerdSettings,
		f.directory(node.Name, "containerd"), filepath.Join(sockets, "state"), c.socketOf(node), f.directory(node.Name, "opt"),
		pods.Sandbox, filepath.Dir(filepath.Dir(hosts)), pods.Plugins, filepath.Dir(network), pods.Shim, pods.Runc, c.shims(node.Name))
	return onNode(pods.Containerd, "--config", f.write("containerd-"+node.Name+".toml", []byte(settings))), f.err
}

const containerdSettings = `version = 3
root = %q
state = %q
oom_score = 0

[grpc]
address = %q

[plugins."io.containerd.internal.v1.opt"]
path = %q

# Its socket would be in /var/run, which is the machine's.
[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
pinned_images = {sandbox = %q}
registry = {config_path = %q}

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
disable_hugetlb_controller = true
enable_unprivileged_ports = true
cni = {bin_dirs = [%q], conf_dir = %q}

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = %q
options = {BinaryName = %q, SystemdCgroup = false, ShimCgroup = %q}
`

// podRange is the addresses of all pods: the nodes are bridged, so none needs a part of its own.
func podRange(ruling Member) string { return ruling.Config.Cluster().Network().PodCIDRs()[0] }

// kubeletArgs writes the kubelet's configuration, with the certificates that it has on a node of Talos.
func (c *ControlPlane) kubeletArgs(node Node, ruling Member, server string) ([]string, error) {
	f := &files{control: c}
	cluster := ruling.Config.Cluster()
	user, groups := "system:node:"+node.Name, []string{"system:nodes"}
	crt, key := f.pair("kubelet-"+node.Name, cluster.IssuingCA(), pki.Leaf{
		CommonName: user, Organizations: groups, Names: []string{node.Address, node.Name}, Server: true,
	})
	clientCrt, clientKey := f.pair("clients/kubelet-"+node.Name, cluster.IssuingCA(), pki.Leaf{
		CommonName: user, Organizations: groups, Client: true,
	})
	f.keep(show(f.directory(node.Name, "kubelet"), c.rootOf(node.Name)))

	addresses, err := cluster.Network().DNSServiceIPs()
	f.keep(err)

	// CoreDNS wants a server to ask for names outside; this one refuses at once.
	resolver := f.write("resolv-"+node.Name+".conf", []byte("nameserver "+node.Address+"\n"))
	f.keep(os.Chmod(resolver, 0o644))
	settings := f.yaml("kubelet-"+node.Name+".yaml", map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": node.Address, "healthzBindAddress": node.Address,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true},
			"x509": map[string]any{"clientCAFile": c.path("pki", "ca.crt")},
		},
		"authorization": map[string]any{"mode": "Webhook"},
		"tlsCertFile":   crt, "tlsPrivateKeyFile": key,
		"cgroupDriver": "cgroupfs", "cgroupRoot": c.cgroup(node.Name), "failCgroupV1": false, "failSwapOn": false,
		"oomScoreAdj":              0, // lowering it needs a privilege that a container may lack
		"containerRuntimeEndpoint": "unix://" + c.socketOf(node),
		"clusterDNS":               []string{addresses[0].String()}, "clusterDomain": cluster.Network().DNSDomain(),
		"resolvConf":             resolver,
		"volumePluginDir":        f.directory(node.Name, "plugins"),
		"podLogsDir":             f.directory(node.Name, "logs"),
		"enforceNodeAllocatable": []string{"pods"},
		"evictionHard": map[string]any{
			"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
		},
		"imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
		"serializeImagePulls": false,
		"registerNode":        true,
	})
	config := f.credentials("kubelet-"+node.Name+".kubeconfig", clientCrt, clientKey, server)
	return onNode(
		c.binaries.Pods.Kubelet, "--config="+settings, "--kubeconfig="+config, "--root-dir="+c.rootOf(node.Name),
		"--cert-dir="+f.directory(node.Name, "certificates"), "--hostname-override="+node.Name, "--node-ip="+node.Address,
		"--node-labels="+playedLabel+"="+realValue,
	), f.err
}

// proxyArgs writes the configuration of kube-proxy, which is there in Cilium's place. It changes no sysctl of the machine.
func (c *ControlPlane) proxyArgs(node Node, ruling Member, server string) ([]string, error) {
	f := &files{control: c}
	config := f.kubeconfig(proxyName, "system:kube-proxy", server, ruling.Config.Cluster())
	settings := f.yaml("kube-proxy.yaml", map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"clientConnection": map[string]any{"kubeconfig": config},
		"mode":             "iptables", "clusterCIDR": podRange(ruling), "hostnameOverride": node.Name,
		"healthzBindAddress": net.JoinHostPort(node.Address, "10256"), "metricsBindAddress": net.JoinHostPort(node.Address, "10249"),
		"conntrack": map[string]any{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})
	return onNode(c.binaries.Pods.Proxy, "--config="+settings), f.err
}

// credentials writes a kubeconfig for a certificate.
func (f *files) credentials(name, crt, key, server string) string {
	return f.yaml(name, map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "lab",
		"clusters": []any{map[string]any{"name": "lab", "cluster": map[string]any{"server": server, "certificate-authority": f.control.path("pki", "ca.crt")}}},
		"users":    []any{map[string]any{"name": "lab", "user": map[string]any{"client-certificate": crt, "client-key": key}}},
		"contexts": []any{map[string]any{"name": "lab", "context": map[string]any{"cluster": "lab", "user": "lab"}}},
	})
}
