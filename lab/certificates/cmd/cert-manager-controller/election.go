package main

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/healthz"
)

// As in the released program, in internal/apis/config/controller/v1alpha1 and its leader election.
const (
	leaseName     = "cert-manager-controller"
	leaseDuration = 60 * time.Second
	renewDeadline = 40 * time.Second
	retryPeriod   = 15 * time.Second
	healthTimeout = 20 * time.Second
)

// errLost ends a process that another one has replaced as the leader.
var errLost = errors.New("lost the lease")

// election says where the lease of the one process that works is, and where each answers whether it is alive.
type election struct {
	namespace, health string
}

// leading serves /livez at once, and does the work while this process is the leader.
func (e election) leading(ctx context.Context, shared *controller.Context, work func(context.Context) error) error {
	listener, err := net.Listen("tcp", e.health)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: leaseName, Namespace: e.namespace},
		Client:     shared.Client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "-" + string(uuid.NewUUID())},
	}
	alive := healthz.NewServer(healthTimeout)
	group, ctx := errgroup.WithContext(ctx)
	result := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   leaseDuration,
		RenewDeadline:   renewDeadline,
		RetryPeriod:     retryPeriod,
		ReleaseOnCancel: true,
		WatchDog:        alive.LeaderHealthzAdaptor,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { result <- work(ctx) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	group.Go(func() error { return alive.Start(ctx, listener) })
	group.Go(func() error {
		elector.Run(ctx)
		if ctx.Err() == nil {
			return errLost
		}
		return nil
	})
	group.Go(func() error {
		select {
		case err := <-result:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait()
}
