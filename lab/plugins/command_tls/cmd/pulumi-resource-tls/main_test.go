package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"

	"homelab/lab/plugins/command_tls/internal/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

const (
	privateKey     = "tls:index/privateKey:PrivateKey"
	selfSignedCert = "tls:index/selfSignedCert:SelfSignedCert"
)

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func block(t *testing.T, text, label string) []byte {
	t.Helper()
	found, _ := pem.Decode([]byte(text))
	if found == nil || found.Type != label {
		t.Fatalf("%q is no %s", text, label)
	}
	return found.Bytes
}

func TestEachKindOfKeyComesInEveryForm(t *testing.T) {
	plugin := plugintest.Start(t)
	for label, inputs := range map[string]map[string]any{
		"RSA PRIVATE KEY": {"algorithm": "RSA", "rsaBits": 3072},
		"EC PRIVATE KEY":  {"algorithm": "ECDSA", "ecdsaCurve": "P384"},
		"PRIVATE KEY":     {"algorithm": "ED25519"},
	} {
		key := plugin.Resource(privateKey).Created(inputs)
		block(t, key.Text("privateKeyPem"), label)
		signer, err := ssh.ParsePrivateKey([]byte(key.Text("privateKeyOpenssh")))
		if err != nil {
			t.Fatal(err)
		}
		public := signer.PublicKey()
		equal(t, "publicKeyOpenssh", key.Text("publicKeyOpenssh"), string(ssh.MarshalAuthorizedKey(public)))
		equal(t, "publicKeyFingerprintMd5", key.Text("publicKeyFingerprintMd5"), ssh.FingerprintLegacyMD5(public))
		equal(t, "publicKeyFingerprintSha256", key.Text("publicKeyFingerprintSha256"), ssh.FingerprintSHA256(public))
		parsed, err := x509.ParsePKCS8PrivateKey(block(t, key.Text("privateKeyPemPkcs8"), "PRIVATE KEY"))
		if err != nil {
			t.Fatal(err)
		}
		known, err := x509.ParsePKIXPublicKey(block(t, key.Text("publicKeyPem"), "PUBLIC KEY"))
		if err != nil {
			t.Fatal(err)
		}
		switch parsed := parsed.(type) {
		case *rsa.PrivateKey:
			equal(t, "bits", parsed.N.BitLen(), 3072)
			equal(t, "the public key's match", parsed.PublicKey.Equal(known), true)
		case *ecdsa.PrivateKey:
			equal(t, "curve", parsed.Curve.Params().Name, "P-384")
			equal(t, "the public key's match", parsed.PublicKey.Equal(known), true)
		case ed25519.PrivateKey:
			equal(t, "the public key's match", parsed.Public().(ed25519.PublicKey).Equal(known), true)
		}
		equal(t, "length of the id", len(key.ID), 40)
	}
}

func TestThePrivateFormsOfAKeyAreSecret(t *testing.T) {
	key := plugintest.Start(t).Resource(privateKey).Created(map[string]any{"algorithm": "ED25519"})
	secret := []string{}
	for name, value := range key.State {
		if value.IsSecret() {
			secret = append(secret, string(name))
		}
	}
	slices.Sort(secret)
	equal(t, "what is secret", strings.Join(secret, " "), "privateKeyOpenssh privateKeyPem privateKeyPemPkcs8")
}

func TestAKeyHasDefaults(t *testing.T) {
	key := plugintest.Start(t).Resource(privateKey).Created(map[string]any{"algorithm": "ECDSA"})
	equal(t, "rsaBits", key.State["rsaBits"].NumberValue(), 2048)
	equal(t, "ecdsaCurve", key.Text("ecdsaCurve"), "P224")
}

func TestAKeyThatOpenSSHHasNoWordForLeavesItsFormsEmpty(t *testing.T) {
	key := plugintest.Start(t).Resource(privateKey).Created(map[string]any{"algorithm": "ECDSA"})
	for _, name := range []string{"privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256"} {
		equal(t, name, key.Text(name), "")
	}
}

func TestThePreviewOfAKeyKnowsOnlyItsInputs(t *testing.T) {
	planned := plugintest.Start(t).Resource(privateKey).Preview(map[string]any{"algorithm": "RSA"})
	for name, value := range planned {
		known := slices.Contains([]string{"algorithm", "rsaBits", "ecdsaCurve"}, string(name))
		equal(t, string(name)+" being unknown", value.ContainsUnknowns(), !known)
	}
}

