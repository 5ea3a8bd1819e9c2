package main

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// immutable lists, by API group and kind, the fields that the API server lets nobody change: another value means
// another object. A star stands for every element of a list.
var immutable = map[string][]string{
	"apps/DaemonSet":  {"spec.selector"},
	"apps/Deployment": {"spec.selector"},
	"apps/StatefulSet": {
		"spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector", "spec.serviceName",
		"spec.volumeClaimTemplates",
	},
	"batch/Job": {"spec.completions", "spec.parallelism", "spec.selector", "spec.template"},
	"/PersistentVolume": {
		"spec.awsElasticBlockStore", "spec.azureDisk", "spec.azureFile", "spec.cephfs", "spec.cinder", "spec.csi",
		"spec.fc", "spec.flexVolume", "spec.flocker", "spec.gcePersistentDisk", "spec.glusterfs", "spec.hostPath",
		"spec.iscsi", "spec.local", "spec.nfs", "spec.photonPersistentDisk", "spec.portworxVolume", "spec.quobyte",
		"spec.rbd", "spec.scaleIO", "spec.storageos", "spec.vsphereVolume",
	},
	"/PersistentVolumeClaim": {
		"spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName",
	},
	"/Pod": append(append([]string{
		"spec.affinity", "spec.automountServiceAccountToken", "spec.dnsConfig", "spec.dnsPolicy",
		"spec.enableServiceLinks", "spec.hostAliases", "spec.hostIPC", "spec.hostNetwork", "spec.hostPID",
		"spec.hostname", "spec.imagePullSecrets", "spec.nodeName", "spec.nodeSelector", "spec.overhead",
		"spec.preemptionPolicy", "spec.priority", "spec.priorityClassName", "spec.readinessGates",
		"spec.restartPolicy", "spec.runtimeClassName", "spec.schedulerName", "spec.securityContext",
		"spec.serviceAccount", "spec.serviceAccountName", "spec.shareProcessNamespace", "spec.subdomain",
		"spec.terminationGracePeriodSeconds", "spec.volumes",
	}, containerFields("spec.containers.*")...), containerFields("spec.initContainers.*")...),
	"/ResourceQuota": {"spec.scopes"},
	"/Service":       {"spec.clusterIP"},
	"rbac.authorization.k8s.io/ClusterRoleBinding": {"roleRef"},
	"rbac.authorization.k8s.io/RoleBinding":        {"roleRef"},
	"storage.k8s.io/StorageClass":                  {"parameters", "provisioner"},
}

func containerFields(prefix string) []string {
	var paths []string
	for _, field := range []string{
		"args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports", "readinessProbe",
		"resources", "securityContext", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy",
		"tty", "volumeDevices", "volumeMounts", "workingDir",
	} {
		paths = append(paths, prefix+"."+field)
	}
	return paths
}

// immutablePaths returns the paths of an object whose change replaces it. By default the contents of a ConfigMap
// or Secret are among them, so that whoever uses it is rolled; the provider's settings turn that off.
func immutablePaths(obj *unstructured.Unstructured, s settings) []string {
	paths := []string{"metadata.name", "metadata.namespace"}
	sealed, _, _ := unstructured.NestedBool(obj.Object, "immutable")
	gvk := obj.GroupVersionKind()
	switch key := gvk.Group + "/" + gvk.Kind; key {
	case "/ConfigMap":
		if sealed || !s.mutableConfigMaps {
			paths = append(paths, "data", "binaryData")
		}
	case "/Secret":
		paths = append(paths, "type")
		if sealed || !s.mutableSecrets {
			paths = append(paths, "data", "stringData")
		}
	default:
		paths = append(paths, immutable[key]...)
	}
	return paths
}
