// Package provider is the lab's stand-in for the official Pulumi plugin `talos`: the real provider protocol and the real
// work against the Talos API, for the resources and functions that the program uses. What it does not know it refuses
// by name. It owns no defaults of its own: versions, images and generated configuration come from Talos' machinery.
package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Version is that of the package whose protocol and schema this plugin speaks.
const Version = "0.8.1"

const defaultFactory = "https://factory.talos.dev"

// kind is one resource type. plan turns inputs into the whole state as far as it is known before the work is done;
// prior is nil for a resource that does not exist yet. Read is the same for all: a no-op.
type kind struct {
	inputs  map[string]field
	outputs map[string]field // beyond the inputs
	check   func(inputs resource.PropertyMap) error
	plan    func(ctx context.Context, inputs, prior resource.PropertyMap) (planned resource.PropertyMap, replace []string, err error)
	create  func(ctx context.Context, planned resource.PropertyMap) (id string, outputs resource.PropertyMap, err error)
	update  func(ctx context.Context, prior, planned resource.PropertyMap) (resource.PropertyMap, error)
	remove  func(ctx context.Context, state resource.PropertyMap) error
}

// function is one invoke.
type function struct {
	inputs map[string]field
	call   func(ctx context.Context, args resource.PropertyMap) (resource.PropertyMap, error)
}

// Provider serves the protocol. Cancel stops everything that waits.
type Provider struct {
	pulumirpc.UnimplementedResourceProviderServer

	cancelled context.Context //nolint:containedctx // lives as long as the plugin
	cancel    context.CancelFunc
	factory   string
	warn      func(urn, text string)
	kinds     map[string]kind
	functions map[string]function
}

// New makes a provider; warn shows a warning to the user.
func New(warn func(urn, text string)) *Provider {
	p := &Provider{factory: defaultFactory, warn: warn}
	p.cancelled, p.cancel = context.WithCancel(context.Background())
	p.kinds = map[string]kind{
		"talos:machine/secrets:Secrets":                       p.secrets(),
		"talos:machine/configurationApply:ConfigurationApply": p.configurationApply(),
		"talos:machine/bootstrap:Bootstrap":                   p.bootstrap(),
		"talos:cluster/kubeconfig:Kubeconfig":                 p.kubeconfig(),
		"talos:imageFactory/schematic:Schematic":              p.schematic(),
	}
	p.functions = map[string]function{
		"talos:machine/getConfiguration:getConfiguration": p.machineConfiguration(),
		"talos:client/getConfiguration:getConfiguration":  p.clientConfiguration(),
		"talos:imageFactory/getUrls:getUrls":              p.urls(),
	}
	return p
}

// Stop is Cancel for the process: what waits fails at once.
func (p *Provider) Stop() { p.cancel() }

// work is a context for one request that Cancel ends too.
func (p *Provider) work(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.cancelled, func() { cancel(errCancelled) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

var errCancelled = fmt.Errorf("cancelled")

func (p *Provider) kindOf(urn string) (kind, error) {
	token := string(resource.URN(urn).Type())

	known, found := p.kinds[token]
	if !found {
		return kind{}, status.Errorf(codes.InvalidArgument, "unknown resource type %q: the lab's talos plugin knows %s; extend lab/talos/internal/provider, "+
			"or put the official plugin on PATH", token, strings.Join(slices.Sorted(maps.Keys(p.kinds)), ", "))
	}
	return known, nil
}

func decode(label string, values *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(values, plugin.MarshalOptions{Label: label, KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}

func encode(label string, values resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(values, plugin.MarshalOptions{Label: label, KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}

// Handshake says what the plugin can take.
func (p *Provider) Handshake(context.Context, *pulumirpc.ProviderHandshakeRequest) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{AcceptSecrets: true}, nil
}

// GetPluginInfo names the version that the SDK asks for.
func (p *Provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: Version}, nil
}

// GetSchema returns the smallest valid schema: the SDK is generated already.
func (p *Provider) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: `{"name":"talos","version":"` + Version + `","meta":{"moduleFormat":"(.*)(?:/[^/]*)"}}`}, nil
}

var providerInputs = texts("imageFactoryUrl", "version", "pluginDownloadURL")

// CheckConfig refuses unknown provider settings.
func (p *Provider) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := decode("CheckConfig", r.GetNews())
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CheckResponse{Inputs: r.GetNews(), Failures: refuse(providerInputs, news, "")}, nil
}

// DiffConfig never replaces the provider.
func (p *Provider) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_UNKNOWN}, nil
}

