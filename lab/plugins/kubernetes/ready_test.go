package main

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func withStatus(apiVersion, kind string, spec, status props) *unstructured.Unstructured {
	obj := object(apiVersion, kind, "ns", "x")
	obj.SetGeneration(2)
	obj.Object["spec"], obj.Object["status"] = spec, status
	return obj
}

func TestReadinessOfWorkloads(t *testing.T) {
	available := []any{props{"type": "Available", "status": "True"}}
	deployed := func(change props) *unstructured.Unstructured {
		status := props{"observedGeneration": int64(2), "replicas": int64(2), "updatedReplicas": int64(2),
			"readyReplicas": int64(2), "conditions": available}
		for key, value := range change {
			status[key] = value
		}
		return withStatus("apps/v1", "Deployment", props{"replicas": int64(2)}, status)
	}
	stateful := func(change props) *unstructured.Unstructured {
		status := props{"observedGeneration": int64(2), "readyReplicas": int64(1), "updatedReplicas": int64(1),
			"currentRevision": "b", "updateRevision": "b"}
		for key, value := range change {
			status[key] = value
		}
		return withStatus("apps/v1", "StatefulSet", props{"replicas": int64(1)}, status)
	}
	daemons := func(ready, updated int64) *unstructured.Unstructured {
		return withStatus("apps/v1", "DaemonSet", props{}, props{"observedGeneration": int64(2),
			"desiredNumberScheduled": int64(2), "numberReady": ready, "updatedNumberScheduled": updated})
	}
	ended := func(kind string) *unstructured.Unstructured {
		return withStatus("batch/v1", "Job", props{}, props{"conditions": []any{props{"type": kind, "status": "True"}}})
	}
	for name, c := range map[string]struct {
		obj           *unstructured.Unstructured
		ready, failed bool
	}{
		"a Deployment with all pods":                {obj: deployed(nil), ready: true},
		"a Deployment with a pod missing":           {obj: deployed(props{"readyReplicas": int64(1)})},
		"a Deployment with an old pod left":         {obj: deployed(props{"replicas": int64(3)})},
		"a Deployment that is not rolled out":       {obj: deployed(props{"updatedReplicas": int64(1)})},
		"a Deployment with a stale status":          {obj: deployed(props{"observedGeneration": int64(1)})},
		"a Deployment that is not available":        {obj: deployed(props{"conditions": []any{}})},
		"a Deployment scaled to nothing":            {obj: withStatus("apps/v1", "Deployment", props{"replicas": int64(0)}, props{"observedGeneration": int64(2)}), ready: true},
		"a StatefulSet with all pods":               {obj: stateful(nil), ready: true},
		"a StatefulSet with a pod missing":          {obj: stateful(props{"readyReplicas": int64(0)})},
		"a StatefulSet that is not rolled out":      {obj: stateful(props{"currentRevision": "a"})},
		"a DaemonSet with all pods":                 {obj: daemons(2, 2), ready: true},
		"a DaemonSet with a pod missing":            {obj: daemons(1, 2)},
		"a DaemonSet that is not rolled out":        {obj: daemons(2, 1)},
		"a complete Job":                            {obj: ended("Complete"), ready: true},
		"a failed Job":                              {obj: ended("Failed"), failed: true},
		"a running Job":                             {obj: ended("Other")},
		"a suspended Job":                           {obj: withStatus("batch/v1", "Job", props{"suspend": true}, props{}), ready: true},
		"a Pod that is ready":                       {obj: withStatus("v1", "Pod", props{}, props{"conditions": []any{props{"type": "Ready", "status": "True"}}}), ready: true},
		"a Pod that has succeeded":                  {obj: withStatus("v1", "Pod", props{}, props{"phase": "Succeeded"}), ready: true},
		"a Pod that has failed":                     {obj: withStatus("v1", "Pod", props{}, props{"phase": "Failed"})},
		"a bound claim":                             {obj: withStatus("v1", "PersistentVolumeClaim", props{}, props{"phase": "Bound"}), ready: true},
		"a pending claim without a class":           {obj: withStatus("v1", "PersistentVolumeClaim", props{}, props{"phase": "Pending"})},
		"a load balancer without an address":        {obj: withStatus("v1", "Service", props{"type": "LoadBalancer"}, props{})},
		"a load balancer with an address":           {obj: withStatus("v1", "Service", props{"type": "LoadBalancer"}, props{"loadBalancer": props{"ingress": []any{props{"ip": "127.0.0.1"}}}}), ready: true},
		"a headless Service":                        {obj: withStatus("v1", "Service", props{"clusterIP": "None", "selector": props{"a": "b"}}, props{}), ready: true},
		"a definition that is established":          {obj: withStatus("apiextensions.k8s.io/v1", "CustomResourceDefinition", props{}, props{"conditions": []any{props{"type": "Established", "status": "True"}}}), ready: true},
		"a definition that is not":                  {obj: withStatus("apiextensions.k8s.io/v1", "CustomResourceDefinition", props{}, props{})},
		"an Ingress without an address or backends": {obj: withStatus("networking.k8s.io/v1", "Ingress", props{}, props{})},
	} {
		t.Run(name, func(t *testing.T) {
			w := &waiter{created: true}
			got := w.probe(c.obj)(t.Context(), c.obj)
			if got.ready != c.ready || got.failed != c.failed {
				t.Fatalf("verdict is %+v", got)
			}
			if !got.ready && got.progress == "" {
				t.Fatal("the verdict does not say what is missing")
			}
		})
	}
}

