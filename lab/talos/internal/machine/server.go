package machine

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	cosiapi "github.com/cosi-project/runtime/api/v1alpha1"
	clusterapi "github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	storageapi "github.com/siderolabs/talos/pkg/machinery/api/storage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"homelab/lab/talos/internal/pki"
)

const apidPort = "50000"

// listen opens the Talos API on the machine's address.
func (m *Machine) listen(ctx context.Context) error {
	v := m.view()
	if err := m.maintenanceCertificate(v); err != nil {
		return err
	}

	var listener net.Listener
	for {
		var err error
		if listener, err = net.Listen("tcp", net.JoinHostPort(v.spec.Address, apidPort)); err == nil {
			break
		}

		if !pause(ctx, 100*time.Millisecond) {
			return fmt.Errorf("open the Talos API: %w", err)
		}
	}

	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{GetConfigForClient: m.handshake, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := m.authorize(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return handler(ctx, request)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := m.authorize(stream.Context(), info.FullMethod); err != nil {
				return err
			}
			return handler(service, stream)
		}),
	)
	machineapi.RegisterMachineServiceServer(server, &machineService{m: m})
	machineapi.RegisterImageServiceServer(server, &imageService{m: m})
	machineapi.RegisterLifecycleServiceServer(server, &lifecycleService{m: m})
	storageapi.RegisterStorageServiceServer(server, &storageService{m: m})
	clusterapi.RegisterClusterServiceServer(server, &clusterService{m: m})
	cosiapi.RegisterStateServer(server, &stateService{m: m})

	m.site.mu.Lock()
	m.server = server
	m.site.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
	return nil
}

func (m *Machine) maintenanceCertificate(v view) error {
	ca, err := pki.SelfSigned("talos-maintenance")
	if err != nil {
		return err
	}

	certificate, err := pki.IssueTLS(ca, pki.Leaf{CommonName: v.hostname, Names: []string{v.spec.Address, v.hostname}, Server: true})
	if err != nil {
		return err
	}

	m.site.mu.Lock()
	m.maintenance = certificate
	m.site.mu.Unlock()
	return nil
}

// handshake chooses the side of the API: open to anyone in maintenance mode, mutual TLS with a configuration.
func (m *Machine) handshake(*tls.ClientHelloInfo) (*tls.Config, error) {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()
	if m.config == nil {
		return &tls.Config{Certificates: []tls.Certificate{m.maintenance}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}, nil
	}

	security := m.config.Machine().Security()
	if m.certified != m.config {
		signer := m.signer()
		if signer == nil {
			return nil, fmt.Errorf("no control plane runs that could sign this worker's certificate (trustd)")
		}

		name := hostname(m.config, m.vmid, m.record.Spec)

		certificate, err := pki.IssueTLS(signer, pki.Leaf{
			CommonName: name, Names: append([]string{m.record.Spec.Address, name}, security.CertSANs()...), Server: true,
		})
		if err != nil {
			return nil, err
		}

		m.certificate, m.certified = &certificate, m.config
	}

	var authorities [][]byte
	if ca := security.IssuingCA(); ca != nil {
		authorities = append(authorities, ca.Crt)
	}

	for _, accepted := range security.AcceptedCAs() {
		authorities = append(authorities, accepted.Crt)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*m.certificate}, ClientCAs: pki.Pool(authorities...), ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	}, nil
}

// signer is the CA of the Talos API. A worker does not have its key: a running control plane with the same token signs for it.
// The caller holds the site's mu.
func (m *Machine) signer() *pki.CA {
	security := m.config.Machine().Security()
	if ca := security.IssuingCA(); ca != nil && len(ca.Key) > 0 {
		return ca
	}

	for _, other := range m.site.machines {
		if other.config == nil || !other.config.Machine().Type().IsControlPlane() || other.stage != Running {
			continue
		}

		if trusted := other.config.Machine().Security(); trusted.Token() == security.Token() {
			return trusted.IssuingCA()
		}
	}
	return nil
}

