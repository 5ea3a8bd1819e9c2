package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
)

// createManager owns the fields of a fresh object; the first update hands them to the resource's own manager.
const createManager = "pulumi-kubernetes"

// fieldManager names the owner of a resource's fields: one per resource, so that two resources cannot silently share
// an object.
func fieldManager(obj *unstructured.Unstructured, state resource.PropertyMap) (string, error) {
	if name := annotation(obj, managerAnnotation); name != "" {
		return name, nil
	}
	if v := state[fieldManagerKey]; v.IsString() {
		return v.StringValue(), nil
	}
	return resource.NewUniqueName(nil, "pulumi-kubernetes-", 0, 0, nil)
}

// apply brings a live object to its inputs by server-side apply. A CRD is replaced as a whole instead, because its
// schema must not be merged with an older one.
func (p *provider) apply(ctx context.Context, obj *unstructured.Unstructured, manager string, req *pulumirpc.UpdateRequest) (*unstructured.Unstructured, error) {
	client, err := p.cluster.client(obj)
	if err != nil {
		return nil, err
	}
	_, name := splitID(req.GetId())
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var dryRun []string
	if req.GetPreview() {
		dryRun = []string{metav1.DryRunAll}
	}
	if obj.GetKind() == "CustomResourceDefinition" && obj.GroupVersionKind().Group == "apiextensions.k8s.io" {
		obj.SetResourceVersion(live.GetResourceVersion())
		return client.Update(ctx, obj, metav1.UpdateOptions{FieldManager: manager, DryRun: dryRun})
	}
	if !req.GetPreview() {
		if live, err = takeOver(ctx, client, live, manager); err != nil {
			return nil, err
		}
	}
	if err := keepIgnored(obj, live, manager, req.GetIgnoreChanges()); err != nil {
		return nil, err
	}
	applied, err := client.Apply(ctx, name, obj, metav1.ApplyOptions{
		FieldManager: manager, DryRun: dryRun, Force: p.force(obj, live, req.GetPreview()),
	})
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("server-side apply field conflict detected: the resource managed by field manager %q had "+
			"an apply conflict: %w", manager, err)
	}
	return applied, err
}

// force says whether fields of other managers are overwritten. A preview of an object whose fields are still those
// of the create must: it cannot hand them over first.
func (p *provider) force(obj, live *unstructured.Unstructured, preview bool) bool {
	if p.settings.patchForce || annotation(obj, forceAnnotation) == "true" || len(live.GetManagedFields()) == 0 {
		return true
	}
	for _, entry := range live.GetManagedFields() {
		if preview && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Manager == createManager {
			return true
		}
	}
	return false
}

// takeOver makes manager the owner of what the create, or kubectl, has set. Otherwise a field that the program
// drops would stay, still owned by the create.
func takeOver(ctx context.Context, client dynamic.ResourceInterface, live *unstructured.Unstructured, manager string) (*unstructured.Unstructured, error) {
	former := sets.New(createManager, "kubectl", "kubectl-create", "before-first-apply")
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, former, manager)
	if err != nil || len(patch) == 0 {
		return live, err
	}
	return client.Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{})
}

// keepIgnored adapts the object to ignoreChanges: a field of another manager is left out, so that there is no
// conflict, and one of our own keeps its live value, so that it is not removed.
func keepIgnored(obj, live *unstructured.Unstructured, manager string, paths []string) error {
	for _, text := range paths {
		path, err := resource.ParsePropertyPath(text)
		if err != nil {
			return fmt.Errorf("unable to parse ignoreField path %q: %w", text, err)
		}
		fields := make([]string, 0, len(path))
		for _, segment := range path {
			field, ok := segment.(string)
			if !ok {
				return fmt.Errorf("ignoreChanges path %q goes through a list, which the lab's stand-in does not support; "+
					"name the whole list", text)
			}
			fields = append(fields, field)
		}
		value, found, err := unstructured.NestedFieldCopy(live.Object, fields...)
		if err != nil || !found {
			continue
		}
		if !owns(live, manager, fields) {
			unstructured.RemoveNestedField(obj.Object, fields...)
		} else if err := unstructured.SetNestedField(obj.Object, value, fields...); err != nil {
			return fmt.Errorf("unable to set field %q with last used value: %w", text, err)
		}
	}
	return nil
}

// owns says whether a manager is among the owners of a field.
func owns(live *unstructured.Unstructured, manager string, fields []string) bool {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != manager || entry.FieldsV1 == nil {
			continue
		}
		var owned map[string]any
		if json.Unmarshal(entry.FieldsV1.Raw, &owned) != nil {
			continue
		}
		held := true
		for _, field := range fields {
			inner, ok := owned["f:"+field].(map[string]any)
			if !ok {
				held = false
				break
			}
			owned = inner
		}
		if held {
			return true
		}
	}
	return false
}
