package kubernetes

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var silent = log.New(io.Discard, "", 0)

const approver = "kubelet-csr-approver"

type signingRequest struct {
	Metadata struct{ Name string }
	Spec     struct {
		Request    []byte
		SignerName string
		Username   string
	}
	Status struct {
		Conditions  []struct{ Type string }
		Certificate []byte
	}
}

func (r signingRequest) has(condition string) bool {
	return slices.ContainsFunc(r.Status.Conditions, func(each struct{ Type string }) bool { return each.Type == condition })
}

type approverDeployment struct {
	Metadata struct{ Name string }
	Spec     struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Env []struct{ Name, Value string }
				}
			}
		}
	}
	Status struct{ AvailableReplicas int }
}

// ensureServing is kubelet-csr-approver, once a replica of it is available: Kubernetes itself approves no request for a
// kubelet's serving certificate, and signs none without (the table of signers in
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/). The signing is the real
// controller-manager's.
func (c *ControlPlane) ensureServing(ctx context.Context) error {
	all, err := list[signingRequest](ctx, c, requests)
	if err != nil {
		return err
	}

	pending := slices.DeleteFunc(all, func(request signingRequest) bool {
		return request.Spec.SignerName != servingSigner || request.has("Approved") || request.has("Denied")
	})
	if len(pending) == 0 {
		return nil
	}

	deployments, err := list[approverDeployment](ctx, c, "/apis/apps/v1/deployments")
	if err != nil {
		return err
	}

	at := slices.IndexFunc(deployments, func(each approverDeployment) bool {
		return each.Metadata.Name == approver && each.Status.AvailableReplicas > 0
	})
	if at < 0 {
		return nil
	}

	settings := map[string]string{}
	for _, container := range deployments[at].Spec.Template.Spec.Containers {
		for _, variable := range container.Env {
			settings[variable.Name] = variable.Value
		}
	}

	for _, request := range pending {
		if err = c.decide(ctx, request, settings); err != nil {
			return err
		}
	}
	return nil
}

func (c *ControlPlane) decide(ctx context.Context, request signingRequest, settings map[string]string) error {
	condition := map[string]any{
		"type": "Approved", "status": "True", "reason": "kubelet-serving cert validated",
		"message": "CSR complied with kubelet-csr-approver validation process",
	}
	if reason := refusal(request, settings); reason != "" {
		condition = map[string]any{
			"type": "Denied", "status": "True", "reason": "kubelet-serving cert denied",
			"message": "CSR not complying with kubelet-csr-approver validation process. Reason: " + reason,
		}
	}

	path := requests + "/" + request.Metadata.Name

	found, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}

	var whole map[string]any
	if err = json.Unmarshal(found, &whole); err != nil {
		return err
	}

	whole["status"] = map[string]any{"conditions": []any{condition}}
	_, err = c.call(ctx, http.MethodPut, path+"/approval", whole)
	if statusOf(err) == http.StatusConflict || statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// refusal is why the approver denies a request; empty when it approves. After Reconcile, DNSCheck and WhitelistedIPCheck
// in internal/controller of https://github.com/postfinance/kubelet-csr-approver at v1.2.14, with BYPASS_DNS_RESOLUTION.
func refusal(request signingRequest, settings map[string]string) string {
	block, _ := pem.Decode(request.Spec.Request)
	if block == nil {
		return "unable to parse csr"
	}

	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "unable to parse csr"
	}

	allowed, err := regexp.Compile(settings["PROVIDER_REGEX"])
	if err != nil || settings["PROVIDER_REGEX"] == "" {
		return "the provider-spefic regex must be specified"
	}

	switch {
	case !strings.HasPrefix(request.Spec.Username, nodeUser):
		return "CSR Spec.Username is not prefixed with system:node:"
	case len(asked.DNSNames)+len(asked.IPAddresses) == 0:
		return "The x509 Cert Request SAN contains neither an IP address nor a DNS name"
	case asked.Subject.CommonName != request.Spec.Username:
		return "CSR username does not match the parsed x509 certificate request commonname"
	case len(asked.DNSNames) > 1:
		return "The x509 Cert Request contains more DNS names than allowed through the config flag"
	}

	for _, name := range asked.DNSNames {
		if !strings.HasPrefix(name, strings.TrimPrefix(request.Spec.Username, nodeUser)) {
			return "The SAN DNS Name in the x509 CSR is not prefixed by the node name (hostname)"
		}

		if !allowed.MatchString(name) {
			return "The SAN DNS name in the x509 CR is not allowed by the Cloud provider regex"
		}
	}

	prefixes := strings.Split(settings["PROVIDER_IP_PREFIXES"], ",")
	for _, each := range asked.IPAddresses {
		address, _ := netip.AddrFromSlice(each)
		if !slices.ContainsFunc(prefixes, func(text string) bool {
			prefix, err := netip.ParsePrefix(text)
			return err == nil && prefix.Contains(address.Unmap())
		}) {
			return "One of the SAN IP addresses, " + address.Unmap().String() + ", is not part" +
				"of the allowed IP Prefixes/Subnets, denying the CSR."
		}
	}
	return ""
}
