package main

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// diffOf diffs an object that was created with its old inputs, without a cluster.
func diffOf(t *testing.T, urn string, olds, news props, configuration ...string) *pulumirpc.DiffResponse {
	t.Helper()
	s := open(t).configure(deadCluster(t), configuration...)
	m := &made{token: urn, inputs: s.check(urn, nil, olds)}
	inputs, err := unmarshal(m.inputs)
	if err != nil {
		t.Fatal(err)
	}
	state := checkpoint(plainMap(inputs), plainMap(inputs), inputs, "v1", "manager")
	if m.state, err = s.provider.marshal(state); err != nil {
		t.Fatal(err)
	}
	return s.diff(m, news)
}

func manifest(fields props) props {
	object := props{"metadata": props{"name": "x", "namespace": "ns"}}
	for key, value := range fields {
		object[key] = value
	}
	return object
}

func TestChangesOfImmutableFieldsReplace(t *testing.T) {
	spec := func(fields props) props { return manifest(props{"spec": fields}) }
	for name, c := range map[string]struct {
		urn        string
		olds, news props
		replaces   string
	}{
		"the name":                       {"core/v1:Service", manifest(nil), props{"metadata": props{"name": "y", "namespace": "ns"}}, "metadata.name"},
		"the namespace":                  {"core/v1:Service", manifest(nil), props{"metadata": props{"name": "x", "namespace": "other"}}, "metadata.namespace"},
		"a ConfigMap's data":             {"core/v1:ConfigMap", manifest(props{"data": props{"a": "1"}}), manifest(props{"data": props{"a": "2"}}), "data.a"},
		"a Secret's data":                {"core/v1:Secret", manifest(props{"stringData": props{"a": "1"}}), manifest(props{"stringData": props{"a": "2"}}), "data.a"},
		"a Deployment's selector":        {"apps/v1:Deployment", spec(props{"selector": props{"matchLabels": props{"a": "1"}}}), spec(props{"selector": props{"matchLabels": props{"a": "2"}}}), "spec.selector.matchLabels.a"},
		"a Deployment's replicas":        {"apps/v1:Deployment", spec(props{"replicas": 1}), spec(props{"replicas": 2}), ""},
		"a Job's image":                  {"batch/v1:Job", job("a"), job("b"), "spec.template.spec.containers[0].image"},
		"a Pod's image":                  {"core/v1:Pod", pod("a"), pod("b"), "spec.containers[0].image"},
		"a Service's clusterIP":          {"core/v1:Service", spec(props{"clusterIP": "10.0.0.1"}), spec(props{"clusterIP": "10.0.0.2"}), "spec.clusterIP"},
		"a StorageClass's provisioner":   {"storage.k8s.io/v1:StorageClass", manifest(props{"provisioner": "a"}), manifest(props{"provisioner": "b"}), "provisioner"},
		"a claim's class":                {"core/v1:PersistentVolumeClaim", spec(props{"storageClassName": "a"}), spec(props{"storageClassName": "b"}), "spec.storageClassName"},
		"a claim's size":                 {"core/v1:PersistentVolumeClaim", spec(props{"resources": props{"requests": props{"storage": "1Gi"}}}), spec(props{"resources": props{"requests": props{"storage": "2Gi"}}}), ""},
		"a custom resource's spec":       {"a.example.com/v1:Foo", spec(props{"x": 1}), spec(props{"x": 2}), ""},
		"a selector within a whole spec": {"apps/v1:Deployment", manifest(nil), spec(props{"selector": props{"matchLabels": props{"a": "1"}}}), "spec"},
	} {
		t.Run(name, func(t *testing.T) {
			diff := diffOf(t, c.urn, c.olds, c.news)
			if diff.GetChanges() != pulumirpc.DiffResponse_DIFF_SOME {
				t.Fatal("the change was not seen")
			}
			if got := strings.Join(diff.GetReplaces(), ","); got != c.replaces {
				t.Fatalf("replaces %q, wanted %q", got, c.replaces)
			}
		})
	}
}

func pod(image string) props {
	return manifest(props{"spec": props{"containers": []any{props{"name": "c", "image": image}}}})
}

func job(image string) props {
	return manifest(props{"spec": props{"template": pod(image)}})
}

func TestAMutableConfigMapIsUpdatedInPlace(t *testing.T) {
	diff := diffOf(t, "core/v1:ConfigMap", manifest(props{"data": props{"a": "1"}}), manifest(props{"data": props{"a": "2"}}),
		"enableConfigMapMutable", "true")
	if len(diff.GetReplaces()) != 0 || diff.GetDetailedDiff()["data.a"].GetKind() != pulumirpc.PropertyDiff_UPDATE {
		t.Fatalf("diff is %v", diff)
	}
}

func TestASealedConfigMapIsReplacedEvenWhenMutable(t *testing.T) {
	diff := diffOf(t, "core/v1:ConfigMap", manifest(props{"immutable": true, "data": props{"a": "1"}}),
		manifest(props{"immutable": true, "data": props{"a": "2"}}), "enableConfigMapMutable", "true")
	if len(diff.GetReplaces()) != 1 {
		t.Fatalf("diff is %v", diff)
	}
}

