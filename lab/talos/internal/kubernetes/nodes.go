package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ownedLabels is the annotation in which Talos remembers the labels that it set.
const ownedLabels = "talos.dev/owned-labels"

// playedLabel is on the nodes that kwok plays. Without it kwok forgets a node at once; by its lease alone it went on
// reporting one Ready that was off, when the lease changed hands while kwok renewed it.
const playedLabel, playedValue = "lab.invalid/kubelet", "kwok"

// Node is what a machine's kubelet reports of itself.
type Node struct {
	Name           string
	Address        string
	ControlPlane   bool
	Labels         map[string]string
	Annotations    map[string]string
	Taints         []Taint
	ProviderID     string
	Cores          int
	MemoryMiB      int64
	DiskBytes      int64
	BootID         string
	MachineID      string
	OSImage        string
	Kernel         string
	KubeletVersion string
	StaticPods     map[string]string // images of the static pods by component
}

// Taint as the Kubernetes API spells it.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

type nodeObject struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
		Labels      map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Taints     []map[string]any `json:"taints"`
		ProviderID string           `json:"providerID"`
	} `json:"spec"`
	Status struct {
		Conditions []struct{ Type, Status string } `json:"conditions"`
	} `json:"status"`
}

// Register creates the Node object, or brings it up to date, and lets kwok play its kubelet.
func (c *ControlPlane) Register(ctx context.Context, node Node) error {
	path := "/api/v1/nodes/" + node.Name
	labels, owned := map[string]any{}, []string{}

	for key, value := range node.Labels {
		labels[key] = value
		owned = append(owned, key)
	}

	if node.ControlPlane {
		labels["node-role.kubernetes.io/control-plane"] = ""
	}

	slices.Sort(owned)

	annotation, err := json.Marshal(owned)
	if err != nil {
		return err
	}

	annotations := map[string]any{ownedLabels: string(annotation)}
	for key, value := range node.Annotations {
		annotations[key] = value
	}

	labels[playedLabel] = playedValue
	if c.Real(node) {
		labels[playedLabel] = realValue
	}
	labels["kubernetes.io/hostname"], labels["kubernetes.io/os"], labels["kubernetes.io/arch"] = node.Name, "linux", "amd64"
	resources := map[string]string{
		"cpu": fmt.Sprint(node.Cores), "memory": fmt.Sprintf("%dMi", node.MemoryMiB), "pods": "110", "ephemeral-storage": fmt.Sprint(node.DiskBytes),
	}
	status := map[string]any{
		"addresses": []any{map[string]any{"type": "InternalIP", "address": node.Address}, map[string]any{"type": "Hostname", "address": node.Name}},
		"capacity":  resources, "allocatable": resources,
		"nodeInfo": map[string]any{
			"architecture": "amd64", "bootID": node.BootID, "containerRuntimeVersion": "containerd://2.1.6", "kernelVersion": node.Kernel,
			"kubeProxyVersion": "", "kubeletVersion": node.KubeletVersion, "machineID": node.MachineID, "operatingSystem": "linux",
			"osImage": node.OSImage, "systemUUID": node.MachineID,
		},
	}
	spec := map[string]any{}

	if node.ProviderID != "" {
		spec["providerID"] = node.ProviderID
	}

	// Before kwok sees the node again: if it finds the lease in another's hands, it looks again only much later.
	if err := c.releaseLease(ctx, node.Name); err != nil {
		return err
	}

	answer, err := c.call(ctx, http.MethodGet, path, nil)
	switch {
	case statusOf(err) == http.StatusNotFound:
		spec["taints"] = node.Taints
		_, err = c.call(ctx, http.MethodPost, "/api/v1/nodes", map[string]any{
			"apiVersion": "v1", "kind": "Node",
			"metadata": map[string]any{"name": node.Name, "labels": labels, "annotations": annotations}, "spec": spec, "status": status,
		})
	case err == nil:
		err = c.update(ctx, path, answer, node, labels, annotations, spec, status)
	}

	if err != nil {
		return err
	}

	if c.Real(node) {
		c.runNode(node)
	}

	if node.ControlPlane {
		return c.MirrorPods(ctx, node)
	}
	return nil
}

func (c *ControlPlane) update(ctx context.Context, path string, answer []byte, node Node, labels, annotations, spec, status map[string]any) error {
	var known nodeObject
	if err := json.Unmarshal(answer, &known); err != nil {
		return err
	}

	var previous []string
	if text := known.Metadata.Annotations[ownedLabels]; text != "" {
		if err := json.Unmarshal([]byte(text), &previous); err != nil {
			return fmt.Errorf("node %s: annotation %s: %w", node.Name, ownedLabels, err)
		}
	}

	for _, label := range previous {
		if _, wanted := labels[label]; !wanted {
			labels[label] = nil
		}
	}

	if known.Spec.ProviderID != "" {
		delete(spec, "providerID") // immutable once set; a kubelet does not change it either
	}

	taints := []any{}

	for _, taint := range known.Spec.Taints {
		// Those of Kubernetes' own controllers stay.
		if key, _ := taint["key"].(string); len(key) > 19 && key[:19] == "node.kubernetes.io/" {
			taints = append(taints, taint)
		}
	}

	for _, taint := range node.Taints {
		taints = append(taints, taint)
	}

	spec["taints"] = taints
	if _, err := c.call(ctx, http.MethodPatch, path, map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}, "spec": spec}); err != nil {
		return err
	}

	if c.Real(node) {
		return nil // its kubelet says what it is
	}

	_, err := c.call(ctx, http.MethodPatch, path+"/status", map[string]any{"status": status})
	return err
}

