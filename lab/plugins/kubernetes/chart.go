package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/downloader"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// loadChart finds a release's chart (a directory, an archive, a name in a repository, an OCI reference), loads it
// with its dependencies, and returns it with its path.
func (p *provider) loadChart(r *release) (*helmchart.Chart, string, error) {
	path, err := p.locateChart(r)
	if err != nil {
		return nil, "", err
	}
	chart, err := loader.Load(path)
	if err != nil {
		return nil, "", err
	}
	err = action.CheckDependencies(chart, chart.Metadata.Dependencies)
	if err == nil || len(chart.Metadata.Dependencies) == 0 {
		return chart, path, nil
	}
	if !r.DependencyUpdate {
		return nil, "", err
	}
	client, err := p.registryClient(r)
	if err != nil {
		return nil, "", err
	}
	update := &downloader.Manager{
		Out: io.Discard, ChartPath: path, Keyring: r.Keyring, Getters: getter.All(p.settings.helm),
		RepositoryConfig: p.settings.helm.RepositoryConfig, RepositoryCache: p.settings.helm.RepositoryCache,
		RegistryClient: client,
	}
	if err := update.Update(); err != nil {
		return nil, "", err
	}
	chart, err = loader.Load(path)
	return chart, path, err
}

// locateChart returns the local path of the chart, which it downloads when it lies elsewhere. A directory counts
// only with a Chart.yaml; one without may be the name of a repository.
func (p *provider) locateChart(r *release) (string, error) {
	name, source := strings.TrimSpace(r.Chart), repositoryOpts{}
	if r.RepositoryOpts != nil {
		source = *r.RepositoryOpts
	}
	repository := ""
	if source.Repo != "" && !registry.IsOCI(name) {
		if _, err := url.ParseRequestURI(source.Repo); err == nil {
			repository = source.Repo
		} else if !strings.Contains(name, "/") {
			name = source.Repo + "/" + name
		}
	}
	if repository == "" {
		if info, err := os.Stat(name); err == nil {
			_, missing := os.Stat(filepath.Join(name, "Chart.yaml"))
			if !info.IsDir() || missing == nil {
				if r.Verify {
					if _, err := downloader.VerifyChart(name, r.Keyring); err != nil {
						return "", err
					}
				}
				return filepath.Abs(name)
			}
		}
		if filepath.IsAbs(name) || strings.HasPrefix(name, ".") {
			return "", fmt.Errorf("path %q not found", name)
		}
	}
	return p.download(r, source, repository, name)
}

func (p *provider) download(r *release, source repositoryOpts, repository, name string) (string, error) {
	client, err := p.registryClient(r)
	if err != nil {
		return "", err
	}
	h := p.settings.helm
	get := downloader.ChartDownloader{
		Out: io.Discard, Keyring: r.Keyring, Getters: getter.All(h), RegistryClient: client,
		RepositoryConfig: h.RepositoryConfig, RepositoryCache: h.RepositoryCache,
		Options: []getter.Option{getter.WithTLSClientConfig(source.CertFile, source.KeyFile, source.CAFile)},
	}
	if r.Verify {
		get.Verify = downloader.VerifyAlways
	}
	if registry.IsOCI(name) {
		get.Options = append(get.Options, getter.WithRegistryClient(client))
	}
	username, password := source.Username, source.Password
	if repository != "" {
		found, err := repo.FindChartInAuthAndTLSAndPassRepoURL(repository, username, password, name, r.wantedVersion(),
			source.CertFile, source.KeyFile, source.CAFile, false, false, getter.All(h))
		if err != nil {
			return "", err
		}
		// Credentials of the repository are for its own host only.
		if !sameHost(repository, found) {
			username, password = "", ""
		}
		name = found
	}
	get.Options = append(get.Options, getter.WithBasicAuth(username, password))
	if err := os.MkdirAll(h.RepositoryCache, 0o755); err != nil {
		return "", err
	}
	path, _, err := get.DownloadTo(name, r.wantedVersion(), h.RepositoryCache)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

func sameHost(a, b string) bool {
	x, errA := url.Parse(a)
	y, errB := url.Parse(b)
	return errA == nil && errB == nil && x.Scheme == y.Scheme && x.Host == y.Host
}

func (p *provider) registryClient(r *release) (*registry.Client, error) {
	options := []registry.ClientOption{
		registry.ClientOptWriter(io.Discard), registry.ClientOptEnableCache(true),
		registry.ClientOptCredentialsFile(p.settings.helm.RegistryConfig),
	}
	if o := r.RepositoryOpts; o != nil && o.Username != "" && o.Password != "" {
		options = append(options, registry.ClientOptBasicAuth(o.Username, o.Password))
	}
	return registry.NewClient(options...)
}

// actions returns what Helm's actions need to work in a namespace.
func (p *provider) actions(namespace string) (*action.Configuration, error) {
	if p.cluster.rest == nil {
		return nil, errors.New(p.cluster.unreachable)
	}
	conf := new(action.Configuration)
	// Helm's debug log repeats manifests, and with them secrets.
	silent := func(string, ...any) {}
	err := conf.Init(&restGetter{p.cluster, namespace}, namespace, p.settings.helmDriver, silent)
	return conf, err
}

// restGetter hands a cluster to Helm, with the release's namespace as the default of its objects.
type restGetter struct {
	cluster   *cluster
	namespace string
}

func (g *restGetter) ToRESTConfig() (*rest.Config, error) {
	return rest.CopyConfig(g.cluster.rest), nil
}

func (g *restGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	config := rest.CopyConfig(g.cluster.rest)
	config.Burst = max(config.Burst, 100)
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return memory.NewMemCacheClient(client), nil
}

func (g *restGetter) ToRESTMapper() (meta.RESTMapper, error) {
	client, err := g.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(client)
	return restmapper.NewShortcutExpander(mapper, client, nil), nil
}

func (g *restGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return g.cluster.loader(g.namespace)
}
