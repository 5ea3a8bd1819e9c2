package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
)

// errInUse: a mounted file system of this kind grows only with a privilege that a container may lack (CAP_SYS_RESOURCE;
// ext4_resize_begin in fs/ext4/resize.c of Linux). One that is not mounted grows all the same.
var errInUse = errors.New("the file system is in use, and this machine lets it grow only while it is not")

// volume is one image.
type volume struct {
	image  string
	locked *os.File
}

func (v *volume) lock() error {
	file, err := os.OpenFile(v.image, os.O_RDWR, 0)
	if err != nil {
		return err
	}

	v.locked = file
	return unix.Flock(int(file.Fd()), unix.LOCK_EX)
}

func (v *volume) unlock() { _ = v.locked.Close() }

// mount makes a file system where there is none, lets it fill an image that has grown, and mounts it at a place. One that
// another node has is shown there a second time: all nodes are one machine, and two mounts of one image would destroy it.
//
// Nothing else may be mounted from the image: the kubelet lets a volume go only when it finds no other mount of it
// (GetDeviceMountRefs in pkg/volume/util/hostutil of Kubernetes), but for those of other nodes' kubelets.
func (v *volume) mount(at, kind string, options []string) error {
	if known, err := mountAt(at); err != nil || known != nil {
		return err
	}

	known, err := v.mounted()
	if err != nil {
		return err
	} else if known != nil {
		return bind(known.place, at, false)
	}

	blank, err := v.blank()
	if err != nil {
		return err
	}

	if blank {
		made := []string{"-q", v.image}
		if kind == defaultType {
			// As the kubelet makes it (formatAndMount in k8s.io/mount-utils), without what an image does not need.
			made = []string{"-q", "-F", "-m0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", v.image}
		}

		if err = execute("mkfs."+kind, made...); err != nil {
			return err
		}
	} else if kind == defaultType {
		if err = v.fill(); err != nil {
			return err
		}
	}

	if err = os.MkdirAll(at, 0o750); err != nil {
		return err
	}
	// A device that goes with the last of its mounts, however that ends.
	return execute("mount", "-t", kind, "-o", strings.Join(append([]string{"loop"}, options...), ","), v.image, at)
}

// mounted is a mount of the image, nil where there is none.
func (v *volume) mounted() (*mounted, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}

	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}

	for _, file := range files {
		of, _ := os.ReadFile(file) // of a device that has just gone, nothing
		if strings.TrimSpace(string(of)) != v.image {
			continue
		}

		number, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(file)), "dev"))
		for _, each := range all {
			if each.device == strings.TrimSpace(string(number)) {
				return &each, nil
			}
		}
	}
	return nil, nil
}

// blank tells whether nothing was ever written where file systems begin.
func (v *volume) blank() (bool, error) {
	beginning := make([]byte, 128<<10)
	read, err := v.locked.ReadAt(beginning, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return len(bytes.Trim(beginning[:read], "\x00")) == 0, nil
}

// fill lets a file system that is not mounted grow to the image's size.
func (v *volume) fill() error {
	whole, used, err := v.sizes()
	if err != nil || used == 0 || whole-used < 1<<20 {
		return err
	}

	if err = execute("e2fsck", "-f", "-p", v.image); err != nil {
		return err
	}
	return execute("resize2fs", v.image)
}

// sizes are the bytes of the image, and those of the ext4 on it: blocks at 0x4 of its super block, which begins at 1024,
// and the logarithm of a block's KiB at 0x18 (https://docs.kernel.org/filesystems/ext4/globals.html#super-block).
func (v *volume) sizes() (whole, used int64, err error) {
	info, err := v.locked.Stat()
	if err != nil {
		return 0, 0, err
	}

	super := make([]byte, 64)
	if _, err = v.locked.ReadAt(super, 1024); err != nil {
		return 0, 0, err
	}

	if super[0x38] != 0x53 || super[0x39] != 0xEF {
		return info.Size(), 0, nil
	}

	blocks, scale := binary.LittleEndian.Uint32(super[4:]), binary.LittleEndian.Uint32(super[0x18:])
	return info.Size(), int64(blocks) << (10 + scale), nil
}

// grow lets a mounted file system fill its image, and gives its size.
func (v *volume) grow() (int64, error) {
	known, err := v.mounted()
	if err != nil {
		return 0, err
	}

	whole, used, err := v.sizes()
	if err != nil || known == nil || whole-used < 1<<20 {
		return whole, err
	}

	if err = execute("losetup", "--set-capacity", known.source); err != nil {
		return 0, err
	}

	if known.kind == "xfs" {
		return whole, execute("xfs_growfs", known.place)
	}

	err = execute("resize2fs", known.source)
	if err != nil && strings.Contains(err.Error(), "Permission denied to resize") {
		return 0, errInUse
	}
	return whole, err
}

// mounted is a line of mountinfo: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
type mounted struct{ device, place, kind, source string }

func mounts() ([]mounted, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}

	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var found []mounted
	for line := range strings.Lines(string(content)) {
		of, more, _ := strings.Cut(line, " - ")
		fields, rest := strings.Fields(of), strings.Fields(more)
		if len(fields) > 4 && len(rest) > 1 {
			found = append(found, mounted{fields[2], unescape.Replace(fields[4]), rest[0], unescape.Replace(rest[1])})
		}
	}
	return found, nil
}

// mountAt is the newest mount at a place, nil where nothing is mounted.
func mountAt(place string) (*mounted, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}

	var found *mounted
	for _, each := range all {
		if each.place == place {
			found = &each
		}
	}
	return found, nil
}

// bind shows a mount at a second place, once.
func bind(from, to string, readonly bool) error {
	if known, err := mountAt(to); err != nil || known != nil {
		return err
	}

	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}

	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}

	if readonly {
		return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}

// unbind ends whatever is mounted at a place.
func unbind(place string) error {
	err := unix.Unmount(place, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) {
		return nil // not mounted, or not there
	}
	return err
}

func usageOf(path string) ([]*csi.VolumeUsage, error) {
	var found unix.Statfs_t
	if err := unix.Statfs(path, &found); err != nil {
		return nil, err
	}

	size := found.Bsize
	return []*csi.VolumeUsage{
		{
			Unit: csi.VolumeUsage_BYTES, Total: int64(found.Blocks) * size, Available: int64(found.Bavail) * size,
			Used: int64(found.Blocks-found.Bfree) * size,
		},
		{
			Unit: csi.VolumeUsage_INODES, Total: int64(found.Files), Available: int64(found.Ffree),
			Used: int64(found.Files - found.Ffree),
		},
	}, nil
}

// execute runs a program to its end; what it said is in the error. e2fsck's status 1 means that it corrected something.
func execute(name string, arguments ...string) error {
	said, err := exec.Command(name, arguments...).CombinedOutput()

	var ended *exec.ExitError
	if name == "e2fsck" && errors.As(err, &ended) && ended.ExitCode() == 1 {
		return nil
	}

	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, bytes.TrimSpace(said))
	}
	return nil
}
