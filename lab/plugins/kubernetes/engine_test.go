package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/client-go/dynamic"
)

// session plays the engine to a provider over real gRPC, and records what the provider tells it.
type session struct {
	pulumirpc.UnimplementedEngineServer
	pulumirpc.ResourceProviderClient

	t        *testing.T
	provider *provider
	mu       sync.Mutex
	messages []*pulumirpc.LogRequest
}

func (s *session) Log(_ context.Context, message *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, message)
	return &emptypb.Empty{}, nil
}

func (s *session) said(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, message := range s.messages {
		if strings.Contains(message.GetMessage(), text) {
			return true
		}
	}
	return false
}

// open starts a provider without configuring it.
func open(t *testing.T) *session {
	t.Helper()
	s := &session{t: t, provider: newProvider()}
	s.provider.firstRetry = 100 * time.Millisecond
	engine := grpc.NewServer()
	pulumirpc.RegisterEngineServer(engine, s)
	if err := s.provider.host.connect(serve(t, engine)); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(serve(t, newServer(s.provider)),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.ResourceProviderClient = pulumirpc.NewResourceProviderClient(conn)
	return s
}

func serve(t *testing.T, server *grpc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// configure hands the provider a kubeconfig and further settings, given as key, value, key, value.
func (s *session) configure(kubeconfig string, more ...string) *session {
	s.t.Helper()
	variables := map[string]string{"kubernetes:config:kubeconfig": kubeconfig}
	for i := 0; i < len(more); i += 2 {
		variables["kubernetes:config:"+more[i]] = more[i+1]
	}
	if _, err := s.Configure(s.t.Context(), &pulumirpc.ConfigureRequest{Variables: variables, AcceptSecrets: true}); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// namespace creates an empty namespace that ends with the test.
func (s *session) namespace() string {
	s.t.Helper()
	name, err := resource.NewUniqueHex("t-", 8, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	made := s.create("core/v1:Namespace", props{"metadata": props{"name": name}})
	s.t.Cleanup(func() {
		client := s.client("v1", "Namespace", "")
		_ = client.Delete(context.Background(), made.id, deleteNow)
	})
	return name
}

// client returns a client that bypasses the provider.
func (s *session) client(apiVersion, kind, namespace string) dynamic.ResourceInterface {
	s.t.Helper()
	client, err := s.provider.cluster.client(object(apiVersion, kind, namespace, "any"))
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// props are inputs as a program writes them; a value may be a resource.PropertyValue.
type props = map[string]any

func urnOf(token string) string { return "urn:pulumi:test::test::kubernetes:" + token + "::it" }

func (s *session) pack(m props) *structpb.Struct {
	s.t.Helper()
	packed, err := plugin.MarshalProperties(resource.NewPropertyMapFromMap(m),
		plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return packed
}

// made is a resource as the engine would keep it.
type made struct {
	token  string
	id     string
	inputs *structpb.Struct
	state  *structpb.Struct
}

func (m *made) properties(t *testing.T) resource.PropertyMap {
	t.Helper()
	state, err := unmarshal(m.state)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// check runs Check and fails the test on a refusal.
func (s *session) check(token string, olds *structpb.Struct, inputs props) *structpb.Struct {
	s.t.Helper()
	checked, err := s.Check(s.t.Context(), &pulumirpc.CheckRequest{Urn: urnOf(token), Olds: olds, News: s.pack(inputs)})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, failure := range checked.GetFailures() {
		s.t.Fatalf("%s: %s", failure.GetProperty(), failure.GetReason())
	}
	return checked.GetInputs()
}

func (s *session) tryCreate(token string, inputs props) (*made, error) {
	s.t.Helper()
	m := &made{token: token, inputs: s.check(token, nil, inputs)}
	created, err := s.Create(s.t.Context(), &pulumirpc.CreateRequest{Urn: urnOf(token), Properties: m.inputs})
	m.id, m.state = created.GetId(), created.GetProperties()
	if failed := initFailure(err); failed != nil {
		m.id, m.state = failed.GetId(), failed.GetProperties()
	}
	return m, err
}

func (s *session) create(token string, inputs props) *made {
	s.t.Helper()
	m, err := s.tryCreate(token, inputs)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *session) diff(m *made, inputs props) *pulumirpc.DiffResponse {
	s.t.Helper()
	diff, err := s.Diff(s.t.Context(), &pulumirpc.DiffRequest{
		Urn: urnOf(m.token), Id: m.id, Olds: m.state, OldInputs: m.inputs, News: s.check(m.token, m.inputs, inputs),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return diff
}

func (s *session) tryUpdate(m *made, inputs props) error {
	s.t.Helper()
	checked := s.check(m.token, m.inputs, inputs)
	updated, err := s.Update(s.t.Context(), &pulumirpc.UpdateRequest{
		Urn: urnOf(m.token), Id: m.id, Olds: m.state, OldInputs: m.inputs, News: checked,
	})
	if failed := initFailure(err); failed != nil {
		m.inputs, m.state = checked, failed.GetProperties()
	} else if err == nil {
		m.inputs, m.state = checked, updated.GetProperties()
	}
	return err
}

func (s *session) update(m *made, inputs props) {
	s.t.Helper()
	if err := s.tryUpdate(m, inputs); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) refresh(m *made) *pulumirpc.ReadResponse {
	s.t.Helper()
	read, err := s.Read(s.t.Context(), &pulumirpc.ReadRequest{
		Urn: urnOf(m.token), Id: m.id, Properties: m.state, Inputs: m.inputs,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	m.inputs, m.state = read.GetInputs(), read.GetProperties()
	return read
}

func (s *session) tryDelete(m *made, seconds float64) error {
	_, err := s.Delete(s.t.Context(), &pulumirpc.DeleteRequest{
		Urn: urnOf(m.token), Id: m.id, Properties: m.state, Timeout: seconds,
	})
	return err
}

// initFailure returns what an error says of a resource that exists but is not ready; nil when it says nothing.
func initFailure(err error) *pulumirpc.ErrorResourceInitFailed {
	for _, detail := range status.Convert(err).Details() {
		if failed, ok := detail.(*pulumirpc.ErrorResourceInitFailed); ok {
			return failed
		}
	}
	return nil
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("wanted an error with %q, got %v", text, err)
	}
}
