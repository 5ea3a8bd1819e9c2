package kubernetes

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"homelab/lab/talos/internal/pki"
)

// files collects configuration files under the control plane's pki directory and the first error on the way.
type files struct {
	control *ControlPlane
	err     error
}

func (f *files) write(name string, content []byte) string {
	path, err := f.control.write(name, content)
	f.keep(err)
	return path
}

func (f *files) yaml(name string, content any) string {
	document, err := yaml.Marshal(content)
	f.keep(err)
	return f.write(name, document)
}

func (f *files) pair(name string, ca *pki.CA, leaf pki.Leaf) (crt, key string) {
	crt, key, err := f.control.pair(name, ca, leaf)
	f.keep(err)
	return crt, key
}

func (f *files) kubeconfig(name, user, server string, cluster clusterConfig) string {
	leaf := pki.Leaf{CommonName: user, Client: true}
	crt, key := f.pair("clients/"+name, cluster.IssuingCA(), leaf)
	return f.yaml(name+".kubeconfig", map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": map[string]any{"server": server, "certificate-authority": f.control.path("pki", "ca.crt")}}},
		"users":    []any{map[string]any{"name": name, "user": map[string]any{"client-certificate": crt, "client-key": key}}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
	})
}

func (f *files) keep(err error) {
	if f.err == nil {
		f.err = err
	}
}

// apiServerArgs renders what machined renders into the static pod: files and flags from the machine configuration.
// Every control plane's address goes into the certificate, because each one also serves the API on its own address.
func (c *ControlPlane) apiServerArgs(m Member, addresses []string, host string, port int) ([]string, error) {
	cluster := m.Config.Cluster()
	f := &files{control: c}
	ca, aggregator := cluster.IssuingCA(), cluster.AggregatorCA()
	authority := f.write("ca.crt", ca.Crt)

	names := append([]string{
		host, "127.0.0.1", "localhost", cluster.Endpoint().Hostname(),
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + cluster.Network().DNSDomain(),
	}, addresses...)

	services, err := cluster.Network().APIServerIPs()
	f.keep(err)
	for _, address := range services {
		names = append(names, address.String())
	}

	names = append(names, cluster.CertSANs()...)
	slices.Sort(names)

	crt, key := f.pair("apiserver", ca, pki.Leaf{
		CommonName: "kube-apiserver", Organizations: []string{"kube-master"}, Names: slices.Compact(names), Server: true,
	})
	kubeletCrt, kubeletKey := f.pair("apiserver-kubelet-client", ca, pki.Leaf{
		CommonName: "apiserver-kubelet-client", Organizations: []string{"system:masters"}, Client: true,
	})
	proxyCrt, proxyKey := f.pair("front-proxy-client", aggregator, pki.Leaf{CommonName: "front-proxy-client", Client: true})

	serviceAccount, err := cluster.ServiceAccount().GetKey()
	if err != nil {
		return nil, fmt.Errorf("service account key: %w", err)
	}

	var plugins []any
	for _, plugin := range cluster.APIServer().AdmissionControl() {
		plugins = append(plugins, map[string]any{"name": plugin.Name(), "configuration": plugin.Configuration()})
	}

	issuer := cluster.Endpoint().String()
	flags := map[string]string{
		"admission-control-config-file": f.yaml("admission-control-config.yaml", map[string]any{
			"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins,
		}),
		"advertise-address": host,
		"allow-privileged":  "true",
		"anonymous-auth":    "false",
		"api-audiences":     issuer,
		"audit-log-maxage":  "30",
		"audit-log-maxsize": "100",
		"audit-log-path":    c.path("audit.log"),
		"audit-policy-file": f.yaml("auditpolicy.yaml", cluster.APIServer().AuditPolicy()),
		"bind-address":      host,
		"client-ca-file":    authority,
		"authorization-config": f.yaml("authorization-config.yaml", map[string]any{
			"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
			"authorizers": []any{map[string]any{"type": "Node", "name": "node"}, map[string]any{"type": "RBAC", "name": "rbac"}},
		}),
		// Webhooks are pods, which are played here and listen to nothing.
		"disable-admission-plugins":          "ValidatingAdmissionWebhook,MutatingAdmissionWebhook",
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"encryption-provider-config":         f.yaml("encryptionconfig.yaml", encryption(cluster)),
		"etcd-cafile":                        c.path("pki", "etcd", "ca.crt"),
		"etcd-certfile":                      c.path("pki", "etcd", "client.crt"),
		"etcd-keyfile":                       c.path("pki", "etcd", "client.key"),
		"etcd-servers":                       "https://" + strings.Join(addresses, ":2379,https://") + ":2379",
		"kubelet-client-certificate":         kubeletCrt,
		"kubelet-client-key":                 kubeletKey,
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"profiling":                          "false",
		"proxy-client-cert-file":             proxyCrt,
		"proxy-client-key-file":              proxyKey,
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-client-ca-file":       f.write("aggregator-ca.crt", aggregator.Crt),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"secure-port":                        strconv.Itoa(port),
		"service-account-issuer":             issuer,
		"service-account-key-file":           f.write("service-account.pub", serviceAccount.GetPublicKeyPEM()),
		"service-account-signing-key-file":   f.write("service-account.key", serviceAccount.GetPrivateKeyPEM()),
		"service-cluster-ip-range":           strings.Join(cluster.Network().ServiceCIDRs(), ","),
		"tls-cert-file":                      crt,
		"tls-min-version":                    "VersionTLS12",
		"tls-private-key-file":               key,
	}

	if net.ParseIP(host).IsLoopback() {
		// A loopback address may not stand in an EndpointSlice.
		flags["endpoint-reconciler-type"] = "none"
	}
	return render(flags, cluster.APIServer().ExtraArgs()), f.err
}