const systemPods = "/api/v1/namespaces/kube-system/pods"

// MirrorPods creates the objects that stand for the static pods; one whose image changed is made anew, as by a kubelet.
func (c *ControlPlane) MirrorPods(ctx context.Context, node Node) error {
	for part, image := range node.StaticPods {
		path := systemPods + "/" + part + "-" + node.Name
		if answer, err := c.call(ctx, http.MethodGet, path, nil); err == nil {
			var known struct {
				Spec struct{ Containers []struct{ Image string } }
			}

			if err = json.Unmarshal(answer, &known); err != nil {
				return err
			}

			if len(known.Spec.Containers) == 1 && known.Spec.Containers[0].Image == image {
				continue
			}

			if _, err = c.call(ctx, http.MethodDelete, path, map[string]any{"gracePeriodSeconds": 0}); err != nil {
				return err
			}
		} else if statusOf(err) != http.StatusNotFound {
			return err
		}

		_, err := c.call(ctx, http.MethodPost, systemPods, map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{
				"name": part + "-" + node.Name, "namespace": "kube-system",
				"labels":      map[string]any{"tier": "control-plane", "k8s-app": part, "component": part},
				"annotations": map[string]any{"kubernetes.io/config.mirror": "lab", "kubernetes.io/config.source": "file"},
			},
			"spec": map[string]any{
				"nodeName": node.Name, "hostNetwork": true, "priorityClassName": "system-cluster-critical",
				"tolerations": []any{map[string]any{"operator": "Exists"}},
				"containers":  []any{map[string]any{"name": part, "image": image}},
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	leases     = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"
	leaseLimit = 2 * time.Second
	offSuffix  = "-is-off"
)

// Silence takes a node from kwok and stops the renewal of its lease: its kubelet is gone. Kubernetes finds out on its own.
func (c *ControlPlane) Silence(ctx context.Context, name string) error {
	c.stopNode(name)

	// kwok renews only leases that it holds. The time of the last renewal stays as it is; only the holder changes, for
	// longer than any lab lives.
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()

	label := map[string]any{"metadata": map[string]any{"labels": map[string]any{playedLabel: nil}}}
	if _, err := c.call(ctx, http.MethodPatch, "/api/v1/nodes/"+name, label); err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("node %s: take it from kwok: %w", name, err)
	}

	_, err := c.call(ctx, http.MethodPatch, leases+name, map[string]any{"spec": map[string]any{
		"holderIdentity": name + offSuffix, "leaseDurationSeconds": 1 << 30,
	}})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("node %s: stop its lease: %w", name, err)
	}
	return nil
}

// Played tells whether kwok renews the node's lease, or the node has a kubelet that does.
func (c *ControlPlane) Played(ctx context.Context, name string) (bool, error) {
	c.mu.Lock()
	_, real := c.realNodes[name]
	c.mu.Unlock()
	if real {
		return true, nil
	}

	holder, err := c.leaseHolder(ctx, name)
	return holder != "" && holder != name+offSuffix, err
}

// leaseHolder is who renews the node's lease; empty when there is none.
func (c *ControlPlane) leaseHolder(ctx context.Context, name string) (string, error) {
	answer, err := c.call(ctx, http.MethodGet, leases+name, nil)
	if statusOf(err) == http.StatusNotFound {
		return "", nil
	} else if err != nil {
		return "", err
	}

	var lease struct {
		Spec struct{ HolderIdentity string }
	}

	err = json.Unmarshal(answer, &lease)
	return lease.Spec.HolderIdentity, err
}

// releaseLease gives a silenced node back to kwok, which makes a new lease and sets the node Ready.
func (c *ControlPlane) releaseLease(ctx context.Context, name string) error {
	holder, err := c.leaseHolder(ctx, name)
	if err != nil || holder != name+offSuffix {
		return err
	}

	_, err = c.call(ctx, http.MethodDelete, leases+name, nil)
	return err
}

// Cordon makes a node unschedulable, as a graceful reset does.
func (c *ControlPlane) Cordon(ctx context.Context, name string) error {
	_, err := c.call(ctx, http.MethodPatch, "/api/v1/nodes/"+name, map[string]any{"spec": map[string]any{"unschedulable": true}})
	return err
}

// NodeReady tells whether the node is registered and Ready.
func (c *ControlPlane) NodeReady(ctx context.Context, name string) (registered, ready bool, err error) {
	answer, err := c.call(ctx, http.MethodGet, "/api/v1/nodes/"+name, nil)
	if statusOf(err) == http.StatusNotFound {
		return false, false, nil
	} else if err != nil {
		return false, false, err
	}

	var node nodeObject
	if err := json.Unmarshal(answer, &node); err != nil {
		return false, false, err
	}

	return true, node.ready(), nil
}

func (n nodeObject) ready() bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}
