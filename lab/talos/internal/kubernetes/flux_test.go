package kubernetes

import (
	"encoding/json"
	"slices"
	"testing"
)

const instance = `{"spec": {"kustomize": {"patches": [
  {"target": {"kind": "Deployment", "name": "kustomize-controller"},
   "patch": "- {op: add, path: /spec/template/spec/containers/0/args/-, value: --requeue-dependency=5s}"},
  {"target": {"kind": "Deployment", "name": "helm-controller"},
   "patch": "- {op: replace, path: /spec/replicas, value: '2'}"}]}}}`

func fluxInstanceOf(t *testing.T) *fluxInstanceObject {
	t.Helper()
	var found fluxInstanceObject
	if err := json.Unmarshal([]byte(instance), &found); err != nil {
		t.Fatal(err)
	}
	return &found
}

func TestAControllerGetsTheFlagsOfItsOwnPatches(t *testing.T) {
	flags, err := fluxInstanceOf(t).flags("kustomize-controller")
	if err != nil || !slices.Equal(flags, []string{"--requeue-dependency=5s"}) {
		t.Errorf("got %v, %v", flags, err)
	}
}

func TestAPatchThatAddsNoFlagIsRefused(t *testing.T) {
	if flags, err := fluxInstanceOf(t).flags("helm-controller"); err == nil {
		t.Errorf("got %v, want a refusal", flags)
	}
}
