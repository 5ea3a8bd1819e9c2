package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// endpointSettle is how long the endpoints of a new Service must stay as they are before they count: its pods may
// only be on their way.
const endpointSettle = 10 * time.Second

// verdict is what one look at an object gives: it is ready, or it can never be, or it is on its way.
type verdict struct {
	ready    bool
	failed   bool
	progress string
}

type probe func(ctx context.Context, obj *unstructured.Unstructured) verdict

// waiter holds what a wait remembers between two looks.
type waiter struct {
	cluster   *cluster
	created   bool
	settle    time.Duration
	endpoints string    // resource version of the endpoints seen last
	since     time.Time // when that version was seen first
}

// kindLimit is how long a kind is waited for at most, whatever the program says; 0 means no such limit.
func kindLimit(obj *unstructured.Unstructured) time.Duration {
	switch gvk := obj.GroupVersionKind(); gvk.Group + "/" + gvk.Kind {
	case "/PersistentVolume", "/PersistentVolumeClaim":
		return 5 * time.Minute
	case "/ResourceQuota":
		return time.Minute
	case "/Secret":
		return 5 * time.Second
	}
	return 0
}

// probe returns the readiness check of an object's kind; nil when objects of the kind are ready once they exist.
func (w *waiter) probe(obj *unstructured.Unstructured) probe {
	simple := func(f func(*unstructured.Unstructured) verdict) probe {
		return func(_ context.Context, obj *unstructured.Unstructured) verdict { return f(obj) }
	}
	switch gvk := obj.GroupVersionKind(); gvk.Group + "/" + gvk.Kind {
	case "apps/Deployment":
		return simple(deploymentReady)
	case "apps/StatefulSet":
		return simple(statefulSetReady)
	case "apps/DaemonSet":
		return simple(daemonSetReady)
	case "batch/Job":
		return simple(jobReady)
	case "/Pod":
		return simple(podReady)
	case "/ReplicationController":
		return simple(func(obj *unstructured.Unstructured) verdict {
			return counted(intAt(obj, 1, "spec", "replicas"), intAt(obj, 0, "status", "availableReplicas"))
		})
	case "/PersistentVolume":
		return simple(func(obj *unstructured.Unstructured) verdict { return phase(obj, "Available", "Bound") })
	case "/PersistentVolumeClaim":
		return w.claimReady
	case "/ResourceQuota":
		return simple(quotaReady)
	case "/Secret":
		return simple(tokenReady)
	case "/Service":
		return w.serviceReady
	case "networking.k8s.io/Ingress":
		return w.ingressReady
	case "apiextensions.k8s.io/CustomResourceDefinition":
		return simple(func(obj *unstructured.Unstructured) verdict {
			ok, found := hasCondition(obj, "Established", "True")
			return verdict{ready: ok, progress: found}
		})
	}
	return nil
}

func intAt(obj *unstructured.Unstructured, otherwise int64, path ...string) int64 {
	if n, found, _ := unstructured.NestedInt64(obj.Object, path...); found {
		return n
	}
	return otherwise
}

func counted(want, have int64) verdict {
	return verdict{ready: have == want, progress: fmt.Sprintf("%d of %d ready", have, want)}
}

// observed says whether the controller has seen the object's last change; before that its status is stale.
func observed(obj *unstructured.Unstructured) bool {
	return intAt(obj, 0, "status", "observedGeneration") >= max(obj.GetGeneration(), 1)
}

func deploymentReady(obj *unstructured.Unstructured) verdict {
	want := intAt(obj, 1, "spec", "replicas")
	updated, ready := intAt(obj, 0, "status", "updatedReplicas"), intAt(obj, 0, "status", "readyReplicas")
	all := intAt(obj, 0, "status", "replicas")
	paused, _, _ := unstructured.NestedBool(obj.Object, "spec", "paused")
	switch {
	case paused:
		return verdict{ready: true}
	case !observed(obj):
		return verdict{progress: fmt.Sprintf("0 of %d ready", want)}
	case updated < want:
		return verdict{progress: fmt.Sprintf("%d of %d updated", updated, want)}
	case ready < want:
		return counted(want, ready)
	case all > updated:
		return verdict{progress: fmt.Sprintf("%d old pods left", all-updated)}
	case want > 0 && condition(obj, "Available")["status"] != "True":
		return verdict{progress: fmt.Sprintf("%d of %d ready, not yet available", ready, want)}
	}
	return verdict{ready: true}
}

