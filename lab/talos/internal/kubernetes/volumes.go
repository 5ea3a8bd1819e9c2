package kubernetes

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

const (
	playedBy = "homelab.lab/played-by" // labels what the lab made in place of a driver's sidecar

	provisionerOf = "volume.kubernetes.io/storage-provisioner"
	selectedNode  = "volume.kubernetes.io/selected-node"

	proxmoxCSI = "csi.proxmox.sinextra.dev"

	volumesPath  = "/api/v1/persistentvolumes"
	roomPath     = "/apis/storage.k8s.io/v1/namespaces/kube-system/csistoragecapacities"
	capacityRoom = "10Ti" // more than any lab asks for: what datastores hold, Proxmox VE's stand-in knows
)

type claim struct {
	Metadata struct {
		Name, Namespace, UID string
		Annotations          map[string]string
	}
	Spec struct {
		StorageClassName string
		VolumeName       string
		VolumeMode       string
		AccessModes      []string
		Resources        struct{ Requests struct{ Storage string } }
	}
	Status struct {
		Phase    string
		Capacity struct{ Storage string }
	}
}

type storageClass struct {
	Metadata          struct{ Name string }
	Provisioner       string
	ReclaimPolicy     string
	VolumeBindingMode string
	MountOptions      []string
	Parameters        map[string]string
}

type volume struct {
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Spec struct {
		PersistentVolumeReclaimPolicy string
		Capacity                      struct{ Storage string }
	}
	Status struct{ Phase string }
}

type csiRoom struct{ StorageClassName string }

type csiDriver struct {
	Metadata struct{ Name string }
	Spec     struct{ StorageCapacity bool }
}

// ensureVolumes is what the sidecars of CSI drivers do, which no kubelet runs here: it makes a PersistentVolume for a
// claim that waits for one, deletes it when its claim is gone, and says that there is room. Kubernetes' own controllers
// choose the node and bind. A disk is made only for real pods (images.go), which it is also attached to, and grows for.
func (c *ControlPlane) ensureVolumes(ctx context.Context) error {
	classes, err := list[storageClass](ctx, c, "/apis/storage.k8s.io/v1/storageclasses")
	if err != nil || len(classes) == 0 {
		return err
	}

	if err = c.ensureRoom(ctx, classes); err != nil {
		return err
	}

	claims, err := list[claim](ctx, c, "/api/v1/persistentvolumeclaims")
	if err != nil {
		return err
	}

	for _, each := range claims {
		if each.Status.Phase != "Pending" || each.Spec.VolumeName != "" {
			continue
		}

		of := slices.IndexFunc(classes, func(class storageClass) bool { return class.Metadata.Name == each.Spec.StorageClassName })
		if of < 0 || each.Metadata.Annotations[provisionerOf] != classes[of].Provisioner {
			continue
		}

		if classes[of].VolumeBindingMode == "WaitForFirstConsumer" && each.Metadata.Annotations[selectedNode] == "" {
			continue
		}

		where, err := c.topology(ctx, classes[of].Provisioner, each.Metadata.Annotations[selectedNode])
		if err != nil {
			return err
		}

		made, err := c.volumeFor(each, classes[of], where)
		if err != nil {
			return err
		}

		if _, err = c.call(ctx, http.MethodPost, volumesPath, made); err != nil && statusOf(err) != http.StatusConflict {
			return err
		}
	}

	if c.binaries.Pods.Kubelet != "" {
		if err = c.serveVolumes(ctx, classes, claims); err != nil {
			return err
		}
	}
	return c.reclaim(ctx)
}

// topology is where a new volume of a driver can be used: those of Proxmox CSI only on the Proxmox host of the node that was
// chosen, as its datastore is local (CreateVolume in pkg/csi/controller.go of proxmox-csi-plugin v0.19.1); others anywhere.
func (c *ControlPlane) topology(ctx context.Context, driver, node string) ([]any, error) {
	if driver != proxmoxCSI || node == "" {
		return nil, nil
	}

	answer, err := c.call(ctx, http.MethodGet, "/api/v1/nodes/"+node, nil)
	if err != nil {
		return nil, err
	}

	var found nodeObject
	if err = json.Unmarshal(answer, &found); err != nil {
		return nil, err
	}

	var where []any
	for _, key := range []string{"topology.kubernetes.io/region", "topology.kubernetes.io/zone"} {
		where = append(where, map[string]any{"key": key, "operator": "In", "values": []any{found.Metadata.Labels[key]}})
	}
	return where, nil
}

