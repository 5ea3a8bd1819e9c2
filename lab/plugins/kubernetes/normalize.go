package main

import (
	"encoding/base64"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	urnpkg "github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// Annotations that steer the provider. Those with a fixed value are set to "true".
const (
	autonamedAnnotation   = "pulumi.com/autonamed"
	skipAwaitAnnotation   = "pulumi.com/skipAwait"
	waitForAnnotation     = "pulumi.com/waitFor"
	timeoutAnnotation     = "pulumi.com/timeoutSeconds"
	forceAnnotation       = "pulumi.com/patchForce"
	managerAnnotation     = "pulumi.com/patchFieldManager"
	propagationAnnotation = "pulumi.com/deletionPropagationPolicy"
)

// readOnlyMetadata are fields that only the API server writes.
var readOnlyMetadata = []string{
	"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields",
	"resourceVersion", "uid",
}

// normalize brings inputs that mean the same into the same shape: objects of a built-in kind take the form that
// their Go type gives them (no empty maps, canonical quantities, no field that the type lacks). Custom resources
// and objects with unknown values stay as written.
func normalize(object map[string]any) map[string]any {
	obj := &unstructured.Unstructured{Object: object}
	if !hasUnknown(object) {
		switch gvk := obj.GroupVersionKind(); {
		case gvk.Group == "apiextensions.k8s.io":
			if preserve, found, err := unstructured.NestedBool(object, "spec", "preserveUnknownFields"); err == nil && found && !preserve {
				unstructured.RemoveNestedField(object, "spec", "preserveUnknownFields")
			}
			delete(object, "status")
		case gvk.Group == "" && gvk.Kind == "Secret":
			normalizeSecret(object)
		case scheme.Scheme.Recognizes(gvk):
			if typed, err := scheme.Scheme.New(gvk); err == nil &&
				runtime.DefaultUnstructuredConverter.FromUnstructured(object, typed) == nil {
				if canonical, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err == nil {
					object = pruneTo(canonical, object).(map[string]any)
					obj.Object = object
				}
			}
		}
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		for _, field := range readOnlyMetadata {
			delete(metadata, field)
		}
	}
	return object
}

// normalizeSecret does what the API server does on write: stringData is encoded over data.
func normalizeSecret(object map[string]any) {
	data, _ := object["data"].(map[string]any)
	if data == nil {
		data = map[string]any{}
	}
	plainData, _ := object["stringData"].(map[string]any)
	for key, value := range plainData {
		s, ok := value.(string)
		if !ok {
			return
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	for key, value := range data {
		if s, ok := value.(string); ok {
			if decoded, err := base64.StdEncoding.DecodeString(s); err == nil {
				data[key] = base64.StdEncoding.EncodeToString(decoded)
			}
		}
	}
	if len(plainData) > 0 {
		delete(object, "stringData")
	}
	if len(data) > 0 {
		object["data"] = data
	}
}

func annotation(obj *unstructured.Unstructured, name string) string {
	value, _, _ := unstructured.NestedString(obj.Object, "metadata", "annotations", name)
	return value
}

func metadataField(obj *unstructured.Unstructured, name string) any {
	metadata, _ := obj.Object["metadata"].(map[string]any)
	return metadata[name]
}

// named says whether the program gives the name, even if it is only known later.
func named(obj *unstructured.Unstructured) bool {
	if _, unknown := obj.Object["metadata"].(resource.Computed); unknown {
		return true
	}
	name := metadataField(obj, "name")
	if _, unknown := name.(resource.Computed); unknown {
		return true
	}
	return name != nil && name != ""
}

// autoname gives an unnamed object the name that it has, or a fresh one after the resource's: the annotation tells
// a later Diff that the name may change. The engine may propose a name, or forbid this altogether.
func autoname(obj, old *unstructured.Unstructured, req *pulumirpc.CheckRequest) (refusal string, err error) {
	if named(obj) {
		return "", nil
	}
	if metadataField(obj, "generateName") != nil {
		return "the `.metadata.generateName` field is not supported in Server-Side Apply mode", nil
	}
	name := ""
	if annotation(old, autonamedAnnotation) == "true" {
		name, _ = metadataField(old, "name").(string)
	} else if len(old.Object) > 0 {
		// The program took the name away. That is a replacement, for which the engine checks again without the old.
		return "", nil
	}
	if name == "" {
		switch auto := req.GetAutonaming(); {
		case auto.GetMode() == pulumirpc.CheckRequest_AutonamingOptions_DISABLE:
			return "autonaming is disabled, resource requires the .metadata.name field to be set", nil
		case auto.GetProposedName() != "":
			name = auto.GetProposedName()
		default:
			prefix := urnpkg.URN(req.GetUrn()).Name() + "-"
			if name, err = resource.NewUniqueName(req.GetRandomSeed(), prefix, 0, 0, nil); err != nil {
				return "", err
			}
		}
	}
	metadata, _ := obj.Object["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		obj.Object["metadata"] = metadata
	}
	metadata["name"] = name
	switch annotations := metadata["annotations"].(type) {
	case map[string]any:
		annotations[autonamedAnnotation] = "true"
	case nil:
		metadata["annotations"] = map[string]any{autonamedAnnotation: "true"}
	}
	return "", nil
}

// objectID is the id of an object: namespace/name, or the name alone for a cluster-scoped one.
func objectID(obj *unstructured.Unstructured) string {
	if obj.GetNamespace() == "" {
		return obj.GetName()
	}
	return obj.GetNamespace() + "/" + obj.GetName()
}

func splitID(id string) (namespace, name string) {
	namespace, name, found := strings.Cut(id, "/")
	if !found {
		return "", namespace
	}
	return namespace, name
}
