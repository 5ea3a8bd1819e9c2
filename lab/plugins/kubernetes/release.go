package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// defaultTimeout is what Helm waits for an operation, in seconds, where the program does not say.
const defaultTimeout = 300

// release is what the inputs of kubernetes.helm.v3.Release say, valueYamlFiles merged into Values.
type release struct {
	AllowNullValues          bool            `json:"allowNullValues"`
	Atomic                   bool            `json:"atomic"`
	Chart                    string          `json:"chart"`
	CleanupOnFail            bool            `json:"cleanupOnFail"`
	CreateNamespace          bool            `json:"createNamespace"`
	DependencyUpdate         bool            `json:"dependencyUpdate"`
	Description              string          `json:"description"`
	Devel                    bool            `json:"devel"`
	DisableCRDHooks          bool            `json:"disableCRDHooks"`
	DisableOpenapiValidation bool            `json:"disableOpenapiValidation"`
	DisableWebhooks          bool            `json:"disableWebhooks"`
	ForceUpdate              bool            `json:"forceUpdate"`
	Keyring                  string          `json:"keyring"`
	Lint                     bool            `json:"lint"`
	MaxHistory               int             `json:"maxHistory"`
	Name                     string          `json:"name"`
	Namespace                string          `json:"namespace"`
	Postrender               string          `json:"postrender"`
	RecreatePods             bool            `json:"recreatePods"`
	RenderSubchartNotes      bool            `json:"renderSubchartNotes"`
	Replace                  bool            `json:"replace"`
	RepositoryOpts           *repositoryOpts `json:"repositoryOpts"`
	ResetValues              bool            `json:"resetValues"`
	ReuseValues              bool            `json:"reuseValues"`
	SkipAwait                bool            `json:"skipAwait"`
	SkipCrds                 bool            `json:"skipCrds"`
	TakeOwnership            bool            `json:"takeOwnership"`
	Timeout                  int             `json:"timeout"` // seconds
	Values                   map[string]any  `json:"values"`
	Verify                   bool            `json:"verify"`
	Version                  string          `json:"version"`
	WaitForJobs              bool            `json:"waitForJobs"`
}

type repositoryOpts struct {
	Repo     string `json:"repo"`
	CAFile   string `json:"caFile"`
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	Password string `json:"password"`
	Username string `json:"username"`
}

