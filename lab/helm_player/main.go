// helm-player plays Flux's helm-controller for the lab, where that program cannot be had: it installs, upgrades and
// uninstalls what HelmReleases say, with Helm's own library, the API's own types and Flux's own way of putting values
// together.
//
//	helm-player --kubeconfig FILE [--requeue-dependency 2s] [--concurrent 4] [--health-addr 127.0.0.1:0]
//
// It takes charts from the artifacts of the real source-controller, for which it makes HelmCharts, or that a chartRef
// names. Its kubeconfig may impersonate (`as`) the account of the real one, and so meet the same admission policies.
// Must exist before: the definitions of HelmRelease, HelmChart and OCIRepository.
//
// What it does not play it refuses by name, in the condition Stalled: see unplayed in conditions.go.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func main() {
	kubeconfig := flag.Lookup("kubeconfig")
	if kubeconfig == nil {
		flag.String("kubeconfig", "", "the cluster, and the account in it")
		kubeconfig = flag.Lookup("kubeconfig")
	}
	dependencies := flag.Duration("requeue-dependency", 2*time.Second, "how soon to look again for what is not ready")
	concurrent := flag.Int("concurrent", 4, "how many HelmReleases at the same time")
	health := flag.String("health-addr", "127.0.0.1:0", "where to answer /healthz and /readyz")
	flag.Parse()
	if err := run(kubeconfig.Value.String(), *dependencies, *concurrent, *health); err != nil {
		fmt.Fprintln(os.Stderr, "helm-player:", err)
		os.Exit(1)
	}
}

func run(kubeconfig string, dependencies time.Duration, concurrent int, health string) error {
	ctrl.SetLogger(zap.New())
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig %q: %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 100, 200
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, apiextensions.AddToScheme, sourcev1.AddToScheme, v2.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		HealthProbeBindAddress: health,
		Metrics:                server.Options{BindAddress: "0"},
		// Values of Secrets are read when they are needed, not kept.
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
		}},
	})
	if err != nil {
		return err
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	player := &player{
		Client: manager.GetClient(), config: config, mapper: manager.GetRESTMapper(), again: dependencies,
	}
	if err := player.setup(manager, concurrent); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