func TestSayingADefaultDoesNotChangeAKey(t *testing.T) {
	key := plugintest.Start(t).Resource(privateKey).Created(map[string]any{"algorithm": "RSA"})
	if changes := key.Diff(map[string]any{"algorithm": "RSA", "rsaBits": 2048, "ecdsaCurve": "P224"}); len(changes) > 0 {
		t.Errorf("changed: %v", changes)
	}
}

func TestAnyChangeMakesAnotherKey(t *testing.T) {
	key := plugintest.Start(t).Resource(privateKey).Created(map[string]any{"algorithm": "ED25519"})
	for name, inputs := range map[string]map[string]any{
		"algorithm": {"algorithm": "RSA"}, "rsaBits": {"algorithm": "ED25519", "rsaBits": 4096},
		"ecdsaCurve": {"algorithm": "ED25519", "ecdsaCurve": "P256"},
	} {
		if kind := key.Diff(inputs)[name]; !strings.HasSuffix(kind, "_REPLACE") {
			t.Errorf("a change of %s is %q, want a replacement", name, kind)
		}
	}
}

func TestWhatIsNoKeyIsRefusedWithTheChoice(t *testing.T) {
	plugin := plugintest.Start(t)
	for inputs, choice := range map[string]string{"DSA,P256": "ED25519", "ECDSA,P512": "P521"} {
		algorithm, curve, _ := strings.Cut(inputs, ",")
		reasons, err := plugin.Resource(privateKey).Check(map[string]any{"algorithm": algorithm, "ecdsaCurve": curve})
		if err != nil || len(reasons) != 1 || !strings.Contains(reasons[0], choice) {
			t.Errorf("%s: want one objection that names %s, got %v, %v", inputs, choice, reasons, err)
		}
	}
}

func TestAnAlgorithmThatIsNotKnownYetPasses(t *testing.T) {
	reasons, err := plugintest.Start(t).Resource(privateKey).Check(map[string]any{"algorithm": plugintest.Unknown()})
	if err != nil || reasons != nil {
		t.Errorf("refused: %v, %v", reasons, err)
	}
}

func TestAnUnknownPropertyIsRefusedByName(t *testing.T) {
	plugintest.NotOfTheOfficialPlugin(t) // which ignores it
	reasons, err := plugintest.Start(t).Resource(privateKey).Check(map[string]any{"algorithm": "RSA", "bits": 1})
	if err != nil || len(reasons) != 1 || !strings.Contains(reasons[0], "bits") {
		t.Errorf("want one objection that names bits, got %v, %v", reasons, err)
	}
}

func TestAMissingAlgorithmIsRefused(t *testing.T) {
	reasons, err := plugintest.Start(t).Resource(privateKey).Check(map[string]any{})
	if err != nil || len(reasons) != 1 || !strings.Contains(reasons[0], "algorithm") {
		t.Errorf("want one objection that names algorithm, got %v, %v", reasons, err)
	}
}

func TestAnUnknownTypeIsRefusedByName(t *testing.T) {
	_, err := plugintest.Start(t).Resource("tls:index/dhParameters:DhParameters").Check(map[string]any{})
	if err == nil || !strings.Contains(err.Error(), "index/dhParameters:DhParameters") {
		t.Errorf("want an error that names the type, got %v", err)
	}
}

// certificate are the inputs of one that is allowed, with changes; a nil takes an input away.
func certificate(t *testing.T, plugin *plugintest.Plugin, changes map[string]any) map[string]any {
	t.Helper()
	key := plugin.Resource(privateKey).Created(map[string]any{"algorithm": "ED25519"})
	inputs := map[string]any{
		"privateKeyPem": plugintest.Secret(key.Text("privateKeyPem")), "validityPeriodHours": 100,
		"allowedUses": []any{"digital_signature", "server_auth"}, "subject": map[string]any{"commonName": "lab"},
	}
	maps.Copy(inputs, changes)
	maps.DeleteFunc(inputs, func(_ string, value any) bool { return value == nil })
	return inputs
}

