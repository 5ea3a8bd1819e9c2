// Command pulumi-resource-kubernetes is the lab's stand-in for Pulumi's Kubernetes plugin.
//
// It owns the tokens that the program uses of the Python SDK pulumi-kubernetes: the provider itself, every
// kubernetes:<group>/<version>:<Kind>, and kubernetes:helm.sh/v3:Release. The work is real: server-side apply and
// waits against the API server, releases through Helm's own library. It deliberately has no Patch resources, no
// List, no components (Chart, ConfigGroup, Directory), no invokes and no YAML rendering: those fail by name.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

// maxMessage bounds one gRPC message in bytes, as the engine does: a chart's values can be large.
const maxMessage = 400 << 20

// gracePeriod is how long running operations get to return once the process is told to end.
const gracePeriod = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-kubernetes:", err)
		os.Exit(1)
	}
}

func run() error {
	// The engine prints whatever a plugin writes to stderr; client-go's own log is not for the user.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	p := newProvider()
	if engine := engineAddress(os.Args[1:]); engine != "" {
		if err := p.host.connect(engine); err != nil {
			return err
		}
		if err := rpcutil.Healthcheck(ctx, engine, 5*time.Minute, stop); err != nil {
			return fmt.Errorf("watching the engine at %s: %w", engine, err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening on loopback: %w", err)
	}
	server := newServer(p)
	go func() {
		<-ctx.Done()
		p.cancel()
		// Helm's uninstall cannot be cancelled; what has not ended by then is cut off.
		time.AfterFunc(gracePeriod, server.Stop)
		server.GracefulStop()
	}()
	// The engine reads the port from the first line of stdout.
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return server.Serve(listener)
}

func newServer(p *provider) *grpc.Server {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	pulumirpc.RegisterResourceProviderServer(server, p)
	return server
}

// engineAddress returns the first argument that is not a flag: the engine passes logging flags before its address.
func engineAddress(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-v" || args[i] == "--v" || args[i] == "-tracing" || args[i] == "--tracing":
			i++
		case len(args[i]) > 0 && args[i][0] == '-':
		default:
			return args[i]
		}
	}
	return ""
}
