package machine

import (
	"context"
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"homelab/lab/talos/internal/imagefactory"
)

func (s *machineService) Reboot(ctx context.Context, _ *machineapi.RebootRequest) (*machineapi.RebootResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Reboot, error) {
		actor := uuid()
		return &machineapi.Reboot{Metadata: info, ActorId: actor}, refused(t.reboot(actor, "reboot"))
	})
	return &machineapi.RebootResponse{Messages: messages}, err
}

func (s *machineService) Upgrade(ctx context.Context, in *machineapi.UpgradeRequest) (*machineapi.UpgradeResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Upgrade, error) {
		if err := t.install(in.GetImage()); err != nil {
			return nil, err
		}

		actor := uuid()
		return &machineapi.Upgrade{Metadata: info, Ack: "Upgrade request received", ActorId: actor}, refused(t.reboot(actor, "upgrade"))
	})
	return &machineapi.UpgradeResponse{Messages: messages}, err
}

func (s *machineService) Reset(ctx context.Context, in *machineapi.ResetRequest) (*machineapi.ResetResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Reset, error) {
		all := len(in.GetSystemPartitionsToWipe()) == 0
		wipe := map[string]bool{}

		for _, partition := range in.GetSystemPartitionsToWipe() {
			if partition.GetLabel() != "STATE" && partition.GetLabel() != "EPHEMERAL" {
				return nil, status.Errorf(codes.InvalidArgument, "failed to get volume status with label %q", partition.GetLabel())
			}

			wipe[partition.GetLabel()] = partition.GetWipe()
		}

		if all && in.GetReboot() {
			return nil, status.Error(codes.Unimplemented,
				"the lab does not reboot from a wiped system disk: name the partitions STATE and EPHEMERAL, or do not reboot")
		}

		actor := uuid()
		return &machineapi.Reset{Metadata: info, ActorId: actor},
			refused(t.reset(actor, in.GetGraceful(), in.GetReboot(), all || wipe["STATE"], all || wipe["EPHEMERAL"]))
	})
	return &machineapi.ResetResponse{Messages: messages}, err
}

func (s *machineService) Shutdown(ctx context.Context, _ *machineapi.ShutdownRequest) (*machineapi.ShutdownResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.Shutdown, error) {
		err := t.ask(func(ctx context.Context) {
			if pause(ctx, 0) {
				if v := t.view(); v.config != nil && t.site.control.Ready(ctx) == nil {
					// Talos also evicts pods, for five minutes, and then goes on whatever is left: here it gives up at once
					// (DrainTimeout in pkg/kubernetes/kubernetes.go).
					_ = t.site.control.Cordon(ctx, v.hostname)
				}

				t.setStage(Halted)
				t.stopServices(false)
			}
		})
		return &machineapi.Shutdown{Metadata: info, ActorId: uuid()}, refused(err)
	})
	return &machineapi.ShutdownResponse{Messages: messages}, err
}

func refused(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

func failure(err error) *common.Error {
	return &common.Error{Code: common.Code_FATAL, Message: err.Error()}
}

// parseInstaller reads version and schematic from an installer's reference and refuses what the lab's own factory does
// not have. Images of other registries are taken at their word: nothing here can pull them.
func (s *Site) parseInstaller(image string) (schematic, version string, err error) {
	schematic, version = imagefactory.ParseImage(image)
	if version == "" {
		return "", "", status.Errorf(codes.InvalidArgument, "installer image %q has no version tag like v1.13.9", image)
	}

	if schematic == "" {
		return imagefactory.DefaultID, version, nil
	}

	if _, known := s.factory.Lookup(schematic); known {
		if err = s.factory.Check(schematic, version); err != nil {
			return "", "", status.Errorf(codes.NotFound, "pull %s: %v", image, err)
		}
	} else if !strings.Contains(image, "factory.talos.dev/") {
		return "", "", status.Errorf(codes.NotFound, "pull %s: the lab's Image Factory has no such schematic", image)
	}
	return schematic, version, nil
}

// install writes the next system; it takes effect with the next reboot.
func (m *Machine) install(image string) error {
	schematic, version, err := m.site.parseInstaller(image)
	if err != nil {
		m.note("upgrade-refused", "image", image, "error", err)
		return err
	}

	m.site.mu.Lock()
	m.record.PendingSchematic, m.record.PendingVersion = schematic, version
	m.site.mu.Unlock()

	m.note("upgrade", "image", image, "version", version, "schematic", schematic)
	return m.save()
}

type imageService struct {
	machineapi.UnimplementedImageServiceServer
	m *Machine
}

// Pull checks the reference; there is nothing to fetch.
func (s *imageService) Pull(in *machineapi.ImageServicePullRequest, stream grpc.ServerStreamingServer[machineapi.ImageServicePullResponse]) error {
	target, _, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}

	if _, _, err = target.site.parseInstaller(in.GetImageRef()); err != nil {
		return err
	}
	return stream.Send(&machineapi.ImageServicePullResponse{Response: &machineapi.ImageServicePullResponse_Name{Name: in.GetImageRef()}})
}

type lifecycleService struct {
	machineapi.UnimplementedLifecycleServiceServer
	m *Machine
}

// Upgrade installs; since Talos 1.13 the client reboots the node itself.
func (s *lifecycleService) Upgrade(in *machineapi.LifecycleServiceUpgradeRequest, stream grpc.ServerStreamingServer[machineapi.LifecycleServiceUpgradeResponse]) error {
	target, _, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}

	image := in.GetSource().GetImageName()
	if err = target.install(image); err != nil {
		return err
	}

	if err = stream.Send(&machineapi.LifecycleServiceUpgradeResponse{Progress: &machineapi.LifecycleServiceInstallProgress{
		Response: &machineapi.LifecycleServiceInstallProgress_Message{Message: fmt.Sprintf("installed %s", image)},
	}}); err != nil {
		return err
	}
	return stream.Send(&machineapi.LifecycleServiceUpgradeResponse{Progress: &machineapi.LifecycleServiceInstallProgress{
		Response: &machineapi.LifecycleServiceInstallProgress_ExitCode{ExitCode: 0},
	}})
}
