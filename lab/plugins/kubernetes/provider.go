package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const releaseToken = "kubernetes:helm.sh/v3:Release"

// provider answers the engine. Configure fills it once; the engine then calls it from many goroutines.
type provider struct {
	pulumirpc.UnimplementedResourceProviderServer

	host        *host
	cancelled   context.Context
	cancel      context.CancelFunc
	firstRetry  time.Duration // pause after the first failed try of a create; each next one doubles it
	keepSecrets bool
	settings    settings
	cluster     *cluster
}

func newProvider() *provider {
	cancelled, cancel := context.WithCancel(context.Background())
	return &provider{
		host: &host{}, firstRetry: time.Second, cancelled: cancelled, cancel: cancel,
		cluster: &cluster{unreachable: "the provider has not been configured", namespace: "default"},
	}
}

// within returns a context that ends with the call, with Cancel, or with the release function.
func (p *provider) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.cancelled, cancel)
	return ctx, func() { stop(); cancel() }
}

// Configure takes the provider's settings and looks at the cluster once.
func (p *provider) Configure(_ context.Context, req *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	s, err := parseSettings(req.GetVariables())
	if err != nil {
		return nil, err
	}
	p.settings, p.keepSecrets = s, req.GetAcceptSecrets()
	p.cluster = connect(s)
	if p.cluster.unreachable != "" {
		p.host.warn("", "configured Kubernetes cluster is unreachable: %s", p.cluster.unreachable)
	}
	return &pulumirpc.ConfigureResponse{
		AcceptSecrets: true, SupportsPreview: true, SupportsAutonamingConfiguration: true,
	}, nil
}

// Check validates the inputs of a resource and fills in what the program may leave out.
func (p *provider) Check(ctx context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	if p.cluster.unreachable != "" && p.settings.skipUnreachable {
		p.host.warn(req.GetUrn(), "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...")
		return &pulumirpc.CheckResponse{Inputs: req.GetOlds()}, nil
	}
	ctx, done := p.within(ctx)
	defer done()
	if isRelease(req.GetUrn()) {
		return p.checkRelease(ctx, req)
	}
	return p.checkObject(ctx, req)
}

// Diff says what an update would change, and whether it needs a new object.
func (p *provider) Diff(ctx context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	ctx, done := p.within(ctx)
	defer done()
	if isRelease(req.GetUrn()) {
		return p.diffRelease(req)
	}
	return p.diffObject(ctx, req)
}

// Create makes a resource, or in a preview asks the server what it would become.
func (p *provider) Create(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	ctx, done := p.within(ctx)
	defer done()
	if isRelease(req.GetUrn()) {
		return p.createRelease(ctx, req)
	}
	return p.createObject(ctx, req)
}

// Update brings a resource to its new inputs, or in a preview asks the server what it would become.
func (p *provider) Update(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	ctx, done := p.within(ctx)
	defer done()
	if isRelease(req.GetUrn()) {
		return p.updateRelease(ctx, req)
	}
	return p.updateObject(ctx, req)
}

// Read looks a resource up, for a refresh, an import or a get. An empty id in the answer means that it is gone.
func (p *provider) Read(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	if reason := p.cluster.unreachable; reason != "" {
		p.host.warn(req.GetUrn(), "configured Kubernetes cluster is unreachable: %s", reason)
		if p.settings.deleteUnreachable {
			p.forget(req.GetUrn())
			return &pulumirpc.ReadResponse{}, nil
		}
		if p.settings.skipUnreachable {
			return &pulumirpc.ReadResponse{
				Id: req.GetId(), Properties: req.GetProperties(), Inputs: req.GetInputs(),
			}, nil
		}
		return nil, errors.New("failed to read resource state due to unreachable cluster. If the cluster was " +
			"deleted, you can remove this resource from Pulumi state by rerunning the operation with the " +
			"PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\"")
	}
	ctx, done := p.within(ctx)
	defer done()
	if isRelease(req.GetUrn()) {
		return p.readRelease(req)
	}
	return p.readObject(ctx, req)
}