// decodeRelease reads inputs; what is not known yet reads as absent. An input that nobody knows is refused.
func decodeRelease(props resource.PropertyMap) (*release, error) {
	raw, err := json.Marshal(knownOnly(plainMap(props)))
	if err != nil {
		return nil, fmt.Errorf("reading the inputs of the Release: %w", err)
	}
	r := &release{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(r); err != nil {
		// The text names the input and its Go type, never a value.
		return nil, fmt.Errorf("kubernetes:helm.sh/v3:Release does not take these inputs: %w", err)
	}
	return r, nil
}

// knownOnly copies values without the unknown ones.
func knownOnly(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, e := range v {
			if _, unknown := e.(resource.Computed); !unknown {
				kept[key] = knownOnly(e)
			}
		}
		return kept
	case []any:
		kept := []any{}
		for _, e := range v {
			if _, unknown := e.(resource.Computed); !unknown {
				kept = append(kept, knownOnly(e))
			}
		}
		return kept
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return v
}

func (r *release) wantedVersion() string {
	if r.Version == "" && r.Devel {
		return ">0.0.0-0"
	}
	return strings.TrimSpace(r.Version)
}

func (r *release) wait() time.Duration {
	if r.Timeout == 0 {
		return defaultTimeout * time.Second
	}
	return time.Duration(r.Timeout) * time.Second
}

func (r *release) id() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// mergeValueFiles folds valueYamlFiles into values: later files win over earlier ones, values win over files.
func mergeValueFiles(props resource.PropertyMap) error {
	files, given := props["valueYamlFiles"]
	delete(props, "valueYamlFiles")
	secret := files.IsSecret()
	if secret {
		files = files.SecretValue().Element
	}
	if !given || files.IsNull() {
		return nil
	}
	if files.IsComputed() {
		props["values"] = files
		return nil
	}
	if !files.IsArray() {
		return fmt.Errorf("valueYamlFiles must be a list of assets, not %s", files.TypeString())
	}
	merged := resource.PropertyMap{}
	for i, file := range files.ArrayValue() {
		if file.IsSecret() {
			secret, file = true, file.SecretValue().Element
		}
		if !file.IsAsset() {
			return fmt.Errorf("valueYamlFiles[%d] must be an asset, not %s", i, file.TypeString())
		}
		content, err := file.AssetValue().Bytes()
		if err != nil {
			return fmt.Errorf("reading valueYamlFiles[%d]: %w", i, err)
		}
		values := map[string]any{}
		if err := yaml.Unmarshal(content, &values); err != nil {
			return fmt.Errorf("valueYamlFiles[%d] is not a YAML map", i)
		}
		overlay(merged, resource.NewPropertyMapFromMap(values))
	}
	values := props["values"]
	if values.IsSecret() {
		secret, values = true, values.SecretValue().Element
	}
	if values.IsObject() {
		overlay(merged, values.ObjectValue())
	}
	props["values"] = resource.NewObjectProperty(merged)
	if values.IsComputed() {
		props["values"] = values
	}
	if secret {
		props["values"] = resource.MakeSecret(props["values"])
	}
	return nil
}

func holdsAsset(v resource.PropertyValue) bool {
	switch {
	case v.IsAsset(), v.IsArchive():
		return true
	case v.IsSecret():
		return holdsAsset(v.SecretValue().Element)
	case v.IsArray():
		return slices.ContainsFunc(v.ArrayValue(), holdsAsset)
	case v.IsObject():
		for _, e := range v.ObjectValue() {
			if holdsAsset(e) {
				return true
			}
		}
	}
	return false
}

// overlay sets over's values in base, map by map.
func overlay(base, over resource.PropertyMap) {
	for key, value := range over {
		if value.IsObject() && base[key].IsObject() {
			overlay(base[key].ObjectValue(), value.ObjectValue())
			continue
		}
		base[key] = value
	}
}

// mergeValues is overlay for plain values.
func mergeValues(base, over map[string]any) map[string]any {
	merged := make(map[string]any, len(base)+len(over))
	for key, value := range base {
		merged[key] = value
	}
	for key, value := range over {
		have, both := merged[key].(map[string]any)
		inner, isMap := value.(map[string]any)
		if both && isMap {
			value = mergeValues(have, inner)
		}
		merged[key] = value
	}
	return merged
}

// releaseState is the state of a release: its inputs, what Helm says of it, and the inputs again, secret as a whole,
// for the next diff. Without an installed release (a preview) its outputs are not known yet.
func releaseState(inputs resource.PropertyMap, installed *helmrelease.Release) resource.PropertyMap {
	state := inputs.Copy()
	state[inputsKey] = resource.MakeSecret(resource.NewObjectProperty(inputs))
	if installed == nil {
		unknown := resource.MakeComputed(resource.NewStringProperty(""))
		state["resourceNames"], state["status"] = unknown, unknown
		return state
	}
	metadata := installed.Chart.Metadata
	current, _ := plain(state["values"]).(map[string]any)
	if values := mergeValues(current, installed.Config); len(values) > 0 {
		state["values"] = resource.NewObjectProperty(resource.NewPropertyMapFromMap(values))
		copySecrecy(state, inputs)
	}
	state["version"] = resource.NewStringProperty(metadata.Version)
	state["resourceNames"] = resource.NewObjectProperty(resource.NewPropertyMapFromMap(resourceNames(installed)))
	state["status"] = resource.NewObjectProperty(resource.NewPropertyMapFromMap(map[string]any{
		"appVersion": metadata.AppVersion,
		"chart":      metadata.Name,
		"name":       installed.Name,
		"namespace":  installed.Namespace,
		"revision":   installed.Version,
		"status":     installed.Info.Status.String(),
		"version":    metadata.Version,
	}))
	return state
}

// releasedInputs returns the inputs that a release's state holds; nil when it holds none (an import).
func releasedInputs(state resource.PropertyMap) resource.PropertyMap {
	v := state[inputsKey]
	if v.IsSecret() {
		v = v.SecretValue().Element
	}
	if !v.IsObject() {
		return nil
	}
	return v.ObjectValue()
}

// manifestObjects returns the objects of a release, its hooks left out.
func manifestObjects(installed *helmrelease.Release) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	manifests := releaseutil.SplitManifests(installed.Manifest)
	keys := make([]string, 0, len(manifests))
	for key := range manifests {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	for _, key := range keys {
		obj := &unstructured.Unstructured{}
		if yaml.Unmarshal([]byte(manifests[key]), &obj.Object) == nil && obj.GetKind() != "" {
			objects = append(objects, obj)
		}
	}
	return objects
}

// resourceNames groups the names of a release's objects by <kind>.<group>/<version>.
func resourceNames(installed *helmrelease.Release) map[string]any {
	names := map[string]any{}
	for _, obj := range manifestObjects(installed) {
		key := obj.GroupVersionKind().GroupKind().String() + "/" + obj.GetAPIVersion()
		list, _ := names[key].([]any)
		names[key] = append(list, objectID(obj))
	}
	for _, list := range names {
		ids := list.([]any)
		sort.Slice(ids, func(i, j int) bool { return ids[i].(string) < ids[j].(string) })
	}
	return names
}
