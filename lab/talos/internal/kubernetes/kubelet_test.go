package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"homelab/lab/talos/internal/journal"
)

// signer is an API server with one request, which it signs once it is told to.
type signer struct {
	authority tls.Certificate
	request   []byte
	user      string
	approved  bool
}

func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		var made struct {
			Spec struct{ Request []byte }
		}

		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &made)
		s.request, s.user = made.Spec.Request, r.Header.Get("Impersonate-User")
	}

	status := map[string]any{}
	if s.approved {
		status["certificate"] = s.sign()
	}

	_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"name": "csr-1"}, "status": status})
}

func (s *signer) sign() []byte {
	block, _ := pem.Decode(s.request)
	asked, _ := x509.ParseCertificateRequest(block.Bytes)
	authority, _ := x509.ParseCertificate(s.authority.Certificate[0])
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: asked.Subject, DNSNames: asked.DNSNames, IPAddresses: asked.IPAddresses,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, _ := x509.CreateCertificate(nil, leaf, authority, asked.PublicKey, s.authority.PrivateKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAKubeletsPortTakesNoConnectionUntilItsRequestIsApproved(t *testing.T) {
	signs := &signer{}
	server := httptest.NewTLSServer(signs)
	defer server.Close()
	signs.authority = server.TLS.Certificates[0]

	events, err := journal.Open(t.TempDir() + "/events")
	if err != nil {
		t.Fatal(err)
	}

	control := &ControlPlane{journal: events, api: &api{listener: strings.TrimPrefix(server.URL, "https://"), client: server.Client()}}
	kubelet := &Kubelet{Control: control}
	defer kubelet.Close()

	const address = "127.87.0.1"
	look := func() error {
		if err := kubelet.Ensure(context.Background(), "lab", "worker-0", address, true); err != nil {
			t.Fatal(err)
		}

		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())

		connection, err := tls.Dial("tcp", net.JoinHostPort(address, KubeletPort), &tls.Config{RootCAs: roots, ServerName: "worker-0", MinVersion: tls.VersionTLS12})
		if err == nil {
			_ = connection.Close()
		}
		return err
	}

	if err := look(); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Fatalf("before: %v", err)
	}

	if signs.user != "system:node:worker-0" {
		t.Errorf("asked as %q", signs.user)
	}

	signs.approved = true
	if err := look(); err != nil {
		t.Fatalf("after: %v", err)
	}
}
