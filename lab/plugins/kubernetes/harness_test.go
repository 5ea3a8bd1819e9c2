package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientapi "k8s.io/client-go/tools/clientcmd/api"
)

// labTools are the servers that a cluster of the tests is made of; LAB_BIN names the directory that holds them.
var labTools = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}

// control is the one cluster that all tests of a run share, on a loopback address of this process's own.
var control struct {
	once       sync.Once
	err        error
	dir        string
	kubeconfig string
	processes  []*exec.Cmd
}

func TestMain(m *testing.M) {
	code := m.Run()
	for i := len(control.processes) - 1; i >= 0; i-- {
		process := control.processes[i]
		_ = process.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(5*time.Second, func() { _ = process.Process.Kill() })
		_ = process.Wait()
	}
	if control.dir != "" {
		_ = os.RemoveAll(control.dir)
	}
	os.Exit(code)
}

// realCluster returns the kubeconfig of a real control plane with one node, and starts it for the first test.
func realCluster(t *testing.T) string {
	t.Helper()
	control.once.Do(func() { control.err = startControlPlane() })
	if control.err != nil {
		t.Fatal(control.err)
	}
	return control.kubeconfig
}

func startControlPlane() error {
	bin := os.Getenv("LAB_BIN")
	if bin == "" {
		return fmt.Errorf("LAB_BIN is not set: set it to the directory that holds %s", strings.Join(labTools, ", "))
	}
	var missing []string
	for _, tool := range labTools {
		if _, err := os.Stat(filepath.Join(bin, tool)); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("LAB_BIN=%s lacks %s: build them with the lab's tools first", bin, strings.Join(missing, ", "))
	}
	dir, err := os.MkdirTemp("", "lab-kubernetes-")
	if err != nil {
		return err
	}
	control.dir = dir
	pid := os.Getpid()
	ip := fmt.Sprintf("127.33.%d.%d", 1+pid/250%250, 1+pid%250)
	if err := writePKI(dir, ip); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	etcd := "http://" + net.JoinHostPort(ip, "2379")
	peer := "http://" + net.JoinHostPort(ip, "2380")
	start := func(tool string, args ...string) error { return startTool(bin, dir, tool, args...) }
	if err := start("etcd", "--data-dir="+file("etcd"), "--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer); err != nil {
		return err
	}
	if err := start("kube-apiserver", "--etcd-servers="+etcd, "--bind-address="+ip, "--advertise-address="+ip,
		"--secure-port=6443", "--tls-cert-file="+file("server.crt"), "--tls-private-key-file="+file("server.key"),
		"--client-ca-file="+file("ca.crt"), "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default", "--service-account-key-file="+file("server.key"),
		"--service-account-signing-key-file="+file("server.key")); err != nil {
		return err
	}
	if err := writeKubeconfig(dir, ip); err != nil {
		return err
	}
	if err := awaitReadyz(file("kubeconfig")); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(file("kube-apiserver.log")))
	}
	content, err := os.ReadFile(file("kubeconfig"))
	if err != nil {
		return err
	}
	control.kubeconfig = string(content)
	if err := start("kube-controller-manager", "--kubeconfig="+file("kubeconfig"), "--bind-address="+ip,
		"--leader-elect=false", "--service-account-private-key-file="+file("server.key"), "--root-ca-file="+file("ca.crt")); err != nil {
		return err
	}
	if err := start("kube-scheduler", "--kubeconfig="+file("kubeconfig"), "--bind-address="+ip, "--leader-elect=false"); err != nil {
		return err
	}
	if err := start("kwok", "--kubeconfig="+file("kubeconfig"), "--manage-all-nodes=true",
		"--node-lease-duration-seconds=40", "--server-address="+net.JoinHostPort(ip, "10247")); err != nil {
		return err
	}
	c := connect(settings{Kubeconfig: control.kubeconfig, client: clientSettings{Burst: 100, QPS: 50}})
	if c.unreachable != "" {
		return fmt.Errorf("the API server does not answer: %s", c.unreachable)
	}
	nodes := c.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
	node := object("v1", "Node", "", "node-1")
	_, err = nodes.Create(context.Background(), node, metav1.CreateOptions{})
	return err
}

func startTool(bin, dir, tool string, args ...string) error {
	log, err := os.Create(filepath.Join(dir, tool+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(filepath.Join(bin, tool), args...)
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	// A test run that is killed must not leave servers behind.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", tool, err)
	}
	control.processes = append(control.processes, command)
	return nil
}

func tail(path string) string {
	content, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

func awaitReadyz(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		response, err := client.Get(config.Host + "/readyz")
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("kube-apiserver was not ready within a minute; its log ends with:")
}

// writePKI makes a certificate authority, the API server's certificate and an administrator's.
func writePKI(dir, ip string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "ca.crt"), "CERTIFICATE", raw); err != nil {
		return err
	}
	for i, subject := range []pkix.Name{
		{CommonName: "server"}, {CommonName: "admin", Organization: []string{"system:masters"}},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		certificate := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: subject, NotAfter: ca.NotAfter,
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.ParseIP(ip)},
		}
		raw, err := x509.CreateCertificate(rand.Reader, certificate, ca, &key.PublicKey, caKey)
		if err != nil {
			return err
		}
		if err := writePEM(filepath.Join(dir, subject.CommonName+".crt"), "CERTIFICATE", raw); err != nil {
			return err
		}
		encoded, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return err
		}
		if err := writePEM(filepath.Join(dir, subject.CommonName+".key"), "EC PRIVATE KEY", encoded); err != nil {
			return err
		}
	}
	return nil
}

func writePEM(path, kind string, content []byte) error {
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: content}); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

func writeKubeconfig(dir, ip string) error {
	read := func(name string) []byte {
		content, _ := os.ReadFile(filepath.Join(dir, name))
		return content
	}
	return clientcmd.WriteToFile(clientapi.Config{
		Clusters: map[string]*clientapi.Cluster{
			"lab": {Server: "https://" + net.JoinHostPort(ip, "6443"), CertificateAuthorityData: read("ca.crt")},
		},
		AuthInfos: map[string]*clientapi.AuthInfo{
			"admin": {ClientCertificateData: read("admin.crt"), ClientKeyData: read("admin.key")},
		},
		Contexts:       map[string]*clientapi.Context{"lab": {Cluster: "lab", AuthInfo: "admin"}},
		CurrentContext: "lab",
	}, filepath.Join(dir, "kubeconfig"))
}

func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	obj.SetName(name)
	if namespace != "" {
		obj.SetNamespace(namespace)
	}
	return obj
}
