// Package plugintest speaks to a plugin as the engine does, for tests: the plugin is a process of its own. By default it
// is the test binary itself; PLUGIN=/path/to/pulumi-resource-... runs the same tests against another one, such as the
// official plugin.
package plugintest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-go-provider/integration/fake"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

const runAsPlugin = "PLUGINTEST_RUN_AS_PLUGIN"

// Main runs the tests, or the plugin if this process was started as one.
func Main(m *testing.M, plugin func()) {
	if os.Getenv(runAsPlugin) != "" {
		plugin()
		return
	}
	os.Exit(m.Run())
}

// NotOfTheOfficialPlugin ends a test of what only the stand-in does.
func NotOfTheOfficialPlugin(t *testing.T) {
	t.Helper()
	if path := os.Getenv("PLUGIN"); path != "" {
		t.Skipf("%s is not the stand-in", path)
	}
}

// Plugin is a running plugin and the engine that it logs to.
type Plugin struct {
	t      *testing.T
	engine *fake.EngineServer
	rpc.ResourceProviderClient
}

// Start runs the plugin until the test ends.
func Start(t *testing.T, environment ...string) *Plugin {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	engine := fake.NewEngineServer()
	address, _, err := fake.StartEngineServer(ctx, engine)
	fatal(t, err)

	path := os.Args[0]
	if given := os.Getenv("PLUGIN"); given != "" {
		path = given
	}
	process := exec.Command(path, address)
	process.Env = slices.Concat(os.Environ(), []string{runAsPlugin + "=1"}, environment)
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	fatal(t, err)
	fatal(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	port, err := bufio.NewReader(output).ReadString('\n')
	fatal(t, err)
	connection, err := grpc.NewClient("127.0.0.1:"+strings.TrimSpace(port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	fatal(t, err)
	t.Cleanup(func() { _ = connection.Close() })

	p := &Plugin{t: t, engine: engine, ResourceProviderClient: rpc.NewResourceProviderClient(connection)}
	_, err = p.ResourceProviderClient.Configure(ctx, &rpc.ConfigureRequest{
		AcceptSecrets: true, AcceptResources: true, SendsOldInputs: true, SendsOldInputsToDelete: true, Args: &structpb.Struct{},
	})
	fatal(t, err)
	return p
}

// Logged returns what the plugin has shown so far.
func (p *Plugin) Logged() []string {
	var lines []string
	for _, request := range p.engine.Logs() {
		lines = append(lines, request.GetMessage())
	}
	return lines
}

// Resource is one resource of a program, before or after its creation.
type Resource struct {
	p     *Plugin
	urn   string
	ID    string
	In    resource.PropertyMap // as the last successful check returned them
	State resource.PropertyMap
}

// Resource names a resource.
func (p *Plugin) Resource(token string) *Resource {
	return &Resource{p: p, urn: "urn:pulumi:stack::project::" + token + "::name"}
}

// Check returns the plugin's objections.
func (r *Resource) Check(inputs map[string]any) ([]string, error) {
	response, err := r.p.ResourceProviderClient.Check(context.Background(), &rpc.CheckRequest{Urn: r.urn, News: r.p.encode(properties(inputs))})
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, failure := range response.GetFailures() {
		reasons = append(reasons, failure.GetProperty()+": "+failure.GetReason())
	}
	if reasons == nil {
		r.In = r.p.decode(response.GetInputs())
	}
	return reasons, nil
}

func (r *Resource) mustCheck(inputs map[string]any) {
	r.p.t.Helper()
	reasons, err := r.Check(inputs)
	if fatal(r.p.t, err); reasons != nil {
		r.p.t.Fatal("refused: ", strings.Join(reasons, "; "))
	}
}

// Preview returns what a create would give.
func (r *Resource) Preview(inputs map[string]any) resource.PropertyMap {
	r.p.t.Helper()
	r.mustCheck(inputs)
	response, err := r.p.ResourceProviderClient.Create(context.Background(), &rpc.CreateRequest{Urn: r.urn, Properties: r.p.encode(r.In), Preview: true})
	fatal(r.p.t, err)
	return r.p.decode(response.GetProperties())
}

// Create checks and creates.
func (r *Resource) Create(inputs map[string]any) error {
	r.p.t.Helper()
	r.mustCheck(inputs)
	response, err := r.p.ResourceProviderClient.Create(context.Background(), &rpc.CreateRequest{Urn: r.urn, Properties: r.p.encode(r.In)})
	if err == nil {
		r.ID, r.State = response.GetId(), r.p.decode(response.GetProperties())
	}
	return err
}

// Created is Create for tests that are about something else.
func (r *Resource) Created(inputs map[string]any) *Resource {
	r.p.t.Helper()
	fatal(r.p.t, r.Create(inputs))
	return r
}

// Diff returns the changed properties, with the kind of each change: by path where the plugin goes into such detail.
func (r *Resource) Diff(inputs map[string]any) map[string]string {
	r.p.t.Helper()
	before := r.In
	r.mustCheck(inputs)
	response, err := r.p.ResourceProviderClient.Diff(context.Background(), &rpc.DiffRequest{
		Id: r.ID, Urn: r.urn, OldInputs: r.p.encode(before), Olds: r.p.encode(r.State), News: r.p.encode(r.In),
	})
	fatal(r.p.t, err)
	r.In = before
	changes := map[string]string{}
	for _, name := range response.GetDiffs() {
		changes[name] = rpc.PropertyDiff_UPDATE.String()
	}
	for _, name := range response.GetReplaces() {
		changes[name] = rpc.PropertyDiff_UPDATE_REPLACE.String()
	}
	if len(response.GetDetailedDiff()) > 0 {
		clear(changes)
	}
	for name, change := range response.GetDetailedDiff() {
		changes[name] = change.GetKind().String()
	}
	return changes
}

// PreviewUpdate returns what an update would give.
func (r *Resource) PreviewUpdate(inputs map[string]any) resource.PropertyMap {
	r.p.t.Helper()
	return r.p.decode(r.update(inputs, true).GetProperties())
}

// Update checks and updates.
func (r *Resource) Update(inputs map[string]any) {
	r.p.t.Helper()
	r.State = r.p.decode(r.update(inputs, false).GetProperties())
}

func (r *Resource) update(inputs map[string]any, preview bool) *rpc.UpdateResponse {
	r.p.t.Helper()
	before := r.In
	r.mustCheck(inputs)
	response, err := r.p.ResourceProviderClient.Update(context.Background(), &rpc.UpdateRequest{
		Id: r.ID, Urn: r.urn, OldInputs: r.p.encode(before), Olds: r.p.encode(r.State), News: r.p.encode(r.In), Preview: preview,
	})
	fatal(r.p.t, err)
	return response
}

// Read refreshes the state.
func (r *Resource) Read() error {
	response, err := r.p.ResourceProviderClient.Read(context.Background(), &rpc.ReadRequest{
		Id: r.ID, Urn: r.urn, Inputs: r.p.encode(r.In), Properties: r.p.encode(r.State),
	})
	if err == nil {
		r.State = r.p.decode(response.GetProperties())
	}
	return err
}

// Delete deletes.
func (r *Resource) Delete() error {
	_, err := r.p.ResourceProviderClient.Delete(context.Background(), &rpc.DeleteRequest{
		Id: r.ID, Urn: r.urn, OldInputs: r.p.encode(r.In), Properties: r.p.encode(r.State),
	})
	return err
}

// Interrupt is what the engine does at Ctrl-C.
func (p *Plugin) Interrupt() {
	p.t.Helper()
	_, err := p.ResourceProviderClient.Cancel(context.Background(), &emptypb.Empty{})
	fatal(p.t, err)
}

// Secret marks an input.
func Secret(value any) any { return resource.MakeSecret(resource.NewPropertyValue(value)) }

// Unknown is an input that is not known in a preview.
func Unknown() any { return resource.MakeComputed(resource.NewStringProperty("")) }

// Text is a string of the state, secret or not.
func (r *Resource) Text(name string) string {
	value := r.State[resource.PropertyKey(name)]
	if value.IsSecret() {
		value = value.SecretValue().Element
	}
	if !value.IsString() {
		r.p.t.Fatalf("%s is %v, not a string", name, value)
	}
	return value.StringValue()
}

func properties(inputs map[string]any) resource.PropertyMap {
	return resource.NewPropertyMapFromMap(inputs)
}

var keepAll = plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true}

func (p *Plugin) encode(values resource.PropertyMap) *structpb.Struct {
	encoded, err := plugin.MarshalProperties(values, keepAll)
	fatal(p.t, err)
	return encoded
}

func (p *Plugin) decode(values *structpb.Struct) resource.PropertyMap {
	decoded, err := plugin.UnmarshalProperties(values, keepAll)
	fatal(p.t, err)
	return decoded
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Port is a number of the SDK from a listener's address.
func Port(t *testing.T, address string) float64 {
	t.Helper()
	port, err := strconv.Atoi(address[strings.LastIndex(address, ":")+1:])
	fatal(t, err)
	return float64(port)
}
