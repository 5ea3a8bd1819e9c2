package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// createTries is how often a create is tried. With pauses of 1, 2, 4, 8 and 16 seconds, that is half a minute for a
// namespace or a CRD to appear.
const createTries = 6

func (p *provider) checkObject(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	gvk, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	obj := &unstructured.Unstructured{Object: plainMap(news)}
	var failures []*pulumirpc.CheckFailure
	refuse := func(property, reason string) {
		failures = append(failures, &pulumirpc.CheckFailure{Property: property, Reason: reason})
	}
	for property, want := range map[string]string{"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind} {
		switch given := obj.Object[property]; given {
		case nil, want:
			obj.Object[property] = want
		default:
			refuse(property, fmt.Sprintf("%v does not fit the resource's type, which wants %s", given, want))
		}
	}
	obj.Object = normalize(obj.Object)
	refusal, err := autoname(obj, &unstructured.Unstructured{Object: plainMap(olds)}, req)
	if err != nil {
		return nil, err
	}
	if refusal != "" {
		refuse("metadata", refusal)
	}
	if _, err := parseConditions(annotation(obj, waitForAnnotation)); err != nil {
		refuse("metadata", fmt.Sprintf("annotation %s: %v", waitForAnnotation, err))
	}
	if metadata, ok := obj.Object["metadata"].(map[string]any); ok {
		if ns := metadata["namespace"]; (ns == nil || ns == "") && p.cluster.namespace != "" && p.cluster.namespaced(gvk) {
			metadata["namespace"] = p.cluster.namespace
		}
	}
	checked := resource.NewPropertyMapFromMap(obj.Object)
	copySecrecy(checked, news)
	hideSecretData(checked)
	inputs, err := p.marshal(checked)
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, err
}

func (p *provider) diffObject(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	oldInputs, live := parseCheckpoint(olds)
	want := &unstructured.Unstructured{Object: normalize(plainMap(news))}
	is := pruneTo(live.Object, normalize(oldInputs.Object)).(map[string]any)
	if metadata, ok := is["metadata"].(map[string]any); ok && named(want) {
		metadata["name"] = live.GetName()
	}
	for _, object := range []map[string]any{is, want.Object} {
		settleNamespace(object, p.cluster.namespaced(want.GroupVersionKind()))
	}
	d := newDiffer(immutablePaths(want, p.settings)...)
	d.maps(nil, is, is, want.Object)
	if err := d.ignore(req.GetIgnoreChanges()); err != nil {
		return nil, err
	}
	// A replacement that keeps its name must wait until the old object has given the name up.
	sameName := named(want) && annotation(want, autonamedAnnotation) != "true" &&
		metadataField(want, "name") == live.GetName() && metadataField(want, "namespace") == metadataField(live, "namespace")
	return d.response(sameName), nil
}

// settleNamespace gives a namespaced object its default namespace and removes any from a cluster-scoped one, so that
// neither counts as a change.
func settleNamespace(object map[string]any, namespaced bool) {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return
	}
	if !namespaced {
		delete(metadata, "namespace")
	} else if ns := metadata["namespace"]; ns == nil || ns == "" {
		metadata["namespace"] = "default"
	}
}

