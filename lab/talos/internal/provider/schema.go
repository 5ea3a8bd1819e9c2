package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// field describes one property of the package's schema.
type field struct {
	kind     string // string, boolean, array (of strings) or object
	required bool
	secret   bool
	fields   map[string]field // of an object
}

func text() field                          { return field{kind: "string"} }
func boolean() field                       { return field{kind: "boolean"} }
func list() field                          { return field{kind: "array"} }
func object(fields map[string]field) field { return field{kind: "object", fields: fields} }
func required(f field) field               { f.required = true; return f }
func secret(f field) field                 { f.secret = true; return f }
func texts(names ...string) map[string]field {
	fields := map[string]field{}
	for _, name := range names {
		fields[name] = text()
	}
	return fields
}

var (
	clientConfiguration = object(map[string]field{
		"caCertificate": required(text()), "clientCertificate": required(text()), "clientKey": required(secret(text())),
	})
	certificate    = required(object(map[string]field{"cert": required(text()), "key": required(secret(text()))}))
	machineSecrets = object(map[string]field{
		"certs": required(object(map[string]field{
			"etcd": certificate, "k8s": certificate, "k8sAggregator": certificate, "os": certificate,
			"k8sServiceaccount": required(object(map[string]field{"key": required(secret(text()))})),
		})),
		"cluster": required(object(map[string]field{"id": required(text()), "secret": required(secret(text()))})),
		"secrets": required(object(map[string]field{
			"bootstrapToken": required(secret(text())), "secretboxEncryptionSecret": required(secret(text())), "aescbcEncryptionSecret": secret(text()),
		})),
		"trustdinfo": required(object(map[string]field{"token": required(secret(text()))})),
	})
	kubernetesClientConfiguration = object(map[string]field{
		"host": text(), "caCertificate": text(), "clientCertificate": text(), "clientKey": secret(text()),
	})
)

// refuse names everything in the values that the schema does not know, misses or has in another type.
func refuse(fields map[string]field, values resource.PropertyMap, path string) []*pulumirpc.CheckFailure {
	var failures []*pulumirpc.CheckFailure

	fail := func(name, format string, args ...any) {
		failures = append(failures, &pulumirpc.CheckFailure{Property: path + name, Reason: fmt.Sprintf(format, args...)})
	}

	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := string(key)
		known, found := fields[name]
		value := plain(values[key])
		switch {
		case strings.HasPrefix(name, "__"): // the engine's own
		case !found:
			fail(name, "unknown property %q: it is not in the schema of the talos package %s", path+name, Version)
		case value.IsNull() || unknown(value):
		case known.kind == "object" && value.IsObject():
			failures = append(failures, refuse(known.fields, value.ObjectValue(), path+name+".")...)
		case known.kind == "array" && value.IsArray():
			for i, item := range value.ArrayValue() {
				if item = plain(item); !item.IsString() && !unknown(item) {
					fail(name, "element %d of %q must be a string", i, path+name)
				}
			}
		case known.kind == "string" && value.IsString(), known.kind == "boolean" && value.IsBool():
		default:
			fail(name, "%q must be of type %s", path+name, known.kind)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if value := plain(values[resource.PropertyKey(name)]); fields[name].required && value.IsNull() {
			fail(name, "Missing Configuration for Required Attribute %s", path+name)
		}
	}
	return failures
}

// markSecrets makes secret what the schema calls secret and keeps what is secret already.
func markSecrets(fields map[string]field, values resource.PropertyMap) resource.PropertyMap {
	marked := values.Copy()
	for key, value := range values {
		known, found := fields[string(key)]
		switch {
		case !found || value.IsNull() || value.IsSecret():
		case known.secret:
			marked[key] = resource.MakeSecret(value)
		case known.kind == "object" && value.IsObject():
			marked[key] = resource.NewObjectProperty(markSecrets(known.fields, value.ObjectValue()))
		}
	}
	return marked
}

// plain removes all marks of secrecy.
func plain(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return plain(value.SecretValue().Element)
	case value.IsOutput():
		if !value.OutputValue().Known {
			return resource.MakeComputed(resource.NewStringProperty(""))
		}
		return plain(value.OutputValue().Element)
	case value.IsArray():
		items := make([]resource.PropertyValue, 0, len(value.ArrayValue()))
		for _, item := range value.ArrayValue() {
			items = append(items, plain(item))
		}
		return resource.NewArrayProperty(items)
	case value.IsObject():
		return resource.NewObjectProperty(plainMap(value.ObjectValue()))
	default:
		return value
	}
}

func plainMap(values resource.PropertyMap) resource.PropertyMap {
	result := resource.PropertyMap{}
	for key, value := range values {
		result[key] = plain(value)
	}
	return result
}

// unknown tells whether a value, or a part of it, is not known yet.
func unknown(value resource.PropertyValue) bool { return value.ContainsUnknowns() }

func computed() resource.PropertyValue { return resource.MakeComputed(resource.NewStringProperty("")) }

// str reads a string at a path of nested properties; it is empty when absent.
func str(values resource.PropertyMap, path ...string) string {
	for i, name := range path {
		value := plain(values[resource.PropertyKey(name)])
		switch {
		case i == len(path)-1 && value.IsString():
			return value.StringValue()
		case value.IsObject():
			values = value.ObjectValue()
		default:
			return ""
		}
	}
	return ""
}

func truth(values resource.PropertyMap, name string) bool {
	value := plain(values[resource.PropertyKey(name)])
	return value.IsBool() && value.BoolValue()
}

func stringsOf(value resource.PropertyValue) []string {
	var found []string
	if value = plain(value); value.IsArray() {
		for _, item := range value.ArrayValue() {
			if item.IsString() {
				found = append(found, item.StringValue())
			}
		}
	}
	return found
}

func isSet(values resource.PropertyMap, name string) bool {
	value, found := values[resource.PropertyKey(name)]
	return found && !plain(value).IsNull()
}
