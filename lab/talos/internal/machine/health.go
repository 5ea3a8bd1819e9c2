package machine

import (
	"context"
	"fmt"
	"time"

	clusterapi "github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type clusterService struct {
	clusterapi.UnimplementedClusterServiceServer
	m *Machine
}

const defaultHealthWait = 20 * time.Minute

// HealthCheck is the server side of `talosctl health`: each check is repeated until it holds or time runs out.
func (s *clusterService) HealthCheck(in *clusterapi.HealthCheckRequest, stream grpc.ServerStreamingServer[clusterapi.HealthCheckProgress]) error {
	wait := defaultHealthWait
	if in.GetWaitTimeout() != nil {
		wait = in.GetWaitTimeout().AsDuration()
	}

	ctx, cancel := context.WithTimeout(stream.Context(), wait)
	defer cancel()
	for _, check := range s.checks(in.GetClusterInfo()) {
		for {
			err := check.holds(ctx)
			message := "waiting for " + check.name + ": OK"
			if err != nil {
				message = fmt.Sprintf("waiting for %s: %v", check.name, err)
			}

			if sendErr := stream.Send(&clusterapi.HealthCheckProgress{Message: message}); sendErr != nil {
				return sendErr
			}

			if err == nil {
				break
			}

			if !pause(ctx, time.Second) {
				return status.Error(codes.DeadlineExceeded, message)
			}
		}
	}
	return nil
}

type check struct {
	name  string
	holds func(ctx context.Context) error
}

// checks follow the order of Talos' own. The nodes are those of the request, else all of this cluster.
func (s *clusterService) checks(info *clusterapi.ClusterInfo) []check {
	own := s.m.view()
	site := s.m.site

	nodes := func(controlPlanes, workers bool) (found []*Machine) {
		asked := append(append([]string{}, info.GetControlPlaneNodes()...), info.GetWorkerNodes()...)
		for _, m := range site.list() {
			v := m.view()
			if v.config == nil || v.config.Cluster().ID() != own.config.Cluster().ID() {
				continue
			}

			if len(asked) > 0 && !contains(asked, v.spec.Address, v.hostname) {
				continue
			}

			if v.controlPlane() && controlPlanes || !v.controlPlane() && workers {
				found = append(found, m)
			}
		}
		return found
	}

	every := func(controlPlanes, workers bool, holds func(ctx context.Context, m *Machine, v view) error) func(context.Context) error {
		return func(ctx context.Context) error {
			for _, m := range nodes(controlPlanes, workers) {
				v := m.view()
				if err := holds(ctx, m, v); err != nil {
					return fmt.Errorf("%s: %w", v.spec.Address, err)
				}
			}
			return nil
		}
	}
	return []check{
		{"etcd to be healthy", every(true, false, func(_ context.Context, m *Machine, v view) error {
			if !site.control.Healthy(v.spec.Address) {
				return fmt.Errorf("service etcd is not healthy")
			}
			return nil
		})},
		{"etcd members to be consistent across nodes", every(true, false, func(ctx context.Context, _ *Machine, v view) error {
			members, err := site.control.Members(ctx, v.spec.Address)
			if err == nil && len(members) != len(nodes(true, false)) {
				err = fmt.Errorf("%d etcd members, %d control planes", len(members), len(nodes(true, false)))
			}
			return err
		})},
		{"apid to be ready", every(true, true, func(_ context.Context, _ *Machine, v view) error {
			if v.stage != Running {
				return fmt.Errorf("the node is %s", v.stage)
			}
			return nil
		})},
		{"all nodes to finish boot sequence", every(true, true, func(_ context.Context, _ *Machine, v view) error {
			if !v.ready {
				return fmt.Errorf("not ready")
			}
			return nil
		})},
		{"all k8s nodes to report", site.control.Ready},
		{"all k8s nodes to report ready", every(true, true, func(ctx context.Context, _ *Machine, v view) error {
			registered, ready, err := site.control.NodeReady(ctx, v.hostname)
			switch {
			case err != nil:
				return err
			case !registered:
				return fmt.Errorf("node %s is not registered", v.hostname)
			case !ready:
				return fmt.Errorf("node %s is not ready", v.hostname)
			}
			return nil
		})},
	}
}

func contains(list []string, values ...string) bool {
	for _, entry := range list {
		for _, value := range values {
			if entry == value {
				return true
			}
		}
	}
	return false
}