func (p *provider) createObject(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	if reason := p.cluster.unreachable; reason != "" && !req.GetPreview() {
		return nil, fmt.Errorf("configured Kubernetes cluster is unreachable: %s", reason)
	}
	news, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	redact := redactor(news)
	obj := &unstructured.Unstructured{Object: plainMap(news)}
	asGiven := &pulumirpc.CreateResponse{Properties: req.GetProperties()}
	if req.GetPreview() && (hasUnknown(obj.Object) || !p.cluster.exists(obj.GroupVersionKind())) {
		return asGiven, nil
	}
	manager, err := fieldManager(obj, nil)
	if err != nil {
		return nil, err
	}
	live, err := p.post(ctx, req.GetUrn(), obj, manager, req.GetPreview())
	switch {
	case err != nil && req.GetPreview() && (apierrors.IsForbidden(err) || apierrors.IsAlreadyExists(err) || namespaceMissing(err)):
		return asGiven, nil
	case meta.IsNoMatchError(err):
		gvk := obj.GroupVersionKind()
		return nil, fmt.Errorf("creation of resource %q with kind %s failed because the Kubernetes API server "+
			"reported that the apiVersion for this resource does not exist. Verify that any required CRDs have been "+
			"created: %w", req.GetUrn(), gvk.GroupVersion().String()+"/"+gvk.Kind, err)
	case err != nil:
		return nil, fmt.Errorf("resource %q was not successfully created by the Kubernetes API server: %s",
			req.GetUrn(), redact(err.Error()))
	}
	if req.GetPreview() {
		// A status that the server has not filled in yet would look like a known one.
		delete(live.Object, "status")
		properties, err := p.marshal(checkpoint(obj.Object, live.Object, news, obj.GetAPIVersion(), manager))
		return &pulumirpc.CreateResponse{Properties: properties}, err
	}
	live, waitErr := p.awaitReady(ctx, req.GetUrn(), obj, live, true, timeoutOf(req.GetTimeout(), obj))
	state := checkpoint(obj.Object, live.Object, news, obj.GetAPIVersion(), manager)
	if waitErr != nil {
		return nil, p.initFailed(objectID(live), fmt.Errorf("resource %q was successfully created, but the Kubernetes "+
			"API server reported that it failed to fully initialize or become live: %w", req.GetUrn(), waitErr), state, nil)
	}
	properties, err := p.marshal(state)
	return &pulumirpc.CreateResponse{Id: objectID(live), Properties: properties}, err
}

// post creates an object. What it needs (its namespace, its CRD) may be on its way, so "not found" is tried again.
func (p *provider) post(ctx context.Context, urn string, obj *unstructured.Unstructured, manager string, preview bool) (*unstructured.Unstructured, error) {
	defer p.host.status(urn, "")
	var dryRun []string
	if preview {
		dryRun = []string{metav1.DryRunAll}
	}
	pause := p.firstRetry
	for try := 0; ; try++ {
		client, err := p.cluster.client(obj)
		var live *unstructured.Unstructured
		if err == nil && p.settings.upsert {
			live, err = client.Apply(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: manager, DryRun: dryRun})
		} else if err == nil {
			live, err = client.Create(ctx, obj, metav1.CreateOptions{FieldManager: createManager, DryRun: dryRun})
		}
		if err == nil || preview && namespaceMissing(err) {
			return live, err
		}
		p.host.status(urn, fmt.Sprintf("Retry #%d; creation failed: %v", try, err))
		if apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("%w\n\nThe resource already exists in the cluster. Give it another name, delete it, "+
				"or adopt it with `pulumi import`", err)
		}
		if !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) || try+1 == createTries {
			return nil, err
		}
		if !sleep(ctx, pause) {
			return nil, errors.Join(err, ctx.Err())
		}
		pause *= 2
	}
}

