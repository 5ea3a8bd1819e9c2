package main

import (
	"encoding/base64"
	"math"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Keys that the state of an object carries beside the live object.
const (
	inputsKey       = "__inputs"
	apiVersionKey   = "__initialApiVersion"
	fieldManagerKey = "__fieldManager"
)

func unmarshal(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
}

func (p *provider) marshal(props resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(props, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: p.keepSecrets})
}

// openSecrets returns the properties with top-level secrets replaced by their values.
func openSecrets(props resource.PropertyMap) resource.PropertyMap {
	open := resource.PropertyMap{}
	for k, v := range props {
		if v.IsSecret() {
			v = v.SecretValue().Element
		}
		open[k] = v
	}
	return open
}

// plain turns a property into JSON-like values without secrets. Unknown values stay as resource.Computed, whole
// numbers become int64, as the API machinery wants them, and x_kubernetes_* names get their dashes.
func plain(v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		return plain(v.SecretValue().Element)
	case v.IsComputed():
		return v.Input()
	case v.IsOutput():
		return resource.Computed{Element: v.OutputValue().Element}
	case v.IsNumber():
		n := v.NumberValue()
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n)
		}
		return n
	case v.IsArray():
		list := make([]any, len(v.ArrayValue()))
		for i, e := range v.ArrayValue() {
			list[i] = plain(e)
		}
		return list
	case v.IsObject():
		return plainMap(v.ObjectValue())
	case v.IsNull():
		return nil
	default:
		return v.V
	}
}

func plainMap(props resource.PropertyMap) map[string]any {
	m := make(map[string]any, len(props))
	for k, v := range props {
		name := string(k)
		if strings.HasPrefix(name, "x_kubernetes_") {
			name = strings.ReplaceAll(name, "_", "-")
		}
		m[name] = plain(v)
	}
	return m
}

// fromPlain is the reverse of plainMap, for what goes into the state.
func fromPlain(m map[string]any) resource.PropertyMap {
	return resource.NewPropertyMapFromMapRepl(m, func(name string) (resource.PropertyKey, bool) {
		if strings.HasPrefix(name, "x-kubernetes-") {
			return resource.PropertyKey(strings.ReplaceAll(name, "-", "_")), true
		}
		return "", false
	}, nil)
}

func hasUnknown(v any) bool {
	switch v := v.(type) {
	case resource.Computed:
		return true
	case map[string]any:
		for _, e := range v {
			if hasUnknown(e) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if hasUnknown(e) {
				return true
			}
		}
	}
	return false
}

// copySecrecy marks as secret in outs what is secret in ins. Objects are followed; anything else that contains a
// secret becomes secret as a whole, so that a secret that moves within a list stays one.
func copySecrecy(outs, ins resource.PropertyMap) {
	for k, in := range ins {
		out, present := outs[k]
		if !present || out.IsSecret() || !in.ContainsSecrets() {
			continue
		}
		if in.IsObject() && out.IsObject() {
			copySecrecy(out.ObjectValue(), in.ObjectValue())
			continue
		}
		outs[k] = resource.MakeSecret(out)
	}
}

// hideSecretData marks the data of a v1 Secret, wherever it came from.
func hideSecretData(props resource.PropertyMap) {
	if v := props["apiVersion"]; !v.IsString() || v.StringValue() != "v1" {
		return
	}
	if v := props["kind"]; !v.IsString() || v.StringValue() != "Secret" {
		return
	}
	for _, key := range []resource.PropertyKey{"data", "stringData"} {
		if v, present := props[key]; present && !v.IsSecret() {
			props[key] = resource.MakeSecret(v)
		}
	}
}

// checkpoint builds the state of an object: the live object, and beside it what Diff and Update need to know.
func checkpoint(inputs, live map[string]any, from resource.PropertyMap, apiVersion, manager string) resource.PropertyMap {
	state, saved := fromPlain(live), fromPlain(inputs)
	for _, props := range []resource.PropertyMap{state, saved} {
		copySecrecy(props, from)
		hideSecretData(props)
	}
	state[inputsKey] = resource.NewObjectProperty(saved)
	state[apiVersionKey] = resource.NewStringProperty(apiVersion)
	state[fieldManagerKey] = resource.NewStringProperty(manager)
	return state
}

// parseCheckpoint splits the state of an object into the inputs and the live object that it holds.
func parseCheckpoint(state resource.PropertyMap) (inputs, live *unstructured.Unstructured) {
	object := plainMap(state)
	saved, _ := object[inputsKey].(map[string]any)
	if saved == nil {
		saved = map[string]any{}
	}
	for _, key := range []string{inputsKey, apiVersionKey, fieldManagerKey} {
		delete(object, key)
	}
	return &unstructured.Unstructured{Object: saved}, &unstructured.Unstructured{Object: object}
}

// redactor replaces the secrets of some inputs in a text. Very short ones are left: they would garble the text.
func redactor(props resource.PropertyMap) func(string) string {
	var secrets []string
	var collect func(v resource.PropertyValue, secret bool)
	collect = func(v resource.PropertyValue, secret bool) {
		switch {
		case v.IsSecret():
			collect(v.SecretValue().Element, true)
		case v.IsArray():
			for _, e := range v.ArrayValue() {
				collect(e, secret)
			}
		case v.IsObject():
			for _, e := range v.ObjectValue() {
				collect(e, secret)
			}
		case v.IsString() && secret && len(v.StringValue()) >= 4:
			s := v.StringValue()
			secrets = append(secrets, s, base64.StdEncoding.EncodeToString([]byte(s)))
			if decoded, err := base64.StdEncoding.DecodeString(s); err == nil && len(decoded) >= 4 {
				secrets = append(secrets, string(decoded))
			}
		}
	}
	collect(resource.NewObjectProperty(props), false)
	// The longest first, so that no part of a secret stays behind.
	sort.Slice(secrets, func(i, j int) bool { return len(secrets[i]) > len(secrets[j]) })
	return func(text string) string {
		for _, s := range secrets {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
		return text
	}
}

func sortedKeys(props resource.PropertyMap) []string {
	keys := make([]string, 0, len(props))
	for k := range props {
		keys = append(keys, string(k))
	}
	sort.Strings(keys)
	return keys
}
