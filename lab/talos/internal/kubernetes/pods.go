package kubernetes

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"go.yaml.in/yaml/v4"
)

// Pods is what runs real pods on the workers; without a kubelet, kwok plays them all.
type Pods struct {
	Kubelet    string   `json:"kubelet"`
	Proxy      string   `json:"kubeProxy"`
	Policies   string   `json:"networkPolicies"`
	Volumes    string   `json:"csiVolumes"`
	Containerd string   `json:"containerd"`
	Shim       string   `json:"shim"`
	Runc       string   `json:"runc"`
	Plugins    string   `json:"cniPlugins"` // directory
	Sockets    string   `json:"sockets"`    // directory that the namespace has for itself; paths of sockets are short
	Roots      string   `json:"kubelets"`   // the same, for the kubelets' root directories
	Cgroup     string   `json:"cgroup"`     // below the mount points of the hierarchies
	Store      string   `json:"store"`      // address and port of the images
	Sandbox    string   `json:"sandbox"`    // reference of the image of each pod's first container
	StandIn    string   `json:"standIn"`    // reference of the image that waits in the place of one that is not there
	Images     []string `json:"images"`     // repositories that the store has, in each form that a pod may name them in
}

// playedFor is the annotation of a played pod that says which images it would have.
const playedFor = "lab.invalid/played-for"

// realValue of playedLabel marks a node with a real kubelet.
const realValue = "real"

//go:embed pods.yaml
var podPolicies string

var podPolicyTemplate = template.Must(template.New("pods").Parse(podPolicies))

// Real tells whether a node has a real kubelet: each worker of a lab with real pods.
func (c *ControlPlane) Real(node Node) bool {
	return c.binaries.Pods.Kubelet != "" && !node.ControlPlane
}

// ensurePodPolicies makes the API server decide which pod is real, and returns when it does.
func (c *ControlPlane) ensurePodPolicies(ctx context.Context) error {
	pods := c.binaries.Pods

	c.mu.Lock()
	done := c.podPolicies
	c.mu.Unlock()
	if pods.Kubelet == "" || done {
		return nil
	}

	objects, err := pods.policies()
	if err != nil {
		return err
	}

	if _, err = c.kubectl(ctx, objects, "apply", "--server-side", "--field-manager=lab", "-f", "-"); err != nil {
		return err
	}

	// The API server takes note of a policy some time after it has stored it.
	if err = poll(ctx, 30*time.Second, func() error { return c.decides(ctx) }); err != nil {
		return err
	}

	c.mu.Lock()
	c.podPolicies = true
	c.mu.Unlock()
	c.journal.Record("pod-policies", 0, "")
	return nil
}

// decides is nil when a pod of an unknown image would be played, and a pod of a known one would be real.
func (c *ControlPlane) decides(ctx context.Context) error {
	var probes []map[string]any
	for _, image := range []string{"lab.invalid/unknown", c.binaries.Pods.Sandbox} {
		probes = append(probes, map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"generateName": "lab-probe-", "namespace": "kube-system"},
			"spec": map[string]any{
				"serviceAccountName": "lab-pods", "automountServiceAccountToken": false,
				"containers": []any{map[string]any{"name": "probe", "image": image}},
			},
		})
	}

	answer, err := c.kubectl(ctx, probes, "create", "--dry-run=server", "--output=json", "-f", "-")
	if err != nil {
		return err
	}

	if text := string(answer); !strings.Contains(text, playedFor) || !strings.Contains(text, `"`+realValue+`"`) {
		return fmt.Errorf("the API server does not decide yet which pods are real: %.1000s", text)
	}
	return nil
}

func (p Pods) policies() ([]map[string]any, error) {
	images, err := json.Marshal(p.Images)
	if err != nil {
		return nil, err
	}

	var documents bytes.Buffer

	values := map[string]string{
		"Images": string(images), "Label": playedLabel, "Value": realValue, "StandIn": p.StandIn, "PlayedFor": playedFor,
	}
	if err = podPolicyTemplate.Execute(&documents, values); err != nil {
		return nil, err
	}

	var objects []map[string]any

	decoder := yaml.NewDecoder(&documents)
	for {
		var object map[string]any
		if err = decoder.Decode(&object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("policies for pods: %w", err)
		}
		objects = append(objects, object)
	}
}