// Configure takes the address of the Image Factory.
func (p *Provider) Configure(_ context.Context, r *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	args, err := decode("Configure", r.GetArgs())
	if err != nil {
		return nil, err
	}

	if address := str(args, "imageFactoryUrl"); address != "" {
		p.factory = strings.TrimRight(address, "/")
	}
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true}, nil
}

// Check validates the inputs and marks the schema's secrets.
func (p *Provider) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	k, err := p.kindOf(r.GetUrn())
	if err != nil {
		return nil, err
	}

	news, err := decode("Check", r.GetNews())
	if err != nil {
		return nil, err
	}

	failures := refuse(k.inputs, news, "")
	if len(failures) == 0 && k.check != nil {
		if err := k.check(news); err != nil {
			failures = append(failures, &pulumirpc.CheckFailure{Reason: err.Error()})
		}
	}

	inputs, err := encode("Check", markSecrets(k.inputs, news))
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, err
}

// Diff compares the planned state with the stored one.
func (p *Provider) Diff(ctx context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	k, prior, planned, replace, err := p.plan(ctx, r.GetUrn(), r.GetOlds(), r.GetNews(), r.GetIgnoreChanges())
	if err != nil {
		return nil, err
	}

	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, Replaces: replace, DetailedDiff: map[string]*pulumirpc.PropertyDiff{}, HasDetailedDiff: true}

	for key := range k.fields() {
		a, b := plain(prior[resource.PropertyKey(key)]), plain(planned[resource.PropertyKey(key)])
		if a.DeepEquals(b) {
			continue
		}

		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
		response.Diffs = append(response.Diffs, key)

		change := pulumirpc.PropertyDiff_UPDATE
		if slices.Contains(replace, key) {
			change = pulumirpc.PropertyDiff_UPDATE_REPLACE
		}

		_, isInput := k.inputs[key]
		response.DetailedDiff[key] = &pulumirpc.PropertyDiff{Kind: change, InputDiff: isInput}
	}

	slices.Sort(response.Diffs)
	return response, nil
}

func (k kind) fields() map[string]field {
	all := maps.Clone(k.inputs)
	maps.Copy(all, k.outputs)
	return all
}

func (p *Provider) plan(ctx context.Context, urn string, olds, news *structpb.Struct, ignore []string) (k kind, prior, planned resource.PropertyMap, replace []string, err error) {
	if k, err = p.kindOf(urn); err != nil {
		return k, nil, nil, nil, err
	}

	if olds != nil {
		if prior, err = decode("olds", olds); err != nil {
			return k, nil, nil, nil, err
		}
	}

	inputs, err := decode("news", news)
	if err != nil {
		return k, nil, nil, nil, err
	}

	for _, path := range ignore {
		name := resource.PropertyKey(strings.SplitN(path, ".", 2)[0])
		if value, found := prior[name]; found {
			inputs[name] = value
		} else {
			delete(inputs, name)
		}
	}

	ctx, done := p.work(context.WithValue(ctx, urnKey{}, urn))
	defer done()

	planned, replace, err = k.plan(ctx, inputs, prior)
	return k, prior, planned, replace, err
}

type urnKey struct{}