func TestAReplacementThatKeepsItsNameDeletesFirst(t *testing.T) {
	diff := diffOf(t, "core/v1:ConfigMap", manifest(props{"data": props{"a": "1"}}), manifest(props{"data": props{"a": "2"}}))
	if !diff.GetDeleteBeforeReplace() {
		t.Fatal("the new object would meet the old one's name")
	}
}

func TestAReplacementOfAnAutonamedObjectCreatesFirst(t *testing.T) {
	unnamed := func(value string) props {
		return props{"metadata": props{"namespace": "ns"}, "data": props{"a": value}}
	}
	diff := diffOf(t, "core/v1:ConfigMap", unnamed("1"), unnamed("2"))
	if len(diff.GetReplaces()) == 0 || diff.GetDeleteBeforeReplace() {
		t.Fatalf("diff is %v", diff)
	}
}

func TestAnUnknownInputIsAChange(t *testing.T) {
	unknown := resource.MakeComputed(resource.NewStringProperty(""))
	diff := diffOf(t, "core/v1:Service", manifest(props{"spec": props{"externalName": "a"}}),
		manifest(props{"spec": props{"externalName": unknown}}))
	if diff.GetDetailedDiff()["spec.externalName"].GetKind() != pulumirpc.PropertyDiff_UPDATE {
		t.Fatalf("diff is %v", diff)
	}
}

func TestQuantitiesThatMeanTheSameAreNoChange(t *testing.T) {
	limits := func(cpu string) props {
		return manifest(props{"spec": props{"containers": []any{
			props{"name": "c", "image": "i", "resources": props{"limits": props{"cpu": cpu}}},
		}}})
	}
	if diff := diffOf(t, "core/v1:Pod", limits("1000m"), limits("1")); diff.GetChanges() != pulumirpc.DiffResponse_DIFF_NONE {
		t.Fatalf("diff is %v", diff)
	}
}

func TestADroppedKeyIsADeletion(t *testing.T) {
	diff := diffOf(t, "core/v1:Service", manifest(props{"spec": props{"externalName": "a", "type": "ExternalName"}}),
		manifest(props{"spec": props{"type": "ExternalName"}}))
	if diff.GetDetailedDiff()["spec.externalName"].GetKind() != pulumirpc.PropertyDiff_DELETE {
		t.Fatalf("diff is %v", diff)
	}
}

func TestAKeyWithADotIsQuotedInItsPath(t *testing.T) {
	if got := pathString([]any{"metadata", "annotations", "a.b/c", 0}); got != `metadata.annotations["a.b/c"][0]` {
		t.Fatalf("path is %s", got)
	}
}

func TestAnUnnamedObjectIsNamedAfterItsResource(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	inputs, err := unmarshal(s.check("core/v1:ConfigMap", nil, props{}))
	if err != nil {
		t.Fatal(err)
	}
	metadata := inputs["metadata"].ObjectValue()
	if !strings.HasPrefix(metadata["name"].StringValue(), "it-") ||
		metadata["annotations"].ObjectValue()[autonamedAnnotation].StringValue() != "true" {
		t.Fatalf("metadata is %v", metadata)
	}
}

func TestAnUnnamedObjectKeepsTheNameThatItHas(t *testing.T) {
	s := open(t).configure(deadCluster(t))
	first := s.check("core/v1:ConfigMap", nil, props{})
	again := s.check("core/v1:ConfigMap", first, props{"data": props{"a": "1"}})
	name := func(inputs resource.PropertyMap, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return inputs["metadata"].ObjectValue()["name"].StringValue()
	}
	if name(unmarshal(first)) != name(unmarshal(again)) {
		t.Fatal("the name changed")
	}
}

func TestGenerateNameIsRefused(t *testing.T) {
	got := refusal(t, open(t).configure(deadCluster(t)), "core/v1:ConfigMap", props{"metadata": props{"generateName": "x-"}})
	if !strings.Contains(got, "generateName") {
		t.Fatalf("refused with %q", got)
	}
}

func TestAKindThatDoesNotFitTheTypeIsRefused(t *testing.T) {
	got := refusal(t, open(t).configure(deadCluster(t)), "core/v1:ConfigMap", props{"kind": "Secret"})
	if !strings.Contains(got, "kind: Secret does not fit the resource's type, which wants ConfigMap") {
		t.Fatalf("refused with %q", got)
	}
}

func TestOnlyNamespacedKindsGetTheDefaultNamespace(t *testing.T) {
	s := open(t).configure(deadCluster(t), "namespace", "mine")
	for urn, want := range map[string]bool{"core/v1:ConfigMap": true, "core/v1:Namespace": false, "a.example.com/v1:Foo": true} {
		t.Run(urn, func(t *testing.T) {
			inputs, err := unmarshal(s.check(urn, nil, props{"metadata": props{"name": "x"}}))
			if err != nil {
				t.Fatal(err)
			}
			if namespace := inputs["metadata"].ObjectValue()["namespace"]; namespace.HasValue() != want {
				t.Fatalf("namespace is %v", namespace)
			}
		})
	}
}