// Delete removes a resource and waits until it is gone.
func (p *provider) Delete(ctx context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	if reason := p.cluster.unreachable; reason != "" {
		if isRelease(req.GetUrn()) {
			return nil, fmt.Errorf("can't delete Helm Release with unreachable cluster. Reason: %q", reason)
		}
		p.host.warn(req.GetUrn(), "configured Kubernetes cluster is unreachable: %s", reason)
		if p.settings.deleteUnreachable {
			p.forget(req.GetUrn())
			return &emptypb.Empty{}, nil
		}
		return nil, errors.New("configured Kubernetes cluster is unreachable. If the cluster was deleted, " +
			"you can remove this resource from Pulumi state by rerunning the operation with the " +
			"PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\"")
	}
	ctx, done := p.within(ctx)
	defer done()
	if isRelease(req.GetUrn()) {
		return p.deleteRelease(req)
	}
	return p.deleteObject(ctx, req)
}

func (p *provider) forget(urn string) {
	p.host.info(urn, "configured Kubernetes cluster is unreachable and the `deleteUnreachable` option is enabled. "+
		"Deleting the unreachable resource from Pulumi state")
}

// Invoke refuses: the program uses no function of this provider.
func (p *provider) Invoke(_ context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	return nil, status.Errorf(codes.Unimplemented,
		"the lab's stand-in has no function %q; use helm.v3.Release, typed resources or apiextensions.CustomResource",
		req.GetTok())
}

// Construct refuses: components hide their children from a preview, so the program uses none.
func (p *provider) Construct(_ context.Context, req *pulumirpc.ConstructRequest) (*pulumirpc.ConstructResponse, error) {
	return nil, status.Errorf(codes.Unimplemented,
		"the lab's stand-in has no component %q; use helm.v3.Release, typed resources or apiextensions.CustomResource",
		req.GetType())
}

// Cancel ends every wait. The operations return what they know so far.
func (p *provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.cancel()
	return &emptypb.Empty{}, nil
}

// GetPluginInfo names the version of the SDK whose tokens the stand-in speaks.
func (p *provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "4.34.2"}, nil
}

// Attach connects to an engine that did not start this process.
func (p *provider) Attach(_ context.Context, req *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, p.host.connect(req.GetAddress())
}

func isRelease(name string) bool {
	return string(urn.URN(name).Type()) == releaseToken
}

// kindOf reads the API kind from a resource's type, and refuses the types that are not objects of a cluster.
func kindOf(name string) (schema.GroupVersionKind, error) {
	token := string(urn.URN(name).Type())
	parts := strings.Split(token, ":")
	var gvk schema.GroupVersionKind
	if len(parts) != 3 || parts[0] != "kubernetes" || parts[2] == "" {
		return gvk, fmt.Errorf("unrecognized resource type: %q for this provider", token)
	}
	group, version, both := strings.Cut(parts[1], "/")
	if !both || strings.Contains(version, "/") {
		return gvk, fmt.Errorf("apiVersion does not have both a group and a version: %q", parts[1])
	}
	if group == "core" {
		group = ""
	}
	gvk = schema.GroupVersionKind{Group: group, Version: version, Kind: parts[2]}
	if builtIn(group) && strings.HasSuffix(gvk.Kind, "List") {
		return gvk, fmt.Errorf("%s: list resources exist for compatibility with YAML manifests and Helm charts, "+
			"and cannot be created directly. Use the underlying resource type instead", token)
	}
	if group == "helm.sh" || builtIn(group) && strings.HasSuffix(gvk.Kind, "Patch") {
		return gvk, fmt.Errorf("the lab's stand-in does not implement %s; use helm.v3.Release, typed resources or "+
			"apiextensions.CustomResource", token)
	}
	return gvk, nil
}

// initFailed reports a resource that exists but is not what it should be: the engine keeps its state and tries
// again in the next update.
func (p *provider) initFailed(id string, err error, state resource.PropertyMap, inputs *structpb.Struct) error {
	properties, marshalErr := p.marshal(state)
	if marshalErr != nil {
		return errors.Join(err, marshalErr)
	}
	reasons := []string{err.Error()}
	var notReady *notReadyError
	if errors.As(err, &notReady) {
		reasons = append(reasons, notReady.reasons...)
	}
	return rpcerror.WithDetails(rpcerror.New(codes.Unknown, err.Error()), &pulumirpc.ErrorResourceInitFailed{
		Id: id, Properties: properties, Reasons: reasons, Inputs: inputs,
	})
}
