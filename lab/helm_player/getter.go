package main

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// getter gives Helm the cluster and one namespace. What the API server serves is kept in memory: kubectl's own getter
// keeps it in files of the user's home.
type getter struct {
	config    *rest.Config
	namespace string
	served    discovery.CachedDiscoveryInterface
}

func newGetter(config *rest.Config, namespace string) *getter {
	config = rest.CopyConfig(config)
	return &getter{config, namespace, memory.NewMemCacheClient(discovery.NewDiscoveryClientForConfigOrDie(config))}
}

func (g *getter) ToRESTConfig() (*rest.Config, error) { return g.config, nil }

func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.served, nil
}

func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(g.served)
	return restmapper.NewShortcutExpander(mapper, g.served, nil), nil
}

func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: api.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*api.NewConfig(), overrides)
}
