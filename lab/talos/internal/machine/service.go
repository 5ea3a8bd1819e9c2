package machine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	storageapi "github.com/siderolabs/talos/pkg/machinery/api/storage"
	"go.yaml.in/yaml/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"homelab/lab/talos/internal/kubernetes"
	"homelab/lab/talos/internal/pki"
)

// machineService is the part of MachineService that the lab plays; the rest answers Unimplemented.
type machineService struct {
	machineapi.UnimplementedMachineServiceServer
	m *Machine
}

func onlyControlPlanes(v view, what string) error {
	if !v.controlPlane() {
		return status.Errorf(codes.Unimplemented, "%s is only available on control plane nodes", what)
	}
	return nil
}

func (s *machineService) Bootstrap(ctx context.Context, _ *machineapi.BootstrapRequest) (*machineapi.BootstrapResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Bootstrap, error) {
		err := t.bootstrap()
		t.note("bootstrap", "code", status.Code(err).String())
		return &machineapi.Bootstrap{Metadata: info}, err
	})
	return &machineapi.BootstrapResponse{Messages: messages}, err
}

func (m *Machine) bootstrap() error {
	v := m.view()
	if v.stage != Running {
		return status.Error(codes.FailedPrecondition, "bootstrap is not available yet")
	}

	if err := onlyControlPlanes(v, "bootstrap"); err != nil {
		return err
	}

	member, _ := m.member()
	switch err := m.site.control.Bootstrap(member); {
	case errors.Is(err, kubernetes.ErrBootstrapped):
		return status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

func (s *machineService) Kubeconfig(_ *emptypb.Empty, stream grpc.ServerStreamingServer[common.Data]) error {
	target, info, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}

	v := target.view()
	if err = onlyControlPlanes(v, "kubeconfig"); err != nil {
		return err
	}

	cluster := v.config.Cluster()
	admin := cluster.AdminKubeconfig()

	pair, err := pki.Issue(cluster.IssuingCA(), pki.Leaf{
		CommonName: admin.CommonName(), Organizations: []string{admin.CertOrganization()}, Client: true,
	})
	if err != nil {
		return err
	}

	encode := base64.StdEncoding.EncodeToString
	name := "admin@" + cluster.Name()

	document, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []any{map[string]any{"name": cluster.Name(), "cluster": map[string]any{
			"server": cluster.Endpoint().String(), "certificate-authority-data": encode(cluster.IssuingCA().Crt),
		}}},
		"users": []any{map[string]any{"name": name, "user": map[string]any{
			"client-certificate-data": encode(pair.Crt), "client-key-data": encode(pair.Key),
		}}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": cluster.Name(), "namespace": "default", "user": name}}},
	})
	if err != nil {
		return err
	}

	var archive bytes.Buffer

	compressed := gzip.NewWriter(&archive)
	files := tar.NewWriter(compressed)
	if err = files.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: "kubeconfig", Size: int64(len(document)), ModTime: time.Now(), Mode: 0o600,
	}); err != nil {
		return err
	}

	if _, err = files.Write(document); err != nil {
		return err
	}

	if err = errors.Join(files.Close(), compressed.Close()); err != nil {
		return err
	}
	return stream.Send(&common.Data{Bytes: archive.Bytes(), Metadata: info})
}

func (s *machineService) Version(ctx context.Context, _ *emptypb.Empty) (*machineapi.VersionResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Version, error) {
		return &machineapi.Version{
			Metadata: info,
			Version:  &machineapi.VersionInfo{Tag: t.view().version, Sha: "lab", Os: "linux", Arch: "amd64", GoVersion: "go"},
			Platform: &machineapi.PlatformInfo{Name: "nocloud", Mode: "cloud"},
			Features: &machineapi.FeaturesInfo{Rbac: true},
		}, nil
	})
	return &machineapi.VersionResponse{Messages: messages}, err
}

func (s *machineService) Hostname(ctx context.Context, _ *emptypb.Empty) (*machineapi.HostnameResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Hostname, error) {
		return &machineapi.Hostname{Metadata: info, Hostname: t.view().hostname}, nil
	})
	return &machineapi.HostnameResponse{Messages: messages}, err
}

func (s *machineService) Memory(ctx context.Context, _ *emptypb.Empty) (*machineapi.MemoryResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Memory, error) {
		total := uint64(t.view().spec.MemoryMiB) * 1024
		return &machineapi.Memory{Metadata: info, Meminfo: &machineapi.MemInfo{Memtotal: total, Memfree: total / 2, Memavailable: total / 2}}, nil
	})
	return &machineapi.MemoryResponse{Messages: messages}, err
}

func (s *machineService) ServiceList(ctx context.Context, _ *emptypb.Empty) (*machineapi.ServiceListResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.ServiceList, error) {
		list := &machineapi.ServiceList{Metadata: info}
		for _, service := range t.services() {
			list.Services = append(list.Services, service)
		}
		return list, nil
	})
	return &machineapi.ServiceListResponse{Messages: messages}, err
}