func parsed(t *testing.T, made *plugintest.Resource) *x509.Certificate {
	t.Helper()
	found, err := x509.ParseCertificate(block(t, made.Text("certPem"), "CERTIFICATE"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestACertificateSaysWhatItsInputsSay(t *testing.T) {
	plugin := plugintest.Start(t)
	made := plugin.Resource(selfSignedCert).Created(certificate(t, plugin, map[string]any{
		"dnsNames": []any{"a.lab"}, "ipAddresses": []any{"10.0.0.1"}, "uris": []any{"spiffe://lab"},
		"subject": map[string]any{"commonName": "lab", "organization": "home", "streetAddresses": []any{"1", "2"}},
	}))
	found := parsed(t, made)
	equal(t, "subject", found.Subject.String(), "CN=lab,O=home,STREET=1+STREET=2")
	equal(t, "issuer", found.Issuer.String(), found.Subject.String())
	equal(t, "names", fmt.Sprint(found.DNSNames, found.IPAddresses, found.URIs), "[a.lab] [10.0.0.1] [spiffe://lab]")
	equal(t, "key usage", found.KeyUsage, x509.KeyUsageDigitalSignature)
	equal(t, "extended key usage", fmt.Sprint(found.ExtKeyUsage), fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}))
	equal(t, "being an authority", found.IsCA, false)
	equal(t, "validity", found.NotAfter.Sub(found.NotBefore), 100*time.Hour)
	equal(t, "keyAlgorithm", made.Text("keyAlgorithm"), "ED25519")
	equal(t, "readyForRenewal", made.State["readyForRenewal"].BoolValue(), false)
	equal(t, "id", made.ID, found.SerialNumber.String())
	for name, want := range map[string]time.Time{"validityStartTime": found.NotBefore, "validityEndTime": found.NotAfter} {
		at, err := time.Parse(time.RFC3339, made.Text(name))
		if err != nil || !at.Truncate(time.Second).Equal(want) {
			t.Errorf("%s is %v (%v), want %v", name, at, err, want)
		}
	}
}

func TestAnAuthoritySignsForItself(t *testing.T) {
	plugin := plugintest.Start(t)
	found := parsed(t, plugin.Resource(selfSignedCert).Created(certificate(t, plugin, map[string]any{
		"isCaCertificate": true, "setAuthorityKeyId": true, "maxPathLength": 1, "allowedUses": []any{"cert_signing"},
	})))
	if err := found.CheckSignatureFrom(found); err != nil {
		t.Error(err)
	}
	equal(t, "path length", found.MaxPathLen, 1)
	equal(t, "length of the subject's key id", len(found.SubjectKeyId), 20)
	equal(t, "the issuer's key id", string(found.AuthorityKeyId), string(found.SubjectKeyId))
}

func TestAnAuthorityWithoutASubjectFails(t *testing.T) {
	plugin := plugintest.Start(t)
	err := plugin.Resource(selfSignedCert).Create(certificate(t, plugin, map[string]any{"isCaCertificate": true, "subject": nil}))
	if err == nil || !strings.Contains(err.Error(), "at least one Distinguished Name") {
		t.Errorf("want an error about the subject, got %v", err)
	}
}

func TestAKeyThatIsNoneFails(t *testing.T) {
	plugin := plugintest.Start(t)
	err := plugin.Resource(selfSignedCert).Create(certificate(t, plugin, map[string]any{"privateKeyPem": "none"}))
	if err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("want an error about PEM, got %v", err)
	}
}

func TestTheKeyOfACertificateStaysSecret(t *testing.T) {
	plugin := plugintest.Start(t)
	made := plugin.Resource(selfSignedCert).Created(certificate(t, plugin, nil))
	equal(t, "secrecy of the key", made.State["privateKeyPem"].IsSecret(), true)
	equal(t, "secrecy of the certificate", made.State["certPem"].IsSecret(), false)
}

func TestThePreviewOfACertificateWhoseKeyIsNotKnownYet(t *testing.T) {
	plugin := plugintest.Start(t)
	planned := plugin.Resource(selfSignedCert).Preview(certificate(t, plugin, map[string]any{"privateKeyPem": plugintest.Unknown()}))
	for _, name := range []resource.PropertyKey{"privateKeyPem", "certPem", "validityEndTime", "keyAlgorithm"} {
		equal(t, "unknown "+string(name), planned[name].ContainsUnknowns(), true)
	}
}

func TestAnUnchangedCertificateHasNoDiff(t *testing.T) {
	plugin := plugintest.Start(t)
	inputs := certificate(t, plugin, map[string]any{"maxPathLength": -1})
	made := plugin.Resource(selfSignedCert).Created(inputs)
	if changes := made.Diff(inputs); len(changes) > 0 {
		t.Errorf("changed: %v", changes)
	}
}

