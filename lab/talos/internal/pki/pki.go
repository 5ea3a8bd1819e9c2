// Package pki signs the leaf certificates of the simulated site with the CAs of the applied machine configuration.
package pki

import (
	"crypto/tls"
	stdx509 "crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/siderolabs/crypto/x509"
)

// CA is a certificate authority as a machine configuration holds it.
type CA = x509.PEMEncodedCertificateAndKey

// Leaf describes a certificate to sign. Names may mix IP addresses and DNS names.
type Leaf struct {
	CommonName    string
	Organizations []string
	Names         []string
	Server        bool
	Client        bool
}

const validity = 365 * 24 * time.Hour

// SelfSigned makes a throw-away CA, as a node in maintenance mode does.
func SelfSigned(organization string) (*CA, error) {
	ca, err := x509.NewSelfSignedCertificateAuthority(x509.Organization(organization), x509.NotAfter(time.Now().Add(validity)))
	if err != nil {
		return nil, err
	}
	return x509.NewCertificateAndKeyFromCertificateAuthority(ca), nil
}

// Issue signs a leaf; ca must hold its key.
func Issue(ca *CA, leaf Leaf) (*CA, error) {
	if ca == nil || len(ca.Key) == 0 {
		return nil, fmt.Errorf("certificate %q: the machine configuration holds no key of its CA", leaf.CommonName)
	}

	authority, err := x509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return nil, fmt.Errorf("certificate %q: %w", leaf.CommonName, err)
	}

	var (
		addresses []net.IP
		domains   []string
		usage     []stdx509.ExtKeyUsage
	)
	for _, name := range leaf.Names {
		if ip := net.ParseIP(name); ip != nil {
			addresses = append(addresses, ip)
		} else if name != "" {
			domains = append(domains, name)
		}
	}

	if leaf.Server {
		usage = append(usage, stdx509.ExtKeyUsageServerAuth)
	}

	if leaf.Client {
		usage = append(usage, stdx509.ExtKeyUsageClientAuth)
	}

	pair, err := x509.NewKeyPair(authority,
		x509.CommonName(leaf.CommonName), x509.Organization(leaf.Organizations...),
		x509.IPAddresses(addresses), x509.DNSNames(domains),
		x509.NotBefore(time.Now().Add(-10*time.Second)), x509.NotAfter(time.Now().Add(validity)),
		x509.KeyUsage(stdx509.KeyUsageDigitalSignature|stdx509.KeyUsageKeyEncipherment), x509.ExtKeyUsage(usage))
	if err != nil {
		return nil, fmt.Errorf("certificate %q: %w", leaf.CommonName, err)
	}
	return x509.NewCertificateAndKeyFromKeyPair(pair), nil
}

// IssueTLS signs a leaf for use in this process.
func IssueTLS(ca *CA, leaf Leaf) (tls.Certificate, error) {
	pair, err := Issue(ca, leaf)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(pair.Crt, pair.Key)
}

// Pool returns the CAs' certificates as a pool of roots.
func Pool(certificates ...[]byte) *stdx509.CertPool {
	pool := stdx509.NewCertPool()
	for _, certificate := range certificates {
		pool.AppendCertsFromPEM(certificate)
	}
	return pool
}
