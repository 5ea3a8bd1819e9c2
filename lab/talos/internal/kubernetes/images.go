package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Volumes of real pods. What a driver's controller and its sidecars do is done here: a disk is a file, attached to the node
// that Kubernetes' attach-detach controller names, and larger once its claim is. What runs on each node is the program
// csi-volumes, one process for each driver and node, of which the kubelet knows what it knows of any driver.

const (
	attachmentsPath = "/apis/storage.k8s.io/v1/volumeattachments"

	fileSystemOf = "csi.storage.k8s.io/fstype" // a class's parameter; external-provisioner's --default-fstype is ext4

	gibibyte = 1 << 30

	// A Proxmox VM takes 30 disks of the kind that the driver makes (docs/options.md of proxmox-csi-plugin, which names
	// label and default).
	limitLabel   = proxmoxCSI + "/max-volume-attachments"
	proxmoxLimit = "24"
	noLimit      = "0"
)

type attachment struct {
	Metadata struct {
		Name              string
		DeletionTimestamp string
	}
	Spec struct {
		Attacher string
		NodeName string
		Source   struct{ PersistentVolumeName string }
	}
	Status struct{ Attached bool }
}

func (s storageClass) fileSystem() string {
	if kind := s.Parameters[fileSystemOf]; kind != "" {
		return kind
	}
	return "ext4"
}

// serveVolumes attaches what is to be attached, lets volumes grow, and notes which drivers the nodes need.
func (c *ControlPlane) serveVolumes(ctx context.Context, classes []storageClass, claims []claim) error {
	var drivers []string
	for _, class := range classes {
		if !strings.HasPrefix(class.Provisioner, "kubernetes.io/") && !slices.Contains(drivers, class.Provisioner) {
			drivers = append(drivers, class.Provisioner)
		}
	}

	slices.Sort(drivers)
	c.mu.Lock()
	c.drivers = drivers
	c.mu.Unlock()

	attachments, err := list[attachment](ctx, c, attachmentsPath)
	if err != nil {
		return err
	}

	for _, each := range attachments {
		if each.Status.Attached || each.Metadata.DeletionTimestamp != "" || !slices.Contains(drivers, each.Spec.Attacher) {
			continue
		}

		attached := map[string]any{"status": map[string]any{"attached": true}}
		if _, err = c.call(ctx, http.MethodPatch, attachmentsPath+"/"+each.Metadata.Name+"/status", attached); err != nil && statusOf(err) != http.StatusNotFound {
			return err
		}
	}

	return c.growVolumes(ctx, classes, claims)
}

// growVolumes is what external-resizer does for a claim that asks for more than it has: a larger disk, and a note for the
// kubelet that the file system is still to grow. That the class allows it, the API server has seen to.
func (c *ControlPlane) growVolumes(ctx context.Context, classes []storageClass, claims []claim) error {
	volumes, err := list[volume](ctx, c, volumesPath)
	if err != nil {
		return err
	}

	for _, each := range claims {
		of := slices.IndexFunc(volumes, func(volume volume) bool { return volume.Metadata.Name == each.Spec.VolumeName })
		if each.Status.Phase != "Bound" || of < 0 || volumes[of].Metadata.Labels[playedBy] == "" {
			continue
		}

		wanted, err := bytesOf(each.Spec.Resources.Requests.Storage)
		if err != nil {
			return err
		}

		has, err := bytesOf(volumes[of].Spec.Capacity.Storage)
		if err != nil {
			return err
		}

		class := slices.IndexFunc(classes, func(class storageClass) bool { return class.Metadata.Name == each.Spec.StorageClassName })
		if wanted <= has || class < 0 {
			continue
		}

		size, err := c.makeImage(each.Spec.VolumeName, classes[class].Provisioner, each.Spec.Resources.Requests.Storage)
		if err != nil {
			return err
		}

		pending := map[string]any{"status": map[string]any{
			"conditions": []any{map[string]any{
				"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
				"message": "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
			}},
			"allocatedResources":        map[string]any{"storage": each.Spec.Resources.Requests.Storage},
			"allocatedResourceStatuses": map[string]any{"storage": "NodeResizePending"},
		}}
		path := "/api/v1/namespaces/" + each.Metadata.Namespace + "/persistentvolumeclaims/" + each.Metadata.Name + "/status"
		if _, err = c.call(ctx, http.MethodPatch, path, pending); err != nil {
			return err
		}

		larger := map[string]any{"spec": map[string]any{"capacity": map[string]any{"storage": size}}}
		if _, err = c.call(ctx, http.MethodPatch, volumesPath+"/"+each.Spec.VolumeName, larger); err != nil {
			return err
		}
	}
	return nil
}

func (c *ControlPlane) image(volume string) string { return c.path("volumes", volume+".img") }

// makeImage makes a volume's file, or a larger one of it, which takes no room until it is written. It gives the size as
// a quantity: Proxmox CSI rounds up to whole GiB (CreateVolume in pkg/csi/controller.go of proxmox-csi-plugin).
func (c *ControlPlane) makeImage(volume, driver, size string) (string, error) {
	bytes, err := bytesOf(size)
	if err != nil {
		return "", err
	}

	if driver == proxmoxCSI {
		whole := (bytes + gibibyte - 1) / gibibyte
		bytes, size = whole*gibibyte, fmt.Sprintf("%dGi", whole)
	}

	path := c.image(volume)
	if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}

	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer file.Close()

	return size, file.Truncate(bytes)
}

// removeImage deletes a volume's file.
func (c *ControlPlane) removeImage(volume string) error {
	if err := os.Remove(c.image(volume)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// driverOf is the name of the process that is one driver on one node.
func driverOf(driver, node string) string { return "csi-" + driver + "-" + node }

func (c *ControlPlane) driverNames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.drivers)
}

// ensureDrivers keeps each driver running on a node. Its kubelet looks for them in its root directory.
func (c *ControlPlane) ensureDrivers(node Node, root string) error {
	registry := filepath.Join(root, "plugins_registry")
	for _, driver := range c.driverNames() {
		if err := os.MkdirAll(registry, 0o750); err != nil {
			return err
		}

		limit := noLimit
		if driver == proxmoxCSI {
			limit = proxmoxLimit
			if given := node.Labels[limitLabel]; given != "" {
				limit = given
			}
		}

		command := onNode(
			c.binaries.Pods.Volumes, driver, node.Name, limit, c.path("volumes"),
			filepath.Join(c.binaries.Pods.Sockets, node.Name, driver+".sock"), filepath.Join(registry, driver+".sock"),
		)
		if err := c.ensure(driverOf(driver, node.Name), "sh", command); err != nil {
			return err
		}
	}
	return nil
}

// bytesOf reads a quantity of storage: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
func bytesOf(quantity string) (int64, error) {
	digits := strings.TrimRight(quantity, "KMGTPEkmi")

	value, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no quantity of storage", quantity)
	}

	scale, known := map[string]float64{
		"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
	}[quantity[len(digits):]]
	if !known {
		return 0, fmt.Errorf("%q is no quantity of storage", quantity)
	}
	return int64(value * scale), nil
}
