package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

var deleteNow = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

func live(t *testing.T) *session {
	t.Helper()
	t.Parallel()
	return open(t).configure(realCluster(t), "enableConfigMapMutable", "true")
}

func configMap(namespace string, data props) props {
	return props{"metadata": props{"name": "cm", "namespace": namespace}, "data": data}
}

func (s *session) get(m *made) *unstructured.Unstructured {
	s.t.Helper()
	_, inner, _ := strings.Cut(m.token, "/")
	version, kind, _ := strings.Cut(inner, ":")
	group, _, _ := strings.Cut(m.token, "/")
	apiVersion := group + "/" + version
	if group == "core" {
		apiVersion = version
	}
	namespace, name := splitID(m.id)
	obj, err := s.client(apiVersion, kind, namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return obj
}

func TestAnObjectIsCreatedWithItsNamespaceAndNameAsId(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1"}))
	if m.id != ns+"/cm" {
		t.Fatalf("id is %q", m.id)
	}
	if data, _, _ := unstructured.NestedStringMap(s.get(m).Object, "data"); data["a"] != "1" {
		t.Fatalf("data is %v", data)
	}
}

func TestUnchangedInputsGiveNoDiff(t *testing.T) {
	s := live(t)
	inputs := deployment(s.namespace(), 1, nil)
	m := s.create("apps/v1:Deployment", inputs)
	if diff := s.diff(m, inputs); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatalf("unexpected diff: %v", diff.GetDetailedDiff())
	}
}

func TestUnchangedInputsGiveNoDiffAfterARefresh(t *testing.T) {
	s := live(t)
	inputs := deployment(s.namespace(), 1, nil)
	m := s.create("apps/v1:Deployment", inputs)
	s.refresh(m)
	if diff := s.diff(m, inputs); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatalf("unexpected diff: %v", diff.GetDetailedDiff())
	}
}

func TestAFieldThatTheProgramDropsIsRemovedFromTheLiveObject(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1", "b": "2"}))
	s.update(m, configMap(ns, props{"a": "1"}))
	if data, _, _ := unstructured.NestedStringMap(s.get(m).Object, "data"); len(data) != 1 {
		t.Fatalf("data is %v", data)
	}
}

func TestCreatingAnObjectThatExistsFails(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	s.create("core/v1:ConfigMap", configMap(ns, props{}))
	_, err := s.tryCreate("core/v1:ConfigMap", configMap(ns, props{}))
	wantError(t, err, `configmaps "cm" already exists`)
}

func TestAPreviewOfACreateLeavesNothingBehind(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	inputs := s.check("core/v1:ConfigMap", nil, configMap(ns, props{}))
	_, err := s.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf("core/v1:ConfigMap"), Properties: inputs, Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client("v1", "ConfigMap", ns).Get(t.Context(), "cm", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("the preview made the object: %v", err)
	}
}