func (c *ControlPlane) volumeFor(of claim, class storageClass, where []any) (map[string]any, error) {
	name, size := "pvc-"+of.Metadata.UID, of.Spec.Resources.Requests.Storage
	source := map[string]any{"driver": class.Provisioner, "volumeHandle": name}

	if c.binaries.Pods.Kubelet != "" {
		made, err := c.makeImage(name, class.Provisioner, size)
		if err != nil {
			return nil, err
		}
		size, source["fsType"] = made, class.fileSystem()
	}

	spec := map[string]any{
		"capacity":                      map[string]any{"storage": size},
		"accessModes":                   of.Spec.AccessModes,
		"storageClassName":              class.Metadata.Name,
		"persistentVolumeReclaimPolicy": class.ReclaimPolicy,
		"csi":                           source,
		"claimRef": map[string]any{
			"apiVersion": "v1", "kind": "PersistentVolumeClaim",
			"namespace": of.Metadata.Namespace, "name": of.Metadata.Name, "uid": of.Metadata.UID,
		},
	}

	if of.Spec.VolumeMode != "" {
		spec["volumeMode"] = of.Spec.VolumeMode
	}

	if len(class.MountOptions) > 0 {
		spec["mountOptions"] = class.MountOptions
	}

	if len(where) > 0 {
		spec["nodeAffinity"] = map[string]any{"required": map[string]any{"nodeSelectorTerms": []any{map[string]any{"matchExpressions": where}}}}
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolume", "spec": spec,
		"metadata": map[string]any{
			"name": name, "labels": map[string]any{playedBy: "lab"},
			"annotations": map[string]any{"pv.kubernetes.io/provisioned-by": class.Provisioner},
		},
	}, nil
}

// reclaim deletes what a class with the policy Delete let go, once no node has it.
func (c *ControlPlane) reclaim(ctx context.Context) error {
	volumes, err := list[volume](ctx, c, volumesPath)
	if err != nil {
		return err
	}

	attachments, err := list[attachment](ctx, c, attachmentsPath)
	if err != nil {
		return err
	}

	for _, each := range volumes {
		if each.Metadata.Labels[playedBy] == "" || each.Status.Phase != "Released" || each.Spec.PersistentVolumeReclaimPolicy != "Delete" {
			continue
		}

		if slices.ContainsFunc(attachments, func(of attachment) bool { return of.Spec.Source.PersistentVolumeName == each.Metadata.Name }) {
			continue
		}

		if _, err = c.call(ctx, http.MethodDelete, volumesPath+"/"+each.Metadata.Name, nil); err != nil && statusOf(err) != http.StatusNotFound {
			return err
		}

		if err = c.removeImage(each.Metadata.Name); err != nil {
			return err
		}
	}
	return nil
}

// ensureRoom: the scheduler gives no node to a claim whose driver tracks capacity until a CSIStorageCapacity says so.
func (c *ControlPlane) ensureRoom(ctx context.Context, classes []storageClass) error {
	drivers, err := list[csiDriver](ctx, c, "/apis/storage.k8s.io/v1/csidrivers")
	if err != nil {
		return err
	}

	known, err := list[csiRoom](ctx, c, roomPath)
	if err != nil {
		return err
	}

	for _, class := range classes {
		if slices.Contains(known, csiRoom{class.Metadata.Name}) {
			continue
		}

		tracked := slices.ContainsFunc(drivers, func(driver csiDriver) bool {
			return driver.Metadata.Name == class.Provisioner && driver.Spec.StorageCapacity
		})
		if !tracked {
			continue
		}

		_, err = c.call(ctx, http.MethodPost, roomPath, map[string]any{
			"apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity", "storageClassName": class.Metadata.Name,
			"metadata":     map[string]any{"name": "lab-" + class.Metadata.Name, "labels": map[string]any{playedBy: "lab"}},
			"nodeTopology": map[string]any{}, "capacity": capacityRoom,
		})
		if err != nil && statusOf(err) != http.StatusConflict {
			return err
		}
	}
	return nil
}

func list[T any](ctx context.Context, c *ControlPlane, path string) ([]T, error) {
	answer, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}

	var found struct{ Items []T }
	return found.Items, json.Unmarshal(answer, &found)
}
