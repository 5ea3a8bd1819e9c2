package kubernetes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"strings"
	"testing"
)

var approverSettings = map[string]string{"PROVIDER_REGEX": "^(worker-0|worker-1)$", "PROVIDER_IP_PREFIXES": "127.20.2.1/32,127.20.2.2/32"}

func servingRequest(t *testing.T, user, name, address string) signingRequest {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: user, Organization: []string{"system:nodes"}}, DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP(address)},
	}, key)
	if err != nil {
		t.Fatal(err)
	}

	var request signingRequest
	request.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	request.Spec.Username = user
	return request
}

func TestANodesOwnNameAndAddressAreApproved(t *testing.T) {
	if reason := refusal(servingRequest(t, "system:node:worker-0", "worker-0", "127.20.2.1"), approverSettings); reason != "" {
		t.Errorf("denied: %s", reason)
	}
}

func TestForeignNamesAndAddressesAreDenied(t *testing.T) {
	for _, each := range []struct{ user, name, address, reason string }{
		{"somebody", "worker-0", "127.20.2.1", "not prefixed with system:node:"},
		{"system:node:worker-0", "worker-1", "127.20.2.1", "not prefixed by the node name"},
		{"system:node:worker-2", "worker-2", "127.20.2.1", "not allowed by the Cloud provider regex"},
		{"system:node:worker-0", "worker-0", "127.20.3.1", "127.20.3.1, is not part"},
	} {
		if reason := refusal(servingRequest(t, each.user, each.name, each.address), approverSettings); !strings.Contains(reason, each.reason) {
			t.Errorf("%v: got %q", each, reason)
		}
	}
}
