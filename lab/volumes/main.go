// Command csi-volumes is the part of a CSI driver that runs on a node, for a lab with real pods: its kubelet asks it to
// make the volumes of one driver usable there.
//
//	csi-volumes DRIVER NODE LIMIT VOLUMES SOCKET REGISTRATION
//
// A volume with the handle H is the file VOLUMES/H.img, made by whoever plays the driver's controller; on it is a file
// system, so a pod finds what it finds on a disk: as much room as it asked for, and a directory lost+found. LIMIT is how
// many of the driver's volumes may be attached to the node. SOCKET is where the driver listens, REGISTRATION where the
// kubelet looks for drivers (plugins_registry in its root directory).
//
// It neither makes nor deletes volumes, and does not know which nodes a volume may be used on: Kubernetes' own
// attach-detach controller does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const arguments = 7

func main() {
	if len(os.Args) != arguments {
		fmt.Fprintln(os.Stderr, "usage: csi-volumes DRIVER NODE LIMIT VOLUMES SOCKET REGISTRATION")
		os.Exit(2)
	}

	limit, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err == nil {
		err = run(driver{name: os.Args[1], node: os.Args[2], limit: limit, volumes: os.Args[4]}, os.Args[5], os.Args[6])
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(of driver, socket, registered string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	of.socket = socket

	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, &of)
	csi.RegisterNodeServer(server, &of)

	announcer := grpc.NewServer()
	registration.RegisterRegistrationServer(announcer, &of)

	ended := make(chan error, 2)
	// In this order: the kubelet calls the driver as soon as it sees the registration.
	for _, each := range []struct {
		server *grpc.Server
		path   string
	}{{server, socket}, {announcer, registered}} {
		listener, err := listen(ctx, each.path)
		if err != nil {
			return err
		}

		go func() { ended <- each.server.Serve(listener) }()
	}

	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// listen opens a socket, in the place of one that a killed process left.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return (&net.ListenConfig{}).Listen(ctx, "unix", path)
}