func (s *machineService) EtcdMemberList(ctx context.Context, _ *machineapi.EtcdMemberListRequest) (*machineapi.EtcdMemberListResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.EtcdMembers, error) {
		if err := onlyControlPlanes(t.view(), "etcd member list"); err != nil {
			return nil, err
		}

		members, err := t.site.control.Members(ctx, t.view().spec.Address)
		if err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		return &machineapi.EtcdMembers{Metadata: info, Members: members}, nil
	})
	return &machineapi.EtcdMemberListResponse{Messages: messages}, err
}

func (s *machineService) EtcdLeaveCluster(ctx context.Context, _ *machineapi.EtcdLeaveClusterRequest) (*machineapi.EtcdLeaveClusterResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.EtcdLeaveCluster, error) {
		if err := onlyControlPlanes(t.view(), "etcd leave"); err != nil {
			return nil, err
		}

		t.setLeft(true)
		if member, ok := t.member(); ok {
			if err := t.site.control.Leave(ctx, member, true); err != nil {
				t.setLeft(false)
				return nil, status.Error(codes.Unavailable, err.Error())
			}
		}
		return &machineapi.EtcdLeaveCluster{Metadata: info}, nil
	})
	return &machineapi.EtcdLeaveClusterResponse{Messages: messages}, err
}

func (s *machineService) EtcdRemoveMemberByID(ctx context.Context, in *machineapi.EtcdRemoveMemberByIDRequest) (*machineapi.EtcdRemoveMemberByIDResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.EtcdRemoveMemberByID, error) {
		if err := onlyControlPlanes(t.view(), "etcd remove member"); err != nil {
			return nil, err
		}

		if err := t.site.control.RemoveMember(ctx, t.view().spec.Address, in.GetMemberId()); err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}

		t.note("etcd-member-removed")
		return &machineapi.EtcdRemoveMemberByID{Metadata: info}, nil
	})
	return &machineapi.EtcdRemoveMemberByIDResponse{Messages: messages}, err
}

func (s *machineService) EtcdStatus(ctx context.Context, _ *emptypb.Empty) (*machineapi.EtcdStatusResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.EtcdStatus, error) {
		if err := onlyControlPlanes(t.view(), "etcd status"); err != nil {
			return nil, err
		}

		state, err := t.site.control.MemberState(ctx, t.view().spec.Address)
		if err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		return &machineapi.EtcdStatus{Metadata: info, MemberStatus: state}, nil
	})
	return &machineapi.EtcdStatusResponse{Messages: messages}, err
}

func (s *machineService) EtcdAlarmList(ctx context.Context, _ *emptypb.Empty) (*machineapi.EtcdAlarmListResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.EtcdAlarm, error) {
		return &machineapi.EtcdAlarm{Metadata: info}, onlyControlPlanes(t.view(), "etcd alarm list")
	})
	return &machineapi.EtcdAlarmListResponse{Messages: messages}, err
}

func (s *machineService) Read(in *machineapi.ReadRequest, stream grpc.ServerStreamingServer[common.Data]) error {
	target, info, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}

	v := target.view()

	var content string
	switch in.GetPath() {
	case "/proc/sys/kernel/random/boot_id":
		content = v.bootID
	case "/proc/cmdline":
		content = target.commandLine(v)
	default:
		return status.Errorf(codes.NotFound, "stat %s: no such file or directory", in.GetPath())
	}
	return stream.Send(&common.Data{Bytes: []byte(content + "\n"), Metadata: info})
}

// commandLine is that of the image which runs: Talos' own arguments, then those of the schematic.
func (m *Machine) commandLine(v view) string {
	arguments := []string{
		"talos.platform=nocloud", "console=tty1", "console=ttyS0", "init_on_alloc=1", "slab_nomerge", "pti=on", "consoleblank=0",
		"nvme_core.io_timeout=4294967295", "printk.devkmsg=on", "selinux=1", "module.sig_enforce=1",
	}

	if schematic, found := m.site.factory.Lookup(v.schematic); found {
		arguments = append(arguments, schematic.Customization.ExtraKernelArgs...)
	}
	return strings.Join(arguments, " ")
}

type storageService struct {
	storageapi.UnimplementedStorageServiceServer
	m *Machine
}

func (s *storageService) Disks(ctx context.Context, _ *emptypb.Empty) (*storageapi.DisksResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*storageapi.Disks, error) {
		return &storageapi.Disks{Metadata: info, Disks: []*storageapi.Disk{{
			DeviceName: "/dev/sda", Size: uint64(t.view().spec.DiskBytes), Model: "QEMU HARDDISK", Type: storageapi.Disk_SSD,
			Serial: fmt.Sprintf("drive-scsi0-%d", t.vmid), SystemDisk: true,
		}}}, nil
	})
	return &storageapi.DisksResponse{Messages: messages}, err
}