func statefulSetReady(obj *unstructured.Unstructured) verdict {
	want, ready := intAt(obj, 1, "spec", "replicas"), intAt(obj, 0, "status", "readyReplicas")
	if !observed(obj) {
		return verdict{progress: fmt.Sprintf("0 of %d ready", want)}
	}
	if ready != want {
		return counted(want, ready)
	}
	strategy, _, _ := unstructured.NestedString(obj.Object, "spec", "updateStrategy", "type")
	current, _, _ := unstructured.NestedString(obj.Object, "status", "currentRevision")
	update, _, _ := unstructured.NestedString(obj.Object, "status", "updateRevision")
	partition := intAt(obj, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	updated := intAt(obj, 0, "status", "updatedReplicas")
	if strategy != "OnDelete" && current != update && (partition == 0 || updated < want-partition) {
		return verdict{progress: fmt.Sprintf("%d of %d updated", updated, want)}
	}
	return verdict{ready: true}
}

func daemonSetReady(obj *unstructured.Unstructured) verdict {
	want, ready := intAt(obj, 0, "status", "desiredNumberScheduled"), intAt(obj, 0, "status", "numberReady")
	strategy, _, _ := unstructured.NestedString(obj.Object, "spec", "updateStrategy", "type")
	updated := intAt(obj, 0, "status", "updatedNumberScheduled")
	switch {
	case !observed(obj):
		return verdict{progress: "not yet seen by its controller"}
	case strategy != "OnDelete" && updated < want:
		return verdict{progress: fmt.Sprintf("%d of %d updated", updated, want)}
	}
	return counted(want, ready)
}

func jobReady(obj *unstructured.Unstructured) verdict {
	if suspended, _, _ := unstructured.NestedBool(obj.Object, "spec", "suspend"); suspended {
		return verdict{ready: true}
	}
	if c := condition(obj, "Failed"); c["status"] == "True" {
		return verdict{failed: true, progress: fmt.Sprintf("Job %s failed: %v", obj.GetName(), orEmpty(c["message"]))}
	}
	if condition(obj, "Complete")["status"] == "True" {
		return verdict{ready: true}
	}
	return verdict{progress: fmt.Sprintf("%d of %d completed",
		intAt(obj, 0, "status", "succeeded"), intAt(obj, 1, "spec", "completions"))}
}

func podReady(obj *unstructured.Unstructured) verdict {
	current, _, _ := unstructured.NestedString(obj.Object, "status", "phase")
	if current == "Succeeded" || condition(obj, "Ready")["status"] == "True" {
		return verdict{ready: true}
	}
	return verdict{progress: "it is " + current}
}

func phase(obj *unstructured.Unstructured, wanted ...string) verdict {
	current, _, _ := unstructured.NestedString(obj.Object, "status", "phase")
	for _, want := range wanted {
		if current == want {
			return verdict{ready: true}
		}
	}
	return verdict{progress: fmt.Sprintf("it is %q, not %s", current, wanted[len(wanted)-1])}
}

// claimReady wants a claim bound, except where its class binds only for the first pod that uses it.
func (w *waiter) claimReady(ctx context.Context, obj *unstructured.Unstructured) verdict {
	if bound := phase(obj, "Bound"); bound.ready && !w.created {
		return bound
	}
	if name, _, _ := unstructured.NestedString(obj.Object, "spec", "storageClassName"); name != "" {
		class, err := w.get(ctx, storagev1.SchemeGroupVersion.WithKind("StorageClass"), "", name)
		if err == nil {
			mode, _, _ := unstructured.NestedString(class.Object, "volumeBindingMode")
			if mode == string(storagev1.VolumeBindingWaitForFirstConsumer) {
				return phase(obj, "Bound", "Pending")
			}
		}
	}
	return phase(obj, "Bound")
}

func quotaReady(obj *unstructured.Unstructured) verdict {
	want, _, _ := unstructured.NestedStringMap(obj.Object, "spec", "hard")
	have, _, _ := unstructured.NestedStringMap(obj.Object, "status", "hard")
	for key, value := range want {
		if have[key] != value {
			return verdict{progress: "its status does not show " + key + " yet"}
		}
	}
	return verdict{ready: true}
}

func tokenReady(obj *unstructured.Unstructured) verdict {
	data, _ := obj.Object["data"].(map[string]any)
	waits := obj.Object["type"] == string(corev1.SecretTypeServiceAccountToken) && len(data) == 0
	return verdict{ready: !waits, progress: "it holds no token yet"}
}

func hasAddress(obj *unstructured.Unstructured) bool {
	addresses, _, _ := unstructured.NestedSlice(obj.Object, "status", "loadBalancer", "ingress")
	return len(addresses) > 0
}

// serviceReady wants an address for a load balancer, and endpoints that are all ready where there is a selector.
func (w *waiter) serviceReady(ctx context.Context, obj *unstructured.Unstructured) verdict {
	kind, _, _ := unstructured.NestedString(obj.Object, "spec", "type")
	if kind == "LoadBalancer" && !hasAddress(obj) {
		return verdict{progress: "Service was not allocated an IP address; does your cloud provider support this?"}
	}
	ip, _, _ := unstructured.NestedString(obj.Object, "spec", "clusterIP")
	selector, _, _ := unstructured.NestedMap(obj.Object, "spec", "selector")
	if kind == "ExternalName" || ip == "None" || len(selector) == 0 {
		return verdict{ready: true}
	}
	endpoints, err := w.get(ctx, corev1.SchemeGroupVersion.WithKind("Endpoints"), obj.GetNamespace(), obj.GetName())
	if err != nil {
		return verdict{progress: "it has no endpoints yet"}
	}
	if version := endpoints.GetResourceVersion(); version != w.endpoints {
		w.endpoints, w.since = version, time.Now()
	}
	subsets, _, _ := unstructured.NestedSlice(endpoints.Object, "subsets")
	for _, subset := range subsets {
		if m, _ := subset.(map[string]any); m["notReadyAddresses"] != nil {
			return verdict{progress: "Service does not target any Pods. Selected Pods may not be ready, or field " +
				"'.spec.selector' may not match labels on any Pods"}
		}
	}
	if time.Since(w.since) < w.settle {
		return verdict{progress: "its endpoints may still change"}
	}
	return verdict{ready: true}
}

// ingressReady wants an address, and endpoints for every Service that the Ingress names.
func (w *waiter) ingressReady(ctx context.Context, obj *unstructured.Unstructured) verdict {
	rules, _, _ := unstructured.NestedSlice(obj.Object, "spec", "rules")
	for _, rule := range rules {
		m, _ := rule.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(m, "http", "paths")
		for _, path := range paths {
			m, _ := path.(map[string]any)
			name, _, _ := unstructured.NestedString(m, "backend", "service", "name")
			if name != "" && !w.hasEndpoints(ctx, obj.GetNamespace(), name) {
				return verdict{progress: fmt.Sprintf("Service %s, which it routes to, has no endpoints", name)}
			}
		}
	}
	if !hasAddress(obj) {
		return verdict{progress: "Ingress .status.loadBalancer field was not updated with a hostname/IP address"}
	}
	return verdict{ready: true}
}

func (w *waiter) hasEndpoints(ctx context.Context, namespace, name string) bool {
	if _, err := w.get(ctx, corev1.SchemeGroupVersion.WithKind("Endpoints"), namespace, name); err == nil {
		return true
	}
	service, err := w.get(ctx, corev1.SchemeGroupVersion.WithKind("Service"), namespace, name)
	if err != nil {
		return false
	}
	kind, _, _ := unstructured.NestedString(service.Object, "spec", "type")
	return kind == "ExternalName"
}

func (w *waiter) get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	client, err := w.cluster.clientFor(gvk, namespace)
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, name, metav1.GetOptions{})
}

