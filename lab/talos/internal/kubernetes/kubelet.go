package kubernetes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// KubeletPort is where the API server, metrics-server and Prometheus reach a kubelet.
const KubeletPort = "10250"

const (
	servingSigner = "kubernetes.io/kubelet-serving"
	requests      = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	nodeUser      = "system:node:"

	retryDenied = 5 * time.Second // 32 s in client-go's certificate manager
)

var errNoCertificate = errors.New("no serving certificate available for the kubelet")

// Kubelet is the port of one node's kubelet. With a certificate that is to be signed it asks for one, and until somebody
// has approved that, every handshake ends with "tls: internal error", as a real one's does (GetCertificate of the server
// manager in pkg/kubelet/certificate/kubelet.go). Behind it are /healthz and nothing else: pods are kwok's.
type Kubelet struct {
	Control *ControlPlane

	mu          sync.Mutex
	server      *http.Server
	of          string // cluster, node and address that the rest belongs to
	signed      bool
	key         *ecdsa.PrivateKey
	certificate *tls.Certificate
	request     string // the pending one
	deniedAt    time.Time
}

// Ensure opens the port, and asks for a certificate or looks what became of the request.
func (k *Kubelet) Ensure(ctx context.Context, cluster, node, address string, signed bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	if of := strings.Join([]string{cluster, node, address}, " "); of != k.of || signed != k.signed {
		k.of, k.signed, k.key, k.certificate, k.request = of, signed, nil, nil, ""
	}

	if k.server == nil {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, KubeletPort))
		if err != nil {
			return nil //nolint:nilerr // still closing from the last boot: the next look tries again
		}

		k.server = &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{
			GetCertificate: k.serving, MinVersion: tls.VersionTLS12,
		}, ErrorLog: silent}
		go func(server *http.Server) { _ = server.ServeTLS(listener, "", "") }(k.server)
	}

	switch {
	case k.certificate != nil:
		return nil
	case !signed:
		return k.signOwn(node, address)
	case k.request == "":
		return k.ask(ctx, node, address)
	}
	return k.look(ctx)
}

// Close ends the port, as a node that goes down does. Key and certificate stay on its disk.
func (k *Kubelet) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.server != nil {
		_ = k.server.Close()
		k.server = nil
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/healthz" {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte("ok"))
}

func (k *Kubelet) serving(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.certificate == nil {
		return nil, errNoCertificate
	}
	return k.certificate, nil
}

func (k *Kubelet) signOwn(node, address string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: node + "@" + fmt.Sprint(time.Now().Unix())},
		DNSNames: []string{node}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}

	k.certificate = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return nil
}

// ask makes the request as the node, whose name the API server puts into it.
func (k *Kubelet) ask(ctx context.Context, node, address string) error {
	if time.Since(k.deniedAt) < retryDenied {
		return nil
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}

	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: nodeUser + node, Organization: []string{"system:nodes"}},
		DNSNames: []string{node}, IPAddresses: []net.IP{net.ParseIP(address)},
	}, key)
	if err != nil {
		return err
	}

	made, err := k.Control.callAs(ctx, nodeUser+node, http.MethodPost, requests, map[string]any{
		"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
		"metadata": map[string]any{"generateName": "csr-"},
		"spec": map[string]any{
			"request":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			"signerName": servingSigner, "usages": []string{"digital signature", "server auth"},
		},
	})
	if err != nil {
		return fmt.Errorf("node %s: ask for a serving certificate: %w", node, err)
	}

	var request signingRequest
	if err = json.Unmarshal(made, &request); err != nil {
		return err
	}

	k.key, k.request = key, request.Metadata.Name
	return nil
}

func (k *Kubelet) look(ctx context.Context) error {
	found, err := k.Control.call(ctx, http.MethodGet, requests+"/"+k.request, nil)
	if statusOf(err) == http.StatusNotFound {
		k.request = "" // collected, which happens to one that nobody approves
		return nil
	} else if err != nil {
		return err
	}

	var request signingRequest
	if err = json.Unmarshal(found, &request); err != nil {
		return err
	}

	if request.has("Denied") || request.has("Failed") {
		k.request, k.deniedAt = "", time.Now()
		return nil
	}

	if len(request.Status.Certificate) == 0 {
		return nil
	}

	private, err := x509.MarshalECPrivateKey(k.key)
	if err != nil {
		return err
	}

	pair, err := tls.X509KeyPair(request.Status.Certificate, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
	if err != nil {
		return err
	}

	k.certificate = &pair
	k.Control.journal.Record("kubelet-certificate", 0, strings.Fields(k.of)[1])
	return nil
}
