// Command pulumi-resource-talos is the lab's stand-in for the official Pulumi plugin of that name. The engine starts it
// from PATH with its own address, and reads the port from the first line.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"homelab/lab/talos/internal/provider"
)

const engineCheck = 5 * time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-talos:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	warn := func(_, text string) { fmt.Fprintln(os.Stderr, text) }

	if len(args) > 0 {
		engine := args[len(args)-1]

		connection, err := grpc.NewClient(engine, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer connection.Close()

		log := pulumirpc.NewEngineClient(connection)
		warn = func(urn, text string) {
			_, _ = log.Log(ctx, &pulumirpc.LogRequest{Severity: pulumirpc.LogSeverity_WARNING, Message: text, Urn: urn})
		}

		// The plugin ends with the engine that started it.
		if err := rpcutil.Healthcheck(ctx, engine, engineCheck, cancel); err != nil {
			return fmt.Errorf("reach the engine at %s: %w", engine, err)
		}
	}

	p := provider.New(warn)
	stop := make(chan bool)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel:  stop,
		Options: rpcutil.OpenTracingServerInterceptorOptions(nil),
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(server, p)
			return nil
		},
	})
	if err != nil {
		return err
	}

	fmt.Println(handle.Port)

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-ctx.Done():
		case <-signals: // how the engine ends its plugins
		}

		p.Stop()
		close(stop)
	}()
	return <-handle.Done
}
