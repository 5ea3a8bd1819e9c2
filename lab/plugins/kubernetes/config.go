package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"helm.sh/helm/v3/pkg/cli"
	"k8s.io/client-go/tools/clientcmd"
	clientapi "k8s.io/client-go/tools/clientcmd/api"
)

// settings is the provider's configuration.
type settings struct {
	Kubeconfig        string
	Context           string
	Cluster           string
	Namespace         string
	deleteUnreachable bool
	skipUnreachable   bool
	mutableConfigMaps bool
	mutableSecrets    bool
	patchForce        bool
	upsert            bool
	client            clientSettings
	helm              *cli.EnvSettings
	helmDriver        string
}

// clientSettings tunes the API client; Timeout is in seconds.
type clientSettings struct {
	Burst   int     `json:"burst"`
	QPS     float32 `json:"qps"`
	Timeout int     `json:"timeout"`
}

// helmSettings says where Helm keeps what it knows; an empty entry means Helm's own default.
type helmSettings struct {
	Driver               string `json:"driver"`
	PluginsPath          string `json:"pluginsPath"`
	RegistryConfigPath   string `json:"registryConfigPath"`
	RepositoryCache      string `json:"repositoryCache"`
	RepositoryConfigPath string `json:"repositoryConfigPath"`
}

// configKeys are the provider's inputs; each flag names the environment variable that stands in for it.
var configKeys = map[string]string{
	"cluster": "", "clusterIdentifier": "", "context": "", "kubeconfig": "", "namespace": "",
	"helmReleaseSettings": "", "kubeClientSettings": "", "renderYamlToDirectory": "", "alwaysRender": "",
	"deleteUnreachable":           "PULUMI_K8S_DELETE_UNREACHABLE",
	"enableConfigMapMutable":      "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
	"enablePatchForce":            "PULUMI_K8S_ENABLE_PATCH_FORCE",
	"enableSecretMutable":         "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
	"enableServerSideApply":       "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
	"skipUpdateUnreachable":       "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
	"suppressDeprecationWarnings": "PULUMI_K8S_SUPPRESS_DEPRECATION_WARNINGS",
	"suppressHelmHookWarnings":    "PULUMI_K8S_SUPPRESS_HELM_HOOK_WARNINGS",
	"upsertExistingObjects":       "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
}

// CheckConfig refuses what the stand-in does not do, and inputs that nobody knows.
func (p *provider) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	news = openSecrets(news)
	var failures []*pulumirpc.CheckFailure
	refuse := func(property, reason string) {
		failures = append(failures, &pulumirpc.CheckFailure{Property: property, Reason: reason})
	}
	for _, key := range sortedKeys(news) {
		if _, known := configKeys[key]; !known && key != "version" && key != "pluginDownloadURL" &&
			key != "pluginChecksums" && key != "parameterization" && !strings.HasPrefix(key, "__") {
			refuse(key, "kubernetes.Provider has no such input; remove it")
		}
	}
	if truthy(news["renderYamlToDirectory"]) || truthy(news["alwaysRender"]) {
		refuse("renderYamlToDirectory", "the lab's stand-in applies to a cluster and renders no YAML; remove it")
	}
	if v := news["enableServerSideApply"]; v.HasValue() && !v.IsComputed() && !truthy(v) {
		refuse("enableServerSideApply", "the lab's stand-in knows server-side apply only; remove it or set it to true")
	}
	return &pulumirpc.CheckResponse{Inputs: req.GetNews(), Failures: failures}, nil
}

// truthy reads a flag that a program gives as a bool and the Python SDK sends as JSON.
func truthy(v resource.PropertyValue) bool {
	return v.IsBool() && v.BoolValue() || v.IsString() && v.StringValue() != "" && v.StringValue() != "false"
}

// DiffConfig decides whether another configuration means another cluster, and so new objects. Only a changed
// clusterIdentifier does when there is one; else a change of the active cluster's entry in the kubeconfig.
func (p *provider) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	olds, news = openSecrets(olds), openSecrets(news)
	diff := olds.Diff(news)
	if diff == nil {
		return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
	}
	resp := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_SOME}
	for _, key := range diff.ChangedKeys() {
		resp.Diffs = append(resp.Diffs, string(key))
	}
	sort.Strings(resp.Diffs)
	if diff.Updated("clusterIdentifier") {
		resp.Replaces = append(resp.Replaces, "clusterIdentifier")
	}
	identified := diff.Same("clusterIdentifier") && news.HasValue("clusterIdentifier")
	unknown := false
	for _, key := range []string{"kubeconfig", "context", "cluster"} {
		if news[resource.PropertyKey(key)].IsComputed() {
			unknown = true
			if !identified {
				resp.Replaces = append(resp.Replaces, key)
			}
		}
	}
	if identified || unknown {
		return resp, nil
	}
	oldCluster, err := activeCluster(olds)
	if err != nil {
		return nil, err
	}
	newCluster, err := activeCluster(news)
	if err != nil {
		return nil, err
	}
	if oldCluster != nil && newCluster != nil && !reflect.DeepEqual(oldCluster, newCluster) {
		for _, key := range []string{"kubeconfig", "context", "cluster"} {
			if slices.Contains(resp.Diffs, key) {
				resp.Replaces = append(resp.Replaces, key)
			}
		}
	}
	return resp, nil
}

