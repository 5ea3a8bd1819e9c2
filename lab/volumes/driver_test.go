package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const handle = "pvc-1"

// node is a driver of one node, and where its kubelet would want a volume. What is mounted goes with the test.
type node struct {
	*driver
	t       *testing.T
	staging string
}

func nodes(t *testing.T, names ...string) []node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts are root's")
	}

	volumes := t.TempDir()
	image(t, volumes, 64<<20)

	var found []node
	for _, name := range names {
		staging := filepath.Join(t.TempDir(), "globalmount")
		found = append(found, node{&driver{name: "csi.driver.test", node: name, volumes: volumes}, t, staging})
		t.Cleanup(func() { _ = syscall.Unmount(staging, syscall.MNT_DETACH) })
	}
	return found
}

func image(t *testing.T, volumes string, size int64) {
	t.Helper()

	file, err := os.OpenFile(filepath.Join(volumes, handle+".img"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(file.Truncate(size), file.Close())
	}

	if err != nil {
		t.Fatal(err)
	}
}

func (n node) stage() {
	n.t.Helper()

	mount := &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: "ext4"}}
	request := &csi.NodeStageVolumeRequest{
		VolumeId: handle, StagingTargetPath: n.staging, VolumeCapability: &csi.VolumeCapability{AccessType: mount},
	}
	if _, err := n.NodeStageVolume(n.t.Context(), request); err != nil {
		n.t.Fatal(err)
	}
}

func (n node) unstage() {
	n.t.Helper()
	if _, err := n.NodeUnstageVolume(n.t.Context(), &csi.NodeUnstageVolumeRequest{VolumeId: handle, StagingTargetPath: n.staging}); err != nil {
		n.t.Fatal(err)
	}
}

// fill writes MiB to a file on the volume.
func (n node) fill(name string, mebibytes int) error {
	return os.WriteFile(filepath.Join(n.staging, name), make([]byte, mebibytes<<20), 0o600)
}

// mountedAt is where the volume is mounted.
func mountedAt(t *testing.T, volumes string) []string {
	t.Helper()

	known, err := (&volume{image: filepath.Join(volumes, handle+".img")}).mounted()
	if err != nil {
		t.Fatal(err)
	}

	if known == nil {
		return nil
	}

	all, err := mounts()
	if err != nil {
		t.Fatal(err)
	}

	var found []string
	for _, each := range all {
		if each.device == known.device {
			found = append(found, each.place)
		}
	}
	return found
}

// The kubelet lets no volume go of which it finds another mount.
func TestAVolumeIsMountedNowhereButAtTheNode(t *testing.T) {
	of := nodes(t, "w1")[0]
	of.stage()

	if found := mountedAt(t, of.volumes); !slices.Equal(found, []string{of.staging}) {
		t.Errorf("mounted at %v, not at %s alone", found, of.staging)
	}
}

func TestAVolumeHoldsNoMoreThanItsSize(t *testing.T) {
	of := nodes(t, "w1")[0]
	of.stage()

	if err := of.fill("fits", 32); err != nil {
		t.Fatal(err)
	}

	if err := of.fill("more", 48); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("48 MiB more on a volume of 64 MiB: %v", err)
	}
}

func TestAVolumeThatMovesKeepsWhatIsOnIt(t *testing.T) {
	both := nodes(t, "w1", "w2")
	both[0].stage()

	if err := both[0].fill("word", 1); err != nil {
		t.Fatal(err)
	}

	both[0].unstage()
	if found := mountedAt(t, both[0].volumes); found != nil {
		t.Errorf("the volume is mounted at %v though no node has it", found)
	}

	both[1].stage()
	if _, err := os.Stat(filepath.Join(both[1].staging, "word")); err != nil {
		t.Error(err)
	}
}

func TestTwoNodesThatHaveAVolumeSeeOneFileSystem(t *testing.T) {
	both := nodes(t, "w1", "w2")
	both[0].stage()
	both[1].stage()

	if err := both[0].fill("word", 1); err != nil {
		t.Fatal(err)
	}

	both[0].unstage()
	if _, err := os.Stat(filepath.Join(both[1].staging, "word")); err != nil {
		t.Error(err)
	}
}

func TestAVolumeGrowsAtOnceOrWhenItIsStagedAgain(t *testing.T) {
	of := nodes(t, "w1")[0]
	of.stage()
	image(t, of.volumes, 128<<20)

	request := &csi.NodeExpandVolumeRequest{VolumeId: handle, VolumePath: of.staging}
	_, err := of.NodeExpandVolume(t.Context(), request)
	if code := status.Code(err); code == codes.FailedPrecondition {
		of.unstage()
		of.stage()
		_, err = of.NodeExpandVolume(t.Context(), request)
	}

	if err != nil {
		t.Fatal(err)
	}

	if err = of.fill("more", 80); err != nil {
		t.Error(err)
	}
}

func TestAVolumeThatIsNotThereIsNotFound(t *testing.T) {
	of := nodes(t, "w1")[0]
	for _, name := range []string{"pvc-2", "../pvc-1", "", ".."} {
		_, err := of.NodeExpandVolume(t.Context(), &csi.NodeExpandVolumeRequest{VolumeId: name, VolumePath: of.staging})
		if code := status.Code(err); code != codes.NotFound && code != codes.InvalidArgument {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestABlockDeviceIsRefusedByName(t *testing.T) {
	of := nodes(t, "w1")[0]
	block := &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}}

	_, err := of.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{VolumeId: handle, StagingTargetPath: of.staging, VolumeCapability: block})
	if err == nil || !strings.Contains(err.Error(), "block device is not played") {
		t.Error(err)
	}
}
