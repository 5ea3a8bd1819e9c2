package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

func TestAConditionIsWaitedFor(t *testing.T) {
	s := live(t)
	s.define("condition.example.com")
	ns := s.namespace()
	go s.whenFooExists("condition.example.com/v1", ns, func(client dynamic.ResourceInterface) {
		patch := `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`
		_, _ = client.Patch(context.Background(), "foo", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	})
	m := s.create("condition.example.com/v1:Foo", foo(ns, props{waitForAnnotation: "condition=Ready", timeoutAnnotation: "30"}))
	if !m.properties(t).HasValue("status") {
		t.Fatal("the state is that of before the wait")
	}
}

// whenFooExists calls back once the custom resource foo is there: until then its kind may not be served yet.
func (s *session) whenFooExists(apiVersion, namespace string, then func(dynamic.ResourceInterface)) {
	for range 100 {
		client, err := s.provider.cluster.client(object(apiVersion, "Foo", namespace, "foo"))
		if err == nil {
			if _, err = client.Get(context.Background(), "foo", metav1.GetOptions{}); err == nil {
				then(client)
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestAWaitThatTimesOutLeavesTheResourceInTheState(t *testing.T) {
	s := live(t)
	s.define("timeout.example.com")
	m, err := s.tryCreate("timeout.example.com/v1:Foo", foo(s.namespace(), props{
		waitForAnnotation: `["jsonpath={.status.phase}=Done"]`, timeoutAnnotation: "1",
	}))
	wantError(t, err, "timed out waiting for the condition")
	if m.id == "" {
		t.Fatal("the resource is lost")
	}
}

func TestAMalformedWaitForIsRefusedBeforeAnythingIsMade(t *testing.T) {
	s := live(t)
	checked, err := s.Check(t.Context(), &pulumirpc.CheckRequest{
		Urn: urnOf("a.example.com/v1:Foo"), News: s.pack(foo("default", props{waitForAnnotation: "Ready"})),
	})
	if err != nil || len(checked.GetFailures()) != 1 {
		t.Fatalf("failures %v, error %v", checked.GetFailures(), err)
	}
}

func TestAStuckFinalizerIsNamedWhenTheDeleteTimesOut(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{}))
	finalizers := func(list string) {
		patch := []byte(fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, list))
		if _, err := s.client("v1", "ConfigMap", ns).Patch(t.Context(), "cm", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	finalizers(`["example.com/stuck"]`)
	wantError(t, s.tryDelete(m, 1), "timed out waiting for the condition")
	if !s.said("finalizers might be preventing deletion (example.com/stuck") {
		t.Fatal("the finalizer is not named")
	}
	finalizers(`[]`)
}

func TestSkipAwaitLeavesANamespaceInDeletion(t *testing.T) {
	s := live(t)
	m := s.create("core/v1:Namespace", props{"metadata": props{"annotations": props{skipAwaitAnnotation: "true"}}})
	ns := m.id
	cm := object("v1", "ConfigMap", ns, "stuck")
	cm.SetFinalizers([]string{"example.com/stuck"})
	client := s.client("v1", "ConfigMap", ns)
	if _, err := client.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = client.Patch(context.Background(), "stuck", types.MergePatchType, []byte(`{"metadata":{"finalizers":[]}}`), metav1.PatchOptions{})
	}()
	if err := s.tryDelete(m, 5); err != nil {
		t.Fatal(err)
	}
	if s.get(m).GetDeletionTimestamp() == nil {
		t.Fatal("the namespace is not in deletion")
	}
}

func deployment(namespace string, replicas int, annotations props) props {
	labels := props{"app": "d"}
	metadata := props{"name": "d", "namespace": namespace}
	if annotations != nil {
		metadata["annotations"] = annotations
	}
	return props{"metadata": metadata, "spec": props{
		"replicas": replicas, "selector": props{"matchLabels": labels},
		"template": props{"metadata": props{"labels": labels}, "spec": props{"containers": []any{
			props{"name": "c", "image": "demo", "resources": props{"limits": props{"cpu": "1000m"}}},
		}}},
	}}
}

func TestADeploymentIsWaitedForWithItsProgressShown(t *testing.T) {
	s := live(t)
	m := s.create("apps/v1:Deployment", deployment(s.namespace(), 2, nil))
	if ready := intAt(s.get(m), 0, "status", "readyReplicas"); ready != 2 {
		t.Fatalf("%d pods are ready", ready)
	}
	if !s.said("waiting for Deployment d: 0 of 2 ready") {
		t.Fatal("no progress was shown")
	}
}

func TestADeploymentThatCannotBeScheduledSaysWhy(t *testing.T) {
	s := live(t)
	inputs := deployment(s.namespace(), 1, props{timeoutAnnotation: "3"})
	template := inputs["spec"].(props)["template"].(props)["spec"].(props)
	template["nodeSelector"] = props{"no": "where"}
	_, err := s.tryCreate("apps/v1:Deployment", inputs)
	wantError(t, err, "'d' timed out waiting to be Ready")
	reasons := strings.Join(initFailure(err).GetReasons(), "\n")
	if !strings.Contains(reasons, "node affinity/selector") {
		t.Fatalf("reasons are %s", reasons)
	}
}

func TestCancelEndsAWait(t *testing.T) {
	s := live(t)
	s.define("cancel.example.com")
	ns := s.namespace()
	go s.whenFooExists("cancel.example.com/v1", ns, func(dynamic.ResourceInterface) {
		_, _ = s.Cancel(context.Background(), &emptypb.Empty{})
	})
	begun := time.Now()
	_, err := s.tryCreate("cancel.example.com/v1:Foo", foo(ns, props{waitForAnnotation: "condition=Ready", timeoutAnnotation: "30"}))
	wantError(t, err, "was cancelled")
	if time.Since(begun) > 10*time.Second {
		t.Fatal("the wait went on")
	}
}
