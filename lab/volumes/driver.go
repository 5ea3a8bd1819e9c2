package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const defaultType = "ext4"

// driver answers a kubelet. The calls are those of the CSI specification 1.9:
// https://github.com/container-storage-interface/spec/blob/v1.9.0/spec.md
type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer
	registration.UnimplementedRegistrationServer

	name, node, volumes, socket string
	limit                       int64
}

// GetInfo tells the kubelet where the driver listens.
func (d *driver) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: d.name, Endpoint: d.socket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus hears what became of it.
func (d *driver) NotifyRegistrationStatus(_ context.Context, became *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !became.GetPluginRegistered() {
		fmt.Fprintf(os.Stderr, "the kubelet refused %s: %s\n", d.name, became.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: d.name, VendorVersion: "lab"}, nil
}

func (d *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{}, nil
}

func (d *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.node, MaxVolumesPerNode: d.limit}, nil
}

func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	found := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
	} {
		rpc := &csi.NodeServiceCapability_RPC{Type: kind}
		found.Capabilities = append(found.Capabilities, &csi.NodeServiceCapability{Type: &csi.NodeServiceCapability_Rpc{Rpc: rpc}})
	}
	return found, nil
}

// NodeStageVolume mounts the volume at a directory of the node's.
func (d *driver) NodeStageVolume(_ context.Context, request *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	mount := request.GetVolumeCapability().GetMount()
	if mount == nil {
		return nil, status.Error(codes.InvalidArgument, "the lab's volumes are file systems; one that is a block device is not played")
	}

	of, err := d.volume(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer of.unlock()

	kind := mount.GetFsType()
	if kind == "" {
		kind = defaultType
	}

	if err = of.mount(request.GetStagingTargetPath(), kind, mount.GetMountFlags()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// NodeUnstageVolume ends that.
func (d *driver) NodeUnstageVolume(_ context.Context, request *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if err := unbind(request.GetStagingTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

// NodePublishVolume gives a pod the volume that is staged.
func (d *driver) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if err := bind(request.GetStagingTargetPath(), request.GetTargetPath(), request.GetReadonly()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (d *driver) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := unbind(request.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	if err := os.Remove(request.GetTargetPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// NodeExpandVolume lets the file system grow into an image that has become larger.
func (d *driver) NodeExpandVolume(_ context.Context, request *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	of, err := d.volume(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer of.unlock()

	size, err := of.grow()
	if errors.Is(err, errInUse) {
		// The kubelet waits until no pod uses the volume, and stages it again.
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	} else if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: size}, nil
}

// NodeGetVolumeStats tells how full it is.
func (d *driver) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	usage, err := usageOf(request.GetVolumePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, status.Error(codes.NotFound, err.Error())
	} else if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: usage}, nil
}

// volume finds one, locked against the driver's processes of other nodes.
func (d *driver) volume(handle string) (*volume, error) {
	if handle == "" || slices.Contains([]string{".", ".."}, handle) || filepath.Base(handle) != handle {
		return nil, status.Errorf(codes.InvalidArgument, "%q is no handle of a volume", handle)
	}

	found := &volume{image: filepath.Join(d.volumes, handle+".img")}

	err := found.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, status.Errorf(codes.NotFound, "there is no volume %s", handle)
	} else if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return found, nil
}