func TestADriftedFieldIsSeenAfterARefresh(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1"}))
	_, err := s.client("v1", "ConfigMap", ns).Patch(t.Context(), "cm", types.MergePatchType, []byte(`{"data":{"a":"2"}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.refresh(m)
	if diff := s.diff(m, configMap(ns, props{"a": "1"})); diff.GetDetailedDiff()["data.a"] == nil {
		t.Fatalf("diff is %v", diff.GetDetailedDiff())
	}
}

func TestAVanishedObjectReadsAsGone(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{}))
	if err := s.tryDelete(m, 0); err != nil {
		t.Fatal(err)
	}
	if read := s.refresh(m); read.GetId() != "" {
		t.Fatalf("read gave id %q", read.GetId())
	}
}

func TestAnImportReadsTheInputsFromTheLiveObject(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1"}))
	read, err := s.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(m.token), Id: m.id})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := unmarshal(read.GetInputs())
	if err != nil {
		t.Fatal(err)
	}
	want := props{"apiVersion": "v1", "kind": "ConfigMap", "metadata": props{"name": "cm", "namespace": ns}, "data": props{"a": "1"}}
	if diff := resource.NewPropertyMapFromMap(want).Diff(imported); diff != nil {
		t.Fatalf("inputs are %v", imported)
	}
}

func TestTheDataOfASecretIsSecretInItsState(t *testing.T) {
	s := live(t)
	m := s.create("core/v1:Secret", props{
		"metadata": props{"name": "s", "namespace": s.namespace()}, "stringData": props{"password": "planted"},
	})
	if data := m.properties(t)["data"]; !data.IsSecret() {
		t.Fatalf("data is %s", data.TypeString())
	}
}

func TestASecretFieldOfAnObjectIsSecretInItsState(t *testing.T) {
	s := live(t)
	hidden := resource.MakeSecret(resource.NewStringProperty("planted"))
	m := s.create("core/v1:ConfigMap", configMap(s.namespace(), props{"a": hidden}))
	if value := m.properties(t)["data"].ObjectValue()["a"]; !value.IsSecret() {
		t.Fatalf("data.a is %s", value.TypeString())
	}
}

func TestAnErrorDoesNotRepeatASecret(t *testing.T) {
	s := live(t)
	hidden := resource.MakeSecret(resource.NewStringProperty("planted/secret"))
	inputs := configMap(s.namespace(), props{})
	inputs["metadata"].(props)["labels"] = props{"x": hidden}
	_, err := s.tryCreate("core/v1:ConfigMap", inputs)
	wantError(t, err, "[secret]")
	if strings.Contains(err.Error(), "planted") {
		t.Fatal(err)
	}
}

func TestAConflictNamesTheOtherManager(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1"}))
	s.takeField(ns)
	wantError(t, s.tryUpdate(m, configMap(ns, props{"a": "2"})), `conflict with "flux": .data.a`)
}

func TestPatchForceTakesAFieldFromTheOtherManager(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1"}))
	s.takeField(ns)
	forced := configMap(ns, props{"a": "2"})
	forced["metadata"].(props)["annotations"] = props{forceAnnotation: "true"}
	s.update(m, forced)
}

func TestAnIgnoredFieldOfAnotherManagerIsLeftAlone(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	m := s.create("core/v1:ConfigMap", configMap(ns, props{"a": "1", "b": "1"}))
	s.takeField(ns)
	checked := s.check(m.token, m.inputs, configMap(ns, props{"a": "1", "b": "2"}))
	_, err := s.Update(t.Context(), &pulumirpc.UpdateRequest{
		Urn: urnOf(m.token), Id: m.id, Olds: m.state, News: checked, IgnoreChanges: []string{"data.a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, _, _ := unstructured.NestedStringMap(s.get(m).Object, "data")
	if data["a"] != "theirs" || data["b"] != "2" {
		t.Fatalf("data is %v", data)
	}
}

// takeField makes another manager the owner of data.a of the ConfigMap cm.
func (s *session) takeField(namespace string) {
	s.t.Helper()
	obj := object("v1", "ConfigMap", namespace, "cm")
	obj.Object["data"] = map[string]any{"a": "theirs"}
	_, err := s.client("v1", "ConfigMap", namespace).Apply(s.t.Context(), "cm", obj, metav1.ApplyOptions{FieldManager: "flux", Force: true})
	if err != nil {
		s.t.Fatal(err)
	}
}

// definition is the CRD of a kind Foo in a group of its own.
func definition(group string) props {
	return props{
		"metadata": props{"name": "foos." + group},
		"spec": props{
			"group": group, "scope": "Namespaced", "names": props{"plural": "foos", "singular": "foo", "kind": "Foo"},
			"versions": []any{props{"name": "v1", "served": true, "storage": true, "schema": props{"openAPIV3Schema": props{
				"type": "object", "x_kubernetes_preserve_unknown_fields": true,
			}}}},
		},
	}
}

func (s *session) define(group string) *made {
	s.t.Helper()
	m := s.create("apiextensions.k8s.io/v1:CustomResourceDefinition", definition(group))
	s.t.Cleanup(func() {
		client := s.client("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")
		_ = client.Delete(context.Background(), m.id, deleteNow)
	})
	return m
}

func foo(namespace string, annotations props) props {
	metadata := props{"name": "foo", "namespace": namespace}
	if annotations != nil {
		metadata["annotations"] = annotations
	}
	return props{"metadata": metadata, "spec": props{"x": 1}}
}

func TestADefinitionKeepsItsDashedFields(t *testing.T) {
	s := live(t)
	inputs := definition("dashed.example.com")
	m := s.define("dashed.example.com")
	if diff := s.diff(m, inputs); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatalf("unexpected diff: %v", diff.GetDetailedDiff())
	}
}

func TestACustomResourceWaitsForItsDefinition(t *testing.T) {
	s := live(t)
	ns := s.namespace()
	later := time.AfterFunc(400*time.Millisecond, func() { s.define("late.example.com") })
	defer later.Stop()
	s.create("late.example.com/v1:Foo", foo(ns, nil))
	if !s.said("Retry #0; creation failed") {
		t.Fatal("the create was not tried again")
	}
}

func TestACustomResourceWithoutADefinitionFailsWithTheRemedy(t *testing.T) {
	s := live(t)
	_, err := s.tryCreate("none.example.com/v1:Foo", foo(s.namespace(), nil))
	wantError(t, err, "Verify that any required CRDs have been created: no matches for kind \"Foo\"")
}

func TestAnEmptyMapInACustomResourceIsAChangeForEver(t *testing.T) {
	s := live(t)
	s.define("empty.example.com")
	inputs := foo(s.namespace(), props{})
	m := s.create("empty.example.com/v1:Foo", inputs)
	s.update(m, inputs)
	if diff := s.diff(m, inputs); diff.GetDetailedDiff()["metadata.annotations"] == nil {
		t.Fatal("the official provider shows a change here, so the stand-in must not hide it")
	}
}
