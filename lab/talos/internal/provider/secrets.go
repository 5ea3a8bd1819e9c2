package provider

import (
	"context"
	stdx509 "crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	bundles "github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"golang.org/x/mod/semver"
)

// renewal is how long before its end a client certificate is renewed.
const renewal = 30 * 24 * time.Hour

func defaultContract() string { return semver.MajorMinor(gendata.VersionTag) }

func checkContract(inputs resource.PropertyMap) error {
	if given := str(inputs, "talosVersion"); given != "" {
		if _, err := config.ParseContractFromVersion(given); err != nil {
			return fmt.Errorf("talosVersion %q: %w", given, err)
		}
	}
	return nil
}

func (p *Provider) secrets() kind {
	return kind{
		inputs:  texts("talosVersion"),
		outputs: map[string]field{"machineSecrets": machineSecrets, "clientConfiguration": clientConfiguration},
		check:   checkContract,
		plan:    planSecrets,
		create: func(_ context.Context, planned resource.PropertyMap) (string, resource.PropertyMap, error) {
			contract, err := config.ParseContractFromVersion(str(planned, "talosVersion"))
			if err != nil {
				return "", nil, err
			}

			bundle, err := bundles.NewBundle(bundles.NewFixedClock(time.Now()), contract)
			if err != nil {
				return "", nil, err
			}

			planned["machineSecrets"] = fromBundle(bundle)
			planned["clientConfiguration"], err = issueClient(bundle)
			return "machine_secrets", planned, err
		},
		update: func(_ context.Context, prior, planned resource.PropertyMap) (resource.PropertyMap, error) {
			planned["machineSecrets"], planned["clientConfiguration"] = prior["machineSecrets"], prior["clientConfiguration"]
			if expires(str(prior, "clientConfiguration", "clientCertificate"), renewal) {
				bundle, err := toBundle(plain(prior["machineSecrets"]).ObjectValue())
				if err != nil {
					return nil, err
				}

				if planned["clientConfiguration"], err = issueClient(bundle); err != nil {
					return nil, err
				}
			}
			return planned, nil
		},
	}
}

// planSecrets keeps the secrets over a change of the version, except over a step back: those are other secrets.
func planSecrets(_ context.Context, inputs, prior resource.PropertyMap) (resource.PropertyMap, []string, error) {
	planned := inputs.Copy()
	if !isSet(planned, "talosVersion") {
		planned["talosVersion"] = resource.NewStringProperty(defaultContract())
	}

	if prior == nil {
		planned["machineSecrets"], planned["clientConfiguration"] = computed(), computed()
		return planned, nil, nil
	}

	planned["machineSecrets"], planned["clientConfiguration"] = prior["machineSecrets"], prior["clientConfiguration"]
	if expires(str(prior, "clientConfiguration", "clientCertificate"), renewal) {
		planned["clientConfiguration"] = computed()
	}

	next, last := str(planned, "talosVersion"), str(prior, "talosVersion")
	if isSet(inputs, "talosVersion") && next != "" && semver.Compare("v"+strings.TrimPrefix(next, "v"), "v"+strings.TrimPrefix(last, "v")) < 0 {
		return planned, []string{"talosVersion"}, nil
	}
	return planned, nil, nil
}

// expires tells whether a certificate (base64 of PEM) ends within the given time.
func expires(encoded string, within time.Duration) bool {
	document, err := decode64(encoded)
	if err != nil {
		return false
	}

	block, _ := pem.Decode(document)
	if block == nil {
		return false
	}

	parsed, err := stdx509.ParseCertificate(block.Bytes)
	return err == nil && parsed.NotAfter.Before(time.Now().Add(within))
}

func issueClient(bundle *bundles.Bundle) (resource.PropertyValue, error) {
	if bundle.Clock == nil {
		bundle.Clock = bundles.NewFixedClock(time.Now())
	}

	pair, err := bundle.GenerateTalosAPIClientCertificateWithTTL(role.MakeSet(role.Admin), constants.TalosAPIDefaultCertificateValidityDuration)
	if err != nil {
		return resource.PropertyValue{}, err
	}
	return properties(map[string]any{
		"caCertificate": encode64(bundle.Certs.OS.Crt), "clientCertificate": encode64(pair.Crt), "clientKey": encode64(pair.Key),
	}), nil
}

func properties(values map[string]any) resource.PropertyValue {
	return resource.NewObjectProperty(resource.NewPropertyMapFromMap(values))
}

func fromBundle(bundle *bundles.Bundle) resource.PropertyValue {
	pair := func(pair *x509.PEMEncodedCertificateAndKey) map[string]any {
		return map[string]any{"cert": encode64(pair.Crt), "key": encode64(pair.Key)}
	}

	kubernetes := map[string]any{
		"bootstrapToken": bundle.Secrets.BootstrapToken, "secretboxEncryptionSecret": bundle.Secrets.SecretboxEncryptionSecret,
	}

	if bundle.Secrets.AESCBCEncryptionSecret != "" {
		kubernetes["aescbcEncryptionSecret"] = bundle.Secrets.AESCBCEncryptionSecret
	}
	return properties(map[string]any{
		"certs": map[string]any{
			"etcd": pair(bundle.Certs.Etcd), "k8s": pair(bundle.Certs.K8s), "k8sAggregator": pair(bundle.Certs.K8sAggregator), "os": pair(bundle.Certs.OS),
			"k8sServiceaccount": map[string]any{"key": encode64(bundle.Certs.K8sServiceAccount.Key)},
		},
		"cluster":    map[string]any{"id": bundle.Cluster.ID, "secret": bundle.Cluster.Secret},
		"secrets":    kubernetes,
		"trustdinfo": map[string]any{"token": bundle.TrustdInfo.Token},
	})
}

// toBundle reads the property machineSecrets; its keys are camelCase.
func toBundle(values resource.PropertyMap) (*bundles.Bundle, error) {
	var failed error

	part := func(path ...string) []byte {
		content, err := decode64(str(values, path...))
		if err != nil && failed == nil {
			failed = fmt.Errorf("machineSecrets.%s is not base64: %w", strings.Join(path, "."), err)
		}
		return content
	}

	pair := func(name string) *x509.PEMEncodedCertificateAndKey {
		return &x509.PEMEncodedCertificateAndKey{Crt: part("certs", name, "cert"), Key: part("certs", name, "key")}
	}
	return &bundles.Bundle{
		Clock:   bundles.NewFixedClock(time.Now()),
		Cluster: &bundles.Cluster{ID: str(values, "cluster", "id"), Secret: str(values, "cluster", "secret")},
		Secrets: &bundles.Secrets{
			BootstrapToken:            str(values, "secrets", "bootstrapToken"),
			SecretboxEncryptionSecret: str(values, "secrets", "secretboxEncryptionSecret"),
			AESCBCEncryptionSecret:    str(values, "secrets", "aescbcEncryptionSecret"),
		},
		TrustdInfo: &bundles.TrustdInfo{Token: str(values, "trustdinfo", "token")},
		Certs: &bundles.Certs{
			Etcd: pair("etcd"), K8s: pair("k8s"), K8sAggregator: pair("k8sAggregator"), OS: pair("os"),
			K8sServiceAccount: &x509.PEMEncodedKey{Key: part("certs", "k8sServiceaccount", "key")},
		},
	}, failed
}
