package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientapi "k8s.io/client-go/tools/clientcmd/api"
)

// cluster is one API server as a kubeconfig names it. When unreachable is not empty, it says why nothing may be
// asked of the server.
type cluster struct {
	unreachable string
	namespace   string // where objects go that need a namespace and name none
	kubeconfig  clientapi.Config
	overrides   clientcmd.ConfigOverrides
	rest        *rest.Config
	dynamic     dynamic.Interface
	discovery   discovery.CachedDiscoveryInterface
	mapper      *restmapper.DeferredDiscoveryRESTMapper
}

// connect builds the clients and asks the server once. A bad kubeconfig or a dead server is not an error here: the
// operations that need the cluster refuse with the reason.
func connect(s settings) *cluster {
	c := &cluster{namespace: s.Namespace, overrides: s.overrides()}
	loaded, err := loadKubeconfig(s.Kubeconfig)
	if err != nil {
		c.unreachable = fmt.Sprintf("failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- %v", err)
		return c
	}
	c.kubeconfig = *loaded
	loader := c.loader("")
	if namespace, _, err := loader.Namespace(); err == nil {
		c.namespace = namespace
	}
	config, err := loader.ClientConfig()
	if err != nil {
		c.unreachable = fmt.Sprintf("unable to load Kubernetes client configuration from kubeconfig file: %v", err)
		return c
	}
	config.QPS, config.Burst = s.client.QPS, s.client.Burst
	config.Timeout = time.Duration(s.client.Timeout) * time.Second
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "pulumi-kubernetes/lab"
	c.rest = config
	if c.dynamic, err = dynamic.NewForConfig(config); err == nil {
		var client *discovery.DiscoveryClient
		if client, err = discovery.NewDiscoveryClientForConfig(config); err == nil {
			c.discovery = memory.NewMemCacheClient(client)
			c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
			_, err = client.ServerGroups()
		}
	}
	if err != nil {
		c.unreachable = fmt.Sprintf("unable to load schema information from the API server: %v", err)
	}
	return c
}

// loader returns the client configuration; namespace, when given, overrides the context's.
func (c *cluster) loader(namespace string) clientcmd.ClientConfig {
	overrides := c.overrides
	if namespace != "" {
		overrides.Context.Namespace = namespace
	}
	return clientcmd.NewDefaultClientConfig(c.kubeconfig, &overrides)
}

// loadKubeconfig reads a kubeconfig given as its content or as a path; an empty one means the ambient kubeconfig.
func loadKubeconfig(pathOrContent string) (*clientapi.Config, error) {
	if pathOrContent == "" {
		return clientcmd.NewDefaultClientConfigLoadingRules().Load()
	}
	return parseKubeconfig(pathOrContent)
}

func parseKubeconfig(pathOrContent string) (*clientapi.Config, error) {
	if pathOrContent == "~" || strings.HasPrefix(pathOrContent, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		pathOrContent = filepath.Join(home, strings.TrimPrefix(pathOrContent, "~"))
	}
	content := []byte(pathOrContent)
	if _, err := os.Stat(pathOrContent); err == nil {
		if content, err = os.ReadFile(pathOrContent); err != nil {
			return nil, err
		}
	}
	return clientcmd.Load(content)
}

// mapping finds the REST resource of a kind. Kinds come and go with their CRDs, so an unknown kind is asked for
// again with a fresh discovery before it counts as unknown.
func (c *cluster) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	return mapping, err
}

// client returns the REST client of an object's kind in the object's namespace.
func (c *cluster) client(obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	return c.clientFor(obj.GroupVersionKind(), obj.GetNamespace())
}

func (c *cluster) clientFor(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapping(gvk)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	if namespace == "" {
		namespace = "default"
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// exists says whether the server knows the kind.
func (c *cluster) exists(gvk schema.GroupVersionKind) bool {
	if c.unreachable != "" {
		return false
	}
	_, err := c.mapping(gvk)
	return err == nil
}

// namespaced says whether objects of a kind live in a namespace. A kind that nobody knows yet (a custom resource
// before its CRD) counts as namespaced.
func (c *cluster) namespaced(gvk schema.GroupVersionKind) bool {
	if builtIn(gvk.Group) {
		return !clusterScoped[gvk.Kind]
	}
	if c.unreachable != "" {
		return true
	}
	mapping, err := c.mapping(gvk)
	return err != nil || mapping.Scope.Name() == meta.RESTScopeNameNamespace
}

// builtIn says whether Kubernetes itself brings the API group.
func builtIn(group string) bool {
	return group == "apiextensions.k8s.io" || group == "apiregistration.k8s.io" || scheme.Scheme.IsGroupRegistered(group)
}

var clusterScoped = map[string]bool{
	"APIService": true, "CSIDriver": true, "CSINode": true, "CertificateSigningRequest": true, "ClusterRole": true,
	"ClusterRoleBinding": true, "ClusterTrustBundle": true, "ComponentStatus": true, "CustomResourceDefinition": true,
	"DeviceClass": true, "DeviceTaintRule": true, "FlowSchema": true, "IPAddress": true, "IngressClass": true,
	"MutatingAdmissionPolicy": true, "MutatingAdmissionPolicyBinding": true, "MutatingWebhookConfiguration": true,
	"Namespace": true, "Node": true, "PersistentVolume": true, "PriorityClass": true, "PriorityLevelConfiguration": true,
	"ResourceSlice": true, "RuntimeClass": true, "SelfSubjectAccessReview": true, "SelfSubjectReview": true,
	"SelfSubjectRulesReview": true, "ServiceCIDR": true, "StorageClass": true, "StorageVersion": true,
	"StorageVersionMigration": true, "SubjectAccessReview": true, "TokenReview": true, "ValidatingAdmissionPolicy": true,
	"ValidatingAdmissionPolicyBinding": true, "ValidatingWebhookConfiguration": true, "VolumeAttachment": true,
	"VolumeAttributesClass": true,
}