func namespaceMissing(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsNotFound(err) && errors.As(err, &status) &&
		status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

func (p *provider) updateObject(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	if reason := p.cluster.unreachable; reason != "" && !req.GetPreview() {
		return nil, fmt.Errorf("configured Kubernetes cluster is unreachable: %s", reason)
	}
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	redact := redactor(news)
	obj := &unstructured.Unstructured{Object: normalize(plainMap(news))}
	asGiven := &pulumirpc.UpdateResponse{Properties: req.GetNews()}
	if req.GetPreview() && (hasUnknown(obj.Object) || !p.cluster.exists(obj.GroupVersionKind())) {
		return asGiven, nil
	}
	manager, err := fieldManager(obj, olds)
	if err != nil {
		return nil, err
	}
	inputs := obj.DeepCopy().Object
	live, err := p.apply(ctx, obj, manager, req)
	switch {
	case apierrors.IsForbidden(err) && req.GetPreview():
		return asGiven, nil
	case meta.IsNoMatchError(err):
		return nil, fmt.Errorf("update of resource %q failed because the Kubernetes API server reported that the "+
			"apiVersion for this resource does not exist. Verify that any required CRDs have been created: %w", req.GetUrn(), err)
	case err != nil:
		return nil, fmt.Errorf("update of resource %q failed: %s", req.GetUrn(), redact(err.Error()))
	}
	var waitErr error
	if !req.GetPreview() {
		live, waitErr = p.awaitReady(ctx, req.GetUrn(), obj, live, false, timeoutOf(req.GetTimeout(), obj))
	}
	state := checkpoint(inputs, live.Object, news, apiVersionOf(olds, obj), manager)
	if waitErr != nil {
		return nil, p.initFailed(objectID(live), fmt.Errorf("the Kubernetes API server reported that %q failed to fully "+
			"initialize or become live: %w", objectID(live), waitErr), state, nil)
	}
	properties, err := p.marshal(state)
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

// readObject looks an object up. Without known inputs (an import, a get) the live object becomes the inputs.
func (p *provider) readObject(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	gvk, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	namespace, name := splitID(req.GetId())
	if name == "" {
		return nil, fmt.Errorf("failed to read resource because of a failure to parse resource name from request ID: %s",
			req.GetId())
	}
	oldState, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	oldInputs, err := unmarshal(req.GetInputs())
	if err != nil {
		return nil, err
	}
	inputs := &unstructured.Unstructured{Object: normalize(plainMap(oldInputs))}
	client, err := p.cluster.clientFor(gvk, namespace)
	var live *unstructured.Unstructured
	if err == nil {
		live, err = client.Get(ctx, name, metav1.GetOptions{})
	}
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return &pulumirpc.ReadResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	var waitErr error
	liveInputs, imported := map[string]any{}, len(inputs.Object) == 0
	if imported {
		liveInputs = importedInputs(live)
	} else {
		liveInputs = pruneTo(live.Object, inputs.Object).(map[string]any)
		waitErr = p.checkReady(ctx, inputs, live)
	}
	manager, err := fieldManager(inputs, oldState)
	if err != nil {
		return nil, err
	}
	state := checkpoint(liveInputs, live.Object, oldInputs, apiVersionOf(oldState, live), manager)
	read := resource.NewPropertyMapFromMap(liveInputs)
	copySecrecy(read, oldInputs)
	hideSecretData(read)
	readInputs, err := p.marshal(read)
	if err != nil {
		return nil, err
	}
	if waitErr != nil {
		return nil, p.initFailed(req.GetId(), waitErr, state, readInputs)
	}
	properties, err := p.marshal(state)
	return &pulumirpc.ReadResponse{Id: req.GetId(), Properties: properties, Inputs: readInputs}, err
}

// importedInputs is what a program would have had to write for a live object.
func importedInputs(live *unstructured.Unstructured) map[string]any {
	object := live.DeepCopy().Object
	delete(object, "status")
	if metadata, ok := object["metadata"].(map[string]any); ok {
		for _, field := range readOnlyMetadata {
			delete(metadata, field)
		}
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			delete(annotations, "deployment.kubernetes.io/revision")
			delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
			if len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
	}
	return object
}

func (p *provider) deleteObject(ctx context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	olds, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	inputs, live := parseCheckpoint(olds)
	_, name := splitID(req.GetId())
	gone := func(err error) error {
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil
		}
		return err
	}
	client, err := p.cluster.client(live)
	if err != nil {
		return &emptypb.Empty{}, gone(err)
	}
	policy := metav1.DeletePropagationForeground
	switch strings.ToLower(annotation(inputs, propagationAnnotation)) {
	case "orphan":
		policy = metav1.DeletePropagationOrphan
	case "background":
		policy = metav1.DeletePropagationBackground
	}
	if err := client.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
		return &emptypb.Empty{}, gone(err)
	}
	if annotation(inputs, skipAwaitAnnotation) == "true" && leavesUnwaited(inputs) {
		return &emptypb.Empty{}, nil
	}
	return &emptypb.Empty{}, p.awaitDeleted(ctx, req.GetUrn(), client, live, timeoutOf(req.GetTimeout(), inputs))
}

// leavesUnwaited names the kinds whose skipAwait counts for the delete too.
func leavesUnwaited(obj *unstructured.Unstructured) bool {
	switch gvk := obj.GroupVersionKind(); gvk.Group + "/" + gvk.Kind {
	case "/Namespace", "/Pod", "/ReplicationController", "apps/DaemonSet", "apps/Deployment", "apps/StatefulSet", "batch/Job":
		return true
	}
	return false
}

func apiVersionOf(state resource.PropertyMap, obj *unstructured.Unstructured) string {
	if v := state[apiVersionKey]; v.IsString() {
		return v.StringValue()
	}
	return obj.GetAPIVersion()
}
