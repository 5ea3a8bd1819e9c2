package kubernetes

import (
	"context"
	"net/http"
	"time"
)

// podPeriod is how often it is looked after pods of nodes that are back; a kubelet does it as soon as it is back.
const podPeriod = 3 * time.Second

type podObject struct {
	Metadata struct {
		Name, Namespace, ResourceVersion string
		DeletionTimestamp                *string
	}
	Spec struct {
		NodeName       string
		ReadinessGates []any
	}
	Status struct {
		Phase      string
		Conditions []map[string]any
	}
}

// ensurePodStatus says again that pods are ready that Kubernetes took for lost, once their node is back. The node
// lifecycle controller sets a pod's Ready to False with its node's, and nothing else (MarkPodsNotReady in
// pkg/controller/util/node/controller_utils.go); a kubelet that is back writes what it knows over that (syncBatch in
// pkg/kubelet/status/status_manager.go). kwok's stage for a ready pod runs once in a pod's life, so without this a node
// that was away for longer than the grace period would leave its workloads unavailable for good.
func (c *ControlPlane) ensurePodStatus(ctx context.Context) error {
	c.mu.Lock()
	due := time.Since(c.podsSeen) > podPeriod
	c.mu.Unlock()
	if !due {
		return nil
	}

	nodes, err := list[nodeObject](ctx, c, "/api/v1/nodes")
	if err != nil {
		return err
	}

	ready := map[string]bool{}
	for _, node := range nodes {
		ready[node.Metadata.Name] = node.Metadata.Labels[playedLabel] == playedValue && node.ready()
	}

	pods, err := list[podObject](ctx, c, "/api/v1/pods")
	if err != nil {
		return err
	}

	for _, pod := range pods {
		if !ready[pod.Spec.NodeName] || !pod.lost() {
			continue
		}

		if err = c.restore(ctx, pod); err != nil {
			return err
		}
	}

	c.mu.Lock()
	c.podsSeen = time.Now()
	c.mu.Unlock()
	return nil
}

// lost tells whether a pod is not Ready though its containers are.
func (p podObject) lost() bool {
	return p.Metadata.DeletionTimestamp == nil && p.Status.Phase == "Running" && len(p.Spec.ReadinessGates) == 0 &&
		p.is("ContainersReady", "True") && p.is("Ready", "False")
}

func (p podObject) is(kind, status string) bool {
	for _, condition := range p.Status.Conditions {
		if condition["type"] == kind {
			return condition["status"] == status
		}
	}
	return false
}

func (c *ControlPlane) restore(ctx context.Context, pod podObject) error {
	for _, condition := range pod.Status.Conditions {
		if condition["type"] == "Ready" {
			condition["status"], condition["lastTransitionTime"] = "True", time.Now().UTC().Format(time.RFC3339)
		}
	}

	_, err := c.call(ctx, http.MethodPatch, "/api/v1/namespaces/"+pod.Metadata.Namespace+"/pods/"+pod.Metadata.Name+"/status", map[string]any{
		"metadata": map[string]any{"resourceVersion": pod.Metadata.ResourceVersion},
		"status":   map[string]any{"conditions": pod.Status.Conditions},
	})
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusConflict {
		return nil // it went, or changed: the next look sees what it is then
	}
	return err
}