func TestAnyChangeOfACertificateMakesAnother(t *testing.T) {
	plugin := plugintest.Start(t)
	inputs := certificate(t, plugin, nil)
	made := plugin.Resource(selfSignedCert).Created(inputs)
	for name, value := range map[string]any{
		"validityPeriodHours": 101, "allowedUses": []any{"digital_signature"}, "dnsNames": []any{"b.lab"}, "isCaCertificate": true,
		"subject": map[string]any{"commonName": "other"}, "privateKeyPem": plugintest.Unknown(), "setSubjectKeyId": true,
		"maxPathLength": -1,
	} {
		changed := maps.Clone(inputs)
		changed[name] = value
		replaced := false
		for path, kind := range made.Diff(changed) {
			replaced = replaced || strings.HasPrefix(path, name) && strings.HasSuffix(kind, "_REPLACE")
		}
		equal(t, "replacement for another "+name, replaced, true)
	}
}

func TestAnEarlierRenewalIsAnUpdateThatKeepsTheCertificate(t *testing.T) {
	plugin := plugintest.Start(t)
	inputs := certificate(t, plugin, nil)
	made := plugin.Resource(selfSignedCert).Created(inputs)
	before := made.Text("certPem")
	inputs["earlyRenewalHours"] = 10
	changes := made.Diff(inputs)
	equal(t, "number of changes", len(changes), 1)
	equal(t, "the change being a replacement", strings.HasSuffix(changes["earlyRenewalHours"], "_REPLACE"), false)
	equal(t, "the planned certificate", made.PreviewUpdate(inputs)["certPem"].V, any(before))
	made.Update(inputs)
	equal(t, "earlyRenewalHours", made.State["earlyRenewalHours"].NumberValue(), 10)
	equal(t, "the certificate", made.Text("certPem"), before)
}

func TestACertificateInItsRenewalPeriodIsReplaced(t *testing.T) {
	plugin := plugintest.Start(t)
	inputs := certificate(t, plugin, nil)
	made := plugin.Resource(selfSignedCert).Created(inputs)
	inputs["earlyRenewalHours"] = 101
	if kind := made.Diff(inputs)["readyForRenewal"]; !strings.HasSuffix(kind, "_REPLACE") {
		t.Errorf("the change of readyForRenewal is %q, want a replacement", kind)
	}
}

func TestACertificateThatIsNeverOutOfRenewalSaysSo(t *testing.T) {
	plugin := plugintest.Start(t)
	made := plugin.Resource(selfSignedCert).Created(certificate(t, plugin, map[string]any{"validityPeriodHours": 0}))
	equal(t, "readyForRenewal", made.State["readyForRenewal"].BoolValue(), true)
}

func TestARefreshFindsThatACertificateIsReadyForRenewal(t *testing.T) {
	plugin := plugintest.Start(t)
	made := plugin.Resource(selfSignedCert).Created(certificate(t, plugin, nil))
	made.State["validityEndTime"] = resource.NewStringProperty(time.Now().Format(time.RFC3339))
	if err := made.Read(); err != nil {
		t.Fatal(err)
	}
	equal(t, "readyForRenewal", made.State["readyForRenewal"].BoolValue(), true)
}

func TestWhatACertificateCannotSayIsRefused(t *testing.T) {
	plugin := plugintest.Start(t)
	for name, value := range map[string]any{
		"allowedUses": []any{"everything"}, "validityPeriodHours": -1, "earlyRenewalHours": -1, "maxPathLength": -2,
	} {
		reasons, err := plugin.Resource(selfSignedCert).Check(certificate(t, plugin, map[string]any{name: value}))
		if err != nil || len(reasons) != 1 {
			t.Errorf("%s: want one objection, got %v, %v", name, reasons, err)
		}
	}
}

func TestTheWriteOnlyKeyIsRefusedByName(t *testing.T) {
	plugintest.NotOfTheOfficialPlugin(t)
	plugin := plugintest.Start(t)
	reasons, err := plugin.Resource(selfSignedCert).Check(certificate(t, plugin, map[string]any{"privateKeyPemWo": "k"}))
	if err != nil || len(reasons) != 1 || !strings.Contains(reasons[0], "privateKeyPemWo") {
		t.Errorf("want one objection that names it, got %v, %v", reasons, err)
	}
}