func (p *Provider) warning(ctx context.Context, format string, args ...any) {
	urn, _ := ctx.Value(urnKey{}).(string)
	p.warn(urn, fmt.Sprintf(format, args...))
}

// Create does the work, except in a preview, which shows the plan.
func (p *Provider) Create(ctx context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	k, _, planned, _, err := p.plan(ctx, r.GetUrn(), nil, r.GetProperties(), nil)
	if err != nil {
		return nil, err
	}

	id, outputs := "", planned
	if !r.GetPreview() {
		ctx, done := p.work(context.WithValue(ctx, urnKey{}, r.GetUrn()))
		defer done()
		if id, outputs, err = k.create(ctx, planned); err != nil {
			return nil, err
		}

		outputs["id"] = resource.NewStringProperty(id)
	}

	properties, err := encode("Create", markSecrets(k.fields(), outputs))
	return &pulumirpc.CreateResponse{Id: id, Properties: properties}, err
}

// Update works in place. The id of a resource cannot change, as with the official plugin.
func (p *Provider) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	k, prior, planned, _, err := p.plan(ctx, r.GetUrn(), r.GetOlds(), r.GetNews(), r.GetIgnoreChanges())
	if err != nil {
		return nil, err
	}

	outputs := planned
	if _, kept := outputs["id"]; !kept {
		outputs["id"] = resource.NewStringProperty(r.GetId())
	}

	if !r.GetPreview() {
		ctx, done := p.work(context.WithValue(ctx, urnKey{}, r.GetUrn()))
		defer done()
		if outputs, err = k.update(ctx, prior, planned); err != nil {
			return nil, err
		}
	}

	properties, err := encode("Update", markSecrets(k.fields(), outputs))
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

// Read returns what it was given: no resource of this package detects drift.
func (p *Provider) Read(_ context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	if _, err := p.kindOf(r.GetUrn()); err != nil {
		return nil, err
	}

	if len(r.GetProperties().GetFields()) == 0 {
		return nil, status.Error(codes.Unimplemented, "the lab's talos plugin imports no resource")
	}
	return &pulumirpc.ReadResponse{Id: r.GetId(), Properties: r.GetProperties(), Inputs: r.GetInputs()}, nil
}

// Delete forgets the resource, after what the resource's own settings ask for.
func (p *Provider) Delete(ctx context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	k, err := p.kindOf(r.GetUrn())
	if err != nil {
		return nil, err
	}

	if k.remove == nil {
		return &emptypb.Empty{}, nil
	}

	state, err := decode("Delete", r.GetProperties())
	if err != nil {
		return nil, err
	}

	ctx, done := p.work(ctx)
	defer done()
	return &emptypb.Empty{}, k.remove(ctx, state)
}

// Invoke runs a function. Results carry no secret marks: the official plugin's do not either.
func (p *Provider) Invoke(ctx context.Context, r *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	known, found := p.functions[string(tokens.ModuleMember(r.GetTok()))]
	if !found {
		return nil, status.Errorf(codes.InvalidArgument, "unknown function %q: the lab's talos plugin knows %s; extend lab/talos/internal/provider, "+
			"or put the official plugin on PATH", r.GetTok(), strings.Join(slices.Sorted(maps.Keys(p.functions)), ", "))
	}

	args, err := decode("Invoke", r.GetArgs())
	if err != nil {
		return nil, err
	}

	if failures := refuse(known.inputs, args, ""); len(failures) > 0 {
		return &pulumirpc.InvokeResponse{Failures: failures}, nil
	}

	result, err := known.call(ctx, plainMap(args))
	if err != nil {
		return nil, err
	}

	maps.Copy(result, plainMap(args))

	properties, err := encode("Invoke", result)
	return &pulumirpc.InvokeResponse{Return: properties}, err
}

// Cancel ends everything that waits; what it was doing fails.
func (p *Provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.cancel()
	return &emptypb.Empty{}, nil
}

// Attach is for engines that start no plugin process of their own.
func (p *Provider) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}