// reasons explains why an object is not ready: what was seen last, its conditions, and the state of its pods.
func (w *waiter) reasons(ctx context.Context, obj *unstructured.Unstructured, last verdict) []string {
	reasons := []string{last.progress}
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, entry := range list {
		c, _ := entry.(map[string]any)
		bad := c["status"] == "False" && c["type"] != "Failed" || c["status"] == "True" && c["type"] == "ReplicaFailure"
		if bad && c["message"] != nil {
			reasons = append(reasons, fmt.Sprintf("[%v] %v", c["reason"], c["message"]))
		}
	}
	selector, found, _ := unstructured.NestedMap(obj.Object, "spec", "selector")
	if !found || obj.GroupVersionKind().Group != "apps" {
		return reasons
	}
	labels, _, _ := unstructured.NestedStringMap(selector, "matchLabels")
	client, err := w.cluster.clientFor(corev1.SchemeGroupVersion.WithKind("Pod"), obj.GetNamespace())
	if err != nil || len(labels) == 0 {
		return reasons
	}
	pods, err := client.List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels})})
	if err != nil {
		return reasons
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if state := podReady(pod); !state.ready && len(reasons) < 8 {
			scheduled := orEmpty(condition(pod, "PodScheduled")["message"])
			reasons = append(reasons, fmt.Sprintf("[Pod %s]: %s %v", objectID(pod), state.progress, scheduled))
		}
	}
	return reasons
}
