package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// hierarchies are the mount points of the control groups that processes can be put into: one with version 2, else each
// controller's own of version 1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}, nil
	}

	tasks, err := filepath.Glob(filepath.Join(cgroups, "*", "tasks"))
	if err != nil {
		return nil, err
	}

	var found []string
	for _, file := range tasks {
		found = append(found, filepath.Dir(file))
	}
	return found, nil
}

// makeGroup makes a control group in every hierarchy. In version 1 a cpuset has no processor until it is given some.
func makeGroup(group string) error {
	mounts, err := hierarchies()
	if err != nil {
		return err
	}
	return makeGroupIn(mounts, group)
}

func makeGroupIn(mounts []string, group string) error {
	for _, mount := range mounts {
		path := mount
		for _, part := range strings.Split(strings.Trim(group, "/"), "/") {
			parent := path
			path = filepath.Join(path, part)

			err := handDown(parent)
			if err != nil {
				return err
			}

			if err = os.Mkdir(path, 0o755); errors.Is(err, fs.ErrExist) {
				continue
			} else if err != nil {
				return err
			}

			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if content, err := os.ReadFile(filepath.Join(parent, file)); err == nil && filepath.Base(mount) == "cpuset" {
					if err = os.WriteFile(filepath.Join(path, file), content, 0o600); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// handDown gives the groups below one of version 2 every controller that it has itself. The kernel refuses that to a group
// with processes in it, but for the root of all groups.
func handDown(group string) error {
	controllers, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // version 1
	} else if err != nil {
		return err
	}

	for _, controller := range strings.Fields(string(controllers)) {
		if err = os.WriteFile(filepath.Join(group, "cgroup.subtree_control"), []byte("+"+controller), 0o600); errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("%s has processes of its own, so no group below it gets the controller %s: "+
				"move them into a group below it first, or share the machine's /sys/fs/cgroup", group, controller)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// killGroup ends every process in a control group and below it, and returns when none is left.
func killGroup(group string) error {
	mounts, err := hierarchies()
	if err != nil || len(mounts) == 0 {
		return err
	}

	root := filepath.Join(mounts[0], group)
	for deadline := time.Now().Add(10 * time.Second); ; {
		left := 0

		err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil //nolint:nilerr // a group that has just gone
			}

			content, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					left++
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return nil
		})
		if err != nil || left == 0 {
			return err
		}

		if time.Now().After(deadline) {
			return errors.New(group + ": processes that cannot be ended")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
