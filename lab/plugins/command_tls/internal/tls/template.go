package tls

import (
	"crypto"
	"crypto/sha1" //nolint:gosec // what RFC 5280 proposes for key identifiers
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"slices"
)

var keyUsages = map[string]x509.KeyUsage{
	"digital_signature":  x509.KeyUsageDigitalSignature,
	"content_commitment": x509.KeyUsageContentCommitment,
	"key_encipherment":   x509.KeyUsageKeyEncipherment,
	"data_encipherment":  x509.KeyUsageDataEncipherment,
	"key_agreement":      x509.KeyUsageKeyAgreement,
	"cert_signing":       x509.KeyUsageCertSign,
	"crl_signing":        x509.KeyUsageCRLSign,
	"encipher_only":      x509.KeyUsageEncipherOnly,
	"decipher_only":      x509.KeyUsageDecipherOnly,
}

var extendedKeyUsages = map[string]x509.ExtKeyUsage{
	"any_extended":     x509.ExtKeyUsageAny,
	"server_auth":      x509.ExtKeyUsageServerAuth,
	"client_auth":      x509.ExtKeyUsageClientAuth,
	"code_signing":     x509.ExtKeyUsageCodeSigning,
	"email_protection": x509.ExtKeyUsageEmailProtection,
	"timestamping":     x509.ExtKeyUsageTimeStamping,
	"ocsp_signing":     x509.ExtKeyUsageOCSPSigning,
}

// uses are all the names that allowedUses may hold here; the official plugin has a few more rare ones.
func uses() []string {
	return slices.Concat(slices.Sorted(maps.Keys(keyUsages)), slices.Sorted(maps.Keys(extendedKeyUsages)))
}

// Subject is a distinguished name.
type Subject struct {
	CommonName         *string   `pulumi:"commonName,optional"`
	Country            *string   `pulumi:"country,optional"`
	EmailAddress       *string   `pulumi:"emailAddress,optional"`
	Locality           *string   `pulumi:"locality,optional"`
	Organization       *string   `pulumi:"organization,optional"`
	OrganizationalUnit *string   `pulumi:"organizationalUnit,optional"`
	PostalCode         *string   `pulumi:"postalCode,optional"`
	Province           *string   `pulumi:"province,optional"`
	SerialNumber       *string   `pulumi:"serialNumber,optional"`
	StreetAddresses    *[]string `pulumi:"streetAddresses,optional"`
}

var emailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

func (s *Subject) name() pkix.Name {
	var name pkix.Name
	if s == nil {
		return name
	}
	name.CommonName, name.SerialNumber, name.StreetAddress = text(s.CommonName), text(s.SerialNumber), list(s.StreetAddresses)
	name.Country, name.Province, name.Locality, name.PostalCode = one(s.Country), one(s.Province), one(s.Locality), one(s.PostalCode)
	name.Organization, name.OrganizationalUnit = one(s.Organization), one(s.OrganizationalUnit)
	if s.EmailAddress != nil {
		name.ExtraNames = []pkix.AttributeTypeAndValue{{
			Type: emailAddress, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(*s.EmailAddress)},
		}}
	}
	return name
}

// template is the certificate before it is signed, without its serial number.
func (in CertInputs) template(key crypto.PublicKey) (*x509.Certificate, error) {
	certificate := &x509.Certificate{
		BasicConstraintsValid: true, IsCA: *in.IsCACertificate, Subject: in.Subject.name(), DNSNames: list(in.DNSNames),
		NotBefore: now(),
	}
	certificate.NotAfter = certificate.NotBefore.Add(hours(in.ValidityPeriodHours))
	for _, use := range in.AllowedUses {
		if extended, found := extendedKeyUsages[use]; found {
			certificate.ExtKeyUsage = append(certificate.ExtKeyUsage, extended)
		}
		certificate.KeyUsage |= keyUsages[use]
	}
	for _, address := range list(in.IPAddresses) {
		ip := net.ParseIP(address)
		if ip == nil {
			return nil, fmt.Errorf("ipAddresses: %q is not an IP address", address)
		}
		certificate.IPAddresses = append(certificate.IPAddresses, ip)
	}
	for _, address := range list(in.URIs) {
		uri, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("uris: %w", err)
		}
		certificate.URIs = append(certificate.URIs, uri)
	}
	if certificate.IsCA && reflect.DeepEqual(certificate.Subject, pkix.Name{}) {
		return nil, errors.New("invalid certificate subject: must contain at least one Distinguished Name when creating " +
			"a Certificate Authority (CA)")
	}
	if in.MaxPathLength != nil && *in.MaxPathLength >= 0 {
		certificate.MaxPathLen = *in.MaxPathLength
	}
	if certificate.IsCA || *in.SetSubjectKeyID {
		var err error
		if certificate.SubjectKeyId, err = keyIdentifier(key); err != nil {
			return nil, err
		}
	}
	if *in.SetAuthorityKeyID {
		if certificate.SubjectKeyId == nil {
			return nil, errors.New("invalid certificate authority: could not determine the Authority Key Identifier: set setSubjectKeyId")
		}
		certificate.AuthorityKeyId = certificate.SubjectKeyId
	}
	return certificate, nil
}

// keyIdentifier is the SHA-1 of the key's bits (RFC 5280, 4.2.1.2, method 1).
func keyIdentifier(key crypto.PublicKey) ([]byte, error) {
	encoded, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(encoded, &info); err != nil {
		return nil, err
	}
	sum := sha1.Sum(info.Key.Bytes) //nolint:gosec // see the import
	return sum[:], nil
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

func one(value *string) []string {
	if value == nil {
		return nil
	}
	return []string{*value}
}

func list(values *[]string) []string {
	if values == nil {
		return nil
	}
	return *values
}
