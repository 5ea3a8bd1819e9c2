package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// In a hierarchy of version 2 a group has no controller that the one above it does not hand down, and the kubelet refuses
// a cgroupRoot that lacks one (Validate in pkg/kubelet/cm/cgroup_v2_manager_linux.go).
func TestAGroupOfVersion2HasEveryControllerThatThereIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control groups are root's")
	}

	mount := t.TempDir()
	if err := syscall.Mount("none", mount, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}

	group := "homelab-test-" + filepath.Base(filepath.Dir(mount))
	t.Cleanup(func() {
		_ = os.Remove(filepath.Join(mount, group, "node"))
		_ = os.Remove(filepath.Join(mount, group))
		_ = syscall.Unmount(mount, syscall.MNT_DETACH)
	})

	if err := makeGroupIn([]string{mount}, group+"/node"); err != nil {
		t.Fatal(err)
	}

	all, has := controllers(t, mount), controllers(t, filepath.Join(mount, group, "node"))
	if all == "" {
		t.Skip("this machine gives every controller to version 1")
	}

	if has != all {
		t.Errorf("the group has %q of %q", has, all)
	}
}

func controllers(t *testing.T, group string) string {
	t.Helper()

	content, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}