func TestWaitForExpressions(t *testing.T) {
	obj := withStatus("a.example.com/v1", "Foo", props{}, props{
		"phase": "Done", "count": int64(3), "conditions": []any{
			props{"type": "Ready", "status": "True"},
			props{"type": "Stale", "status": "True", "observedGeneration": int64(1)},
			props{"type": "Broken", "status": "False"},
		},
	})
	for expression, want := range map[string]bool{
		"condition=Ready":                true,
		"condition=ready=true":           true,
		"condition=Stale":                false,
		"condition=Broken":               false,
		"condition=Broken=False":         true,
		"condition=Missing":              false,
		"jsonpath={.status.phase}":       true,
		"jsonpath={.status.phase}=Done":  true,
		"jsonpath={.status.phase}=Other": false,
		"jsonpath={.status.count}=3":     true,
		"jsonpath={.status.missing}":     false,
		`jsonpath={.status.conditions[?(@.type=="Ready")].status}=True`: true,
		`["condition=Ready", "jsonpath={.status.phase}=Done"]`:          true,
		`["condition=Ready", "condition=Missing"]`:                      false,
	} {
		t.Run(expression, func(t *testing.T) {
			all, err := parseConditions(expression)
			if err != nil {
				t.Fatal(err)
			}
			if got := all.check(obj); got.ready != want {
				t.Fatalf("verdict is %+v", got)
			}
		})
	}
}

func TestMalformedWaitForExpressionsAreRefused(t *testing.T) {
	for _, expression := range []string{
		"Ready", "[]", "jsonpath=.status.phase", "jsonpath='{.status.phase}'", "jsonpath={.a}=", "jsonpath={.a}=b=c", "jsonpath={.a[}",
	} {
		t.Run(expression, func(t *testing.T) {
			if _, err := parseConditions(expression); err == nil {
				t.Fatal("it was accepted")
			}
		})
	}
}

func TestTheTimeoutOfTheProgramWinsOverTheAnnotation(t *testing.T) {
	obj := object("v1", "Pod", "ns", "x")
	obj.SetAnnotations(map[string]string{timeoutAnnotation: "7"})
	if got := timeoutOf(3, obj).Seconds(); got != 3 {
		t.Fatalf("timeout is %v s", got)
	}
	if got := timeoutOf(0, obj).Seconds(); got != 7 {
		t.Fatalf("timeout is %v s", got)
	}
	if got := timeoutOf(0, object("v1", "Pod", "ns", "x")); got != defaultWait {
		t.Fatalf("timeout is %v", got)
	}
}
