package kubernetes

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"go.yaml.in/yaml/v4"
)

//go:embed manifests.yaml
var bootstrapManifests string

var bootstrapTemplate = template.Must(template.New("manifests").Parse(bootstrapManifests))

const kubectlLimit = 20 * time.Second

// Annotation and name of the inventory in which Talos 1.13 remembers the bootstrap manifests that it has made.
const (
	inventoryKey  = "config.k8s.io/owning-inventory"
	inventoryName = "talos-bootstrap-manifests-inventory"
)

// BootstrapManifests are the objects that Talos makes for a configuration: the bootstrap token, its roles, CoreDNS and
// kube-proxy unless they are disabled, and the inline manifests. Manifests behind a URL are not fetched.
func BootstrapManifests(settings config.Provider) ([]map[string]any, error) {
	cluster := settings.Cluster()
	values := map[string]any{
		"TokenID": cluster.Token().ID(), "TokenSecret": cluster.Token().Secret(), "Domain": cluster.Network().DNSDomain(),
		"CoreDNS": cluster.CoreDNS().Enabled(), "CoreDNSImage": cluster.CoreDNS().Image(),
		"Proxy": cluster.Proxy().Enabled(), "ProxyImage": cluster.Proxy().Image(),
	}

	addresses, err := cluster.Network().DNSServiceIPs()
	if err != nil {
		return nil, err
	}

	values["DNSAddress"] = addresses[0].String()

	var documents bytes.Buffer
	if err = bootstrapTemplate.Execute(&documents, values); err != nil {
		return nil, err
	}

	for _, manifest := range cluster.InlineManifests() {
		documents.WriteString("\n---\n" + manifest.Contents() + "\n")
	}

	var objects []map[string]any

	decoder := yaml.NewDecoder(&documents)
	for {
		var object map[string]any
		if err = decoder.Decode(&object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("bootstrap manifests: %w", err)
		}

		if object != nil {
			objects = append(objects, object)
		}
	}
}

// ensureManifests makes the bootstrap manifests that are missing. Those that exist stay as they are, as with Talos: only
// `talosctl upgrade-k8s`, or who does the same, brings them up to date.
func (c *ControlPlane) ensureManifests(ctx context.Context, m Member) error {
	objects, err := BootstrapManifests(m.Config)
	if err != nil {
		return err
	}

	content, err := json.Marshal(objects)
	if err != nil {
		return err
	}

	c.mu.Lock()
	applied := c.manifests == string(content)
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

	if err = c.makeMissing(ctx, objects); err != nil {
		return err
	}

	c.mu.Lock()
	c.manifests = string(content)
	c.mu.Unlock()

	c.journal.Record("manifests-applied", 0, "", "inline", len(m.Config.Cluster().InlineManifests()))
	return nil
}

func (c *ControlPlane) makeMissing(ctx context.Context, objects []map[string]any) error {
	answer, err := c.kubectl(ctx, objects, "get", "--ignore-not-found", "--output=json", "-f", "-")
	if err != nil {
		return err
	}

	type identity struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
	}

	var found struct{ Items []identity }
	if len(answer) > 0 {
		if err = json.Unmarshal(answer, &found); err != nil {
			return err
		}
	}

	var missing []map[string]any
	for _, object := range objects {
		var own identity

		metadata, _ := object["metadata"].(map[string]any)
		own.Kind, _ = object["kind"].(string)
		own.Metadata.Name, _ = metadata["name"].(string)
		own.Metadata.Namespace, _ = metadata["namespace"].(string)
		if slices.Contains(found.Items, own) {
			continue
		}

		annotations := map[string]any{inventoryKey: inventoryName}
		if known, ok := metadata["annotations"].(map[string]any); ok {
			maps.Copy(annotations, known)
		}

		metadata["annotations"] = annotations
		missing = append(missing, object)
	}

	if len(missing) > 0 {
		_, err = c.kubectl(ctx, missing, "apply", "--server-side", "--field-manager=talos", "-f", "-")
	}
	return err
}

func (c *ControlPlane) kubectl(ctx context.Context, objects []map[string]any, arguments ...string) ([]byte, error) {
	content, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		return nil, err
	}

	limit, cancel := context.WithTimeout(ctx, kubectlLimit)
	defer cancel()

	var errorText strings.Builder

	kubectl := exec.CommandContext(limit, c.binaries.Kubectl, append([]string{"--kubeconfig", c.path("pki", "lab.kubeconfig")}, arguments...)...)
	kubectl.Stdin = bytes.NewReader(content)
	kubectl.Stderr = &errorText

	output, err := kubectl.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %.500s", arguments[0], err, errorText.String())
	}
	return output, err
}
