package kubernetes

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// show makes a directory appear at a second place, once.
func show(directory, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}

	first, err := os.Stat(directory)
	if err != nil {
		return err
	}

	second, err := os.Stat(at)
	if err != nil || os.SameFile(first, second) {
		return err
	}
	return syscall.Mount(directory, at, "", syscall.MS_BIND, "")
}

// unmountBelow ends every mount below a directory, the newest first, though something may still use it.
func unmountBelow(directory string) error {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}

	var places []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], directory+"/") {
			places = append(places, fields[4])
		}
	}

	var failed error
	for _, place := range slices.Backward(places) {
		place = strings.NewReplacer(`\040`, " ", `\134`, `\`).Replace(place)
		if err = syscall.Unmount(place, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