func encryption(cluster clusterConfig) map[string]any {
	var providers []any
	if secret := cluster.SecretboxEncryptionSecret(); secret != "" {
		providers = append(providers, map[string]any{"secretbox": map[string]any{"keys": []any{map[string]any{"name": "key2", "secret": secret}}}})
	}

	if secret := cluster.AESCBCEncryptionSecret(); secret != "" {
		providers = append(providers, map[string]any{"aescbc": map[string]any{"keys": []any{map[string]any{"name": "key1", "secret": secret}}}})
	}
	return map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
		"resources": []any{map[string]any{"resources": []string{"secrets"}, "providers": append(providers, map[string]any{"identity": map[string]any{}})}},
	}
}

func (c *ControlPlane) controllerManagerArgs(m Member, host, server string) ([]string, error) {
	cluster := m.Config.Cluster()
	f := &files{control: c}
	kubeconfig := f.kubeconfig("kube-controller-manager", "system:kube-controller-manager", server, cluster)

	flags := map[string]string{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        kubeconfig,
		"authorization-kubeconfig":         kubeconfig,
		"bind-address":                     host,
		"cert-dir":                         c.path("kube-controller-manager"),
		"cluster-cidr":                     strings.Join(cluster.Network().PodCIDRs(), ","),
		"cluster-signing-cert-file":        f.write("ca.crt", cluster.IssuingCA().Crt),
		"cluster-signing-key-file":         f.write("ca.key", cluster.IssuingCA().Key),
		"configure-cloud-routes":           "false",
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       kubeconfig,
		"leader-elect":                     "true",
		"profiling":                        "false",
		"root-ca-file":                     c.path("pki", "ca.crt"),
		"service-account-private-key-file": c.path("pki", "service-account.key"),
		"service-cluster-ip-range":         strings.Join(cluster.Network().ServiceCIDRs(), ","),
		"tls-min-version":                  "VersionTLS13",
		"use-service-account-credentials":  "true",
		// A machine that is switched off shows up within half a minute instead of a whole one.
		"node-monitor-grace-period": "25s",
	}
	return render(flags, cluster.ControllerManager().ExtraArgs(), "bind-address"), f.err
}

func (c *ControlPlane) schedulerArgs(m Member, host, server string) ([]string, error) {
	f := &files{control: c}
	kubeconfig := f.kubeconfig("kube-scheduler", "system:kube-scheduler", server, m.Config.Cluster())

	flags := map[string]string{
		"authentication-kubeconfig":              kubeconfig,
		"authentication-tolerate-lookup-failure": "false",
		"authorization-kubeconfig":               kubeconfig,
		"bind-address":                           host,
		"cert-dir":                               c.path("kube-scheduler"),
		"leader-elect":                           "true",
		"profiling":                              "false",
		"tls-min-version":                        "VersionTLS13",
		"config": f.yaml("scheduler-config.yaml", map[string]any{
			"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
			"clientConnection": map[string]any{"kubeconfig": kubeconfig},
		}),
	}
	return render(flags, m.Config.Cluster().Scheduler().ExtraArgs(), "bind-address"), f.err
}

func (c *ControlPlane) kwokArgs(m Member, host string, port int, server string) ([]string, error) {
	f := &files{control: c}
	cluster := m.Config.Cluster()
	crt, key := f.pair("clients/lab", cluster.IssuingCA(), pki.Leaf{CommonName: "lab", Organizations: []string{"system:masters"}, Client: true})

	kubeconfig := f.yaml("lab.kubeconfig", map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "lab",
		"clusters": []any{map[string]any{"name": "lab", "cluster": map[string]any{"server": server, "certificate-authority": c.path("pki", "ca.crt")}}},
		"users":    []any{map[string]any{"name": "lab", "user": map[string]any{"client-certificate": crt, "client-key": key}}},
		"contexts": []any{map[string]any{"name": "lab", "context": map[string]any{"cluster": "lab", "user": "lab"}}},
	})

	args := []string{
		"--kubeconfig", kubeconfig, "--manage-all-nodes=false",
		"--manage-nodes-with-label-selector=" + playedLabel + "=" + playedValue, "--node-lease-duration-seconds=40",
		"--server-address", net.JoinHostPort(host, strconv.Itoa(port)),
	}
	return args, f.err
}

type clusterConfig = interface {
	IssuingCA() *pki.CA
	SecretboxEncryptionSecret() string
	AESCBCEncryptionSecret() string
}

// render sorts the flags; extraArgs of the machine configuration win, except for what is kept: a node of the lab is an
// address of this machine, where listening everywhere would be listening for all labs and all who reach it.
func render(flags map[string]string, extra map[string][]string, kept ...string) []string {
	for name, values := range extra {
		if !slices.Contains(kept, name) {
			flags[name] = strings.Join(values, ",")
		}
	}

	var args []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+name+"="+flags[name])
	}
	return args
}
