package kubernetes

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"text/template"
	"time"
)

//go:embed manifests.yaml
var bootstrapManifests string

var bootstrapTemplate = template.Must(template.New("manifests").Parse(bootstrapManifests))

const kubectlLimit = 20 * time.Second

// ensureManifests applies what a control plane applies at bootstrap: the bootstrap token, its roles, CoreDNS and
// kube-proxy unless they are disabled, and the inline manifests. Manifests behind a URL are not fetched.
func (c *ControlPlane) ensureManifests(ctx context.Context, m Member) error {
	cluster := m.Config.Cluster()
	values := map[string]any{
		"TokenID": cluster.Token().ID(), "TokenSecret": cluster.Token().Secret(), "Domain": cluster.Network().DNSDomain(),
		"CoreDNS": cluster.CoreDNS().Enabled(), "CoreDNSImage": cluster.CoreDNS().Image(),
		"Proxy": cluster.Proxy().Enabled(), "ProxyImage": cluster.Proxy().Image(),
	}

	addresses, err := cluster.Network().DNSServiceIPs()
	if err != nil {
		return err
	}

	values["DNSAddress"] = addresses[0].String()

	var documents bytes.Buffer
	if err = bootstrapTemplate.Execute(&documents, values); err != nil {
		return err
	}

	for _, manifest := range cluster.InlineManifests() {
		documents.WriteString("\n---\n" + manifest.Contents() + "\n")
	}

	c.mu.Lock()
	applied := c.manifests == documents.String()
	c.mu.Unlock()
	if applied {
		return nil
	}

	if _, err = c.kwokArgs(m, "", 0, "https://"+c.Listener()); err != nil { // writes the lab's kubeconfig
		return err
	}

	if err = poll(ctx, 30*time.Second, func() error {
		_, err := c.call(ctx, http.MethodGet, "/api/v1/namespaces/kube-system", nil)
		return err
	}); err != nil {
		return err
	}

	limit, cancel := context.WithTimeout(ctx, kubectlLimit)
	defer cancel()

	var errorText strings.Builder

	kubectl := exec.CommandContext(limit, c.binaries.Kubectl, "--kubeconfig", c.path("pki", "lab.kubeconfig"),
		"apply", "--server-side", "--force-conflicts", "--field-manager=talos", "-f", "-")
	kubectl.Stdin = &documents
	kubectl.Stderr = &errorText
	content := documents.String()
	if err = kubectl.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %.500s", err, errorText.String())
		}
		return fmt.Errorf("apply the bootstrap manifests: %w", err)
	}

	c.mu.Lock()
	c.manifests = content
	c.mu.Unlock()

	c.journal.Record("manifests-applied", 0, "", "inline", len(cluster.InlineManifests()))
	return nil
}