// readable is what the roles os:reader and os:operator, and anyone in maintenance mode, may call.
var readable = []string{
	"Disks", "EtcdAlarmList", "EtcdMemberList", "EtcdStatus", "Events", "Get", "HealthCheck", "Hostname", "List", "Memory",
	"ServiceList", "Version", "Watch",
}

func (m *Machine) authorize(ctx context.Context, full string) error {
	method := full[strings.LastIndex(full, "/")+1:]
	if m.view().config == nil {
		if slices.Contains(readable, method) || method == "ApplyConfiguration" {
			return nil
		}
		return status.Error(codes.PermissionDenied, "not authorized")
	}

	if caller, ok := peer.FromContext(ctx); ok {
		if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			for _, role := range info.State.PeerCertificates[0].Subject.Organization {
				switch {
				case role == "os:admin",
					(role == "os:reader" || role == "os:operator") && slices.Contains(readable, method),
					role == "os:operator" && slices.Contains([]string{"Reboot", "Shutdown", "Pull"}, method):
					return nil
				}
			}
		}
	}
	return status.Error(codes.PermissionDenied, "not authorized")
}

// targets resolves apid's routing: `node` to one machine, `nodes` to many, whose answers then carry their names.
func (m *Machine) targets(ctx context.Context) (names []string, many bool) {
	incoming, _ := metadata.FromIncomingContext(ctx)
	if nodes := incoming.Get("nodes"); len(nodes) > 0 {
		for _, entry := range nodes {
			names = append(names, strings.Split(entry, ",")...)
		}
		return names, true
	}

	if node := incoming.Get("node"); len(node) > 0 {
		return node[:1], false
	}
	return []string{m.view().spec.Address}, false
}

// route finds the machine behind a name, as apid on this machine can reach it: only control planes pass calls on.
func (m *Machine) route(name string) (*Machine, error) {
	target := m.site.find(name)
	if target == m {
		return m, nil
	}

	own := m.view()
	if !own.controlPlane() {
		return nil, status.Errorf(codes.PermissionDenied, "no request forwarding on %s: only control planes forward", own.spec.Address)
	}

	if target == nil {
		return nil, status.Errorf(codes.Unavailable, "node %q does not answer", name)
	}

	v := target.view()
	if v.config == nil || !slices.Contains([]Stage{Running, Installing}, v.stage) || v.config.Cluster().ID() != own.config.Cluster().ID() {
		return nil, status.Errorf(codes.Unavailable, "node %q does not answer (%s)", name, v.stage)
	}
	return target, nil
}

// one is route for calls that go to a single machine.
func (m *Machine) one(ctx context.Context) (*Machine, *common.Metadata, error) {
	names, many := m.targets(ctx)
	if len(names) != 1 {
		return nil, nil, status.Error(codes.InvalidArgument, "one-2-many proxying is not supported for this call")
	}

	target, err := m.route(names[0])
	if err != nil || !many {
		return target, nil, err
	}
	return target, &common.Metadata{Hostname: names[0]}, nil
}

// each runs a call on every target. With `nodes`, a failure is part of that node's answer, as apid does it.
func each[T proto.Message](ctx context.Context, m *Machine, call func(target *Machine, info *common.Metadata) (T, error)) ([]T, error) {
	names, many := m.targets(ctx)

	var answers []T
	for _, name := range names {
		var info *common.Metadata
		if many {
			info = &common.Metadata{Hostname: name}
		}

		target, err := m.route(name)
		if err == nil {
			var answer T
			if answer, err = call(target, info); err == nil {
				answers = append(answers, answer)
				continue
			}
		}

		if !many {
			return nil, err
		}

		info.Error, info.Status = err.Error(), status.Convert(err).Proto()

		var kind T

		failed, _ := kind.ProtoReflect().Type().New().Interface().(T)
		reflected := failed.ProtoReflect()
		field := reflected.Descriptor().Fields().ByName("metadata")

		// The message types of metadata agree, so the value can be set as it is.
		value := reflected.NewField(field)
		proto.Merge(value.Message().Interface(), info)
		reflected.Set(field, value)

		answers = append(answers, failed)
	}
	return answers, nil
}
