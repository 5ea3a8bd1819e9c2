package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// host sends messages to the engine, which shows them beside the resource. Without an engine it is silent.
type host struct {
	mu     sync.Mutex
	engine pulumirpc.EngineClient
	last   map[string]string
}

func (h *host) connect(address string) error {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), rpcutil.GrpcChannelOptions())
	if err != nil {
		return fmt.Errorf("connecting to the engine at %s: %w", address, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.engine = pulumirpc.NewEngineClient(conn)
	return nil
}

func (h *host) warn(urn, format string, args ...any) {
	h.send(&pulumirpc.LogRequest{Severity: pulumirpc.LogSeverity_WARNING, Urn: urn, Message: fmt.Sprintf(format, args...)})
}

func (h *host) info(urn, format string, args ...any) {
	h.send(&pulumirpc.LogRequest{Severity: pulumirpc.LogSeverity_INFO, Urn: urn, Message: fmt.Sprintf(format, args...)})
}

// status shows a message that the next one replaces; an empty one clears the line. Repeats are not sent.
func (h *host) status(urn, message string) {
	h.mu.Lock()
	if h.last == nil {
		h.last = map[string]string{}
	}
	repeated := h.last[urn] == message
	h.last[urn] = message
	h.mu.Unlock()
	if !repeated {
		h.send(&pulumirpc.LogRequest{
			Severity: pulumirpc.LogSeverity_INFO, Urn: urn, Message: message, Ephemeral: true,
		})
	}
}

// send is best effort: a message that the engine refuses must not fail the operation that it reports on.
func (h *host) send(request *pulumirpc.LogRequest) {
	h.mu.Lock()
	engine := h.engine
	h.mu.Unlock()
	if engine != nil {
		_, _ = engine.Log(context.Background(), request)
	}
}