// activeCluster returns the cluster entry that a provider configuration selects; nil when it selects none.
func activeCluster(config resource.PropertyMap) (*clientapi.Cluster, error) {
	v := config["kubeconfig"]
	var content string
	switch {
	case v.IsString():
		content = v.StringValue()
	case v.IsObject():
		raw, err := json.Marshal(plain(v))
		if err != nil {
			return nil, fmt.Errorf("failed to parse kubeconfig: %w", err)
		}
		content = string(raw)
	}
	if content == "" {
		return nil, nil
	}
	parsed, err := parseKubeconfig(content)
	if err != nil {
		return nil, fmt.Errorf("failed to parse kubeconfig: %w", err)
	}
	name := parsed.CurrentContext
	if v := config["context"]; v.IsString() && v.StringValue() != "" {
		name = v.StringValue()
	}
	active := parsed.Contexts[name]
	if active == nil {
		return nil, nil
	}
	if v := config["cluster"]; v.IsString() && v.StringValue() != "" {
		return parsed.Clusters[v.StringValue()], nil
	}
	return parsed.Clusters[active.Cluster], nil
}

// parseSettings reads the flat configuration that the engine sends with Configure.
func parseSettings(vars map[string]string) (settings, error) {
	get := func(key string) string { return vars["kubernetes:config:"+key] }
	flag := func(key string) bool {
		if v, set := vars["kubernetes:config:"+key]; set {
			return v == "true"
		}
		return os.Getenv(configKeys[key]) == "true"
	}
	s := settings{
		Kubeconfig:        get("kubeconfig"),
		Context:           get("context"),
		Cluster:           get("cluster"),
		Namespace:         get("namespace"),
		deleteUnreachable: flag("deleteUnreachable"),
		skipUnreachable:   flag("skipUpdateUnreachable"),
		mutableConfigMaps: flag("enableConfigMapMutable"),
		mutableSecrets:    flag("enableSecretMutable"),
		patchForce:        flag("enablePatchForce"),
		upsert:            flag("upsertExistingObjects"),
		client:            clientSettings{Burst: 120, QPS: 50},
		helm:              cli.New(),
		helmDriver:        "secret",
	}
	if raw := get("kubeClientSettings"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &s.client); err != nil {
			return s, fmt.Errorf("failed to unmarshal kubeClientSettings option: %w", err)
		}
	}
	var h helmSettings
	if raw := get("helmReleaseSettings"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &h); err != nil {
			return s, fmt.Errorf("failed to unmarshal helmReleaseSettings option: %w", err)
		}
	}
	setFirst(&s.helmDriver, h.Driver, os.Getenv("PULUMI_K8S_HELM_DRIVER"))
	setFirst(&s.helm.PluginsDirectory, h.PluginsPath, os.Getenv("PULUMI_K8S_HELM_PLUGINS_PATH"))
	setFirst(&s.helm.RegistryConfig, h.RegistryConfigPath, os.Getenv("PULUMI_K8S_HELM_REGISTRY_CONFIG_PATH"))
	setFirst(&s.helm.RepositoryConfig, h.RepositoryConfigPath, os.Getenv("PULUMI_K8S_HELM_REPOSITORY_CONFIG_PATH"))
	setFirst(&s.helm.RepositoryCache, h.RepositoryCache, os.Getenv("PULUMI_K8S_HELM_REPOSITORY_CACHE"))
	return s, nil
}

// setFirst assigns the first value that is not empty, if any.
func setFirst(target *string, values ...string) {
	for _, v := range values {
		if v != "" {
			*target = v
			return
		}
	}
}

func (s settings) overrides() clientcmd.ConfigOverrides {
	return clientcmd.ConfigOverrides{
		Context:        clientapi.Context{Cluster: s.Cluster, Namespace: s.Namespace},
		CurrentContext: s.Context,
	}
}
