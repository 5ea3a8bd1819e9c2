package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmrelease "helm.sh/helm/v3/pkg/release"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// progressPause is how often a running install or upgrade is looked at.
const progressPause = 2 * time.Second

// unavailable describes the failure of a release that exists, with the parts of it that are not ready.
func (p *provider) unavailable(ctx context.Context, r *release, installed *helmrelease.Release, cause string) error {
	reasons := p.notReady(context.WithoutCancel(ctx), installed, r.WaitForJobs)
	message := fmt.Sprintf("failed to become available within allocated timeout. Error: Helm Release %s: %s", r.id(), cause)
	if len(reasons) > 0 {
		message += "; not ready: " + strings.Join(reasons, "; ")
	}
	return errors.New(message)
}

// reportProgress shows, until it is told to stop, what a running install or upgrade waits for.
func (p *provider) reportProgress(ctx context.Context, urn string, conf *action.Configuration, r *release) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for sleep(ctx, progressPause) {
			current, err := conf.Releases.Last(r.Name)
			if err != nil {
				continue
			}
			if waits := p.notReady(ctx, current, r.WaitForJobs); len(waits) > 0 {
				p.host.status(urn, "waiting for "+strings.Join(waits, ", "))
			}
		}
	}()
	return func() {
		cancel()
		<-finished
		p.host.status(urn, "")
	}
}

// notReady names the objects of a release that its wait would wait for, and how far they are.
func (p *provider) notReady(ctx context.Context, installed *helmrelease.Release, jobs bool) []string {
	var waits []string
	for _, obj := range manifestObjects(installed) {
		w := &waiter{cluster: p.cluster}
		check := w.probe(obj)
		kind := obj.GetKind()
		if check == nil || kind == "Ingress" || kind == "Job" && !jobs {
			continue
		}
		if obj.GetNamespace() == "" {
			obj.SetNamespace(installed.Namespace)
		}
		client, err := p.cluster.client(obj)
		if err != nil {
			continue
		}
		live, err := client.Get(ctx, obj.GetName(), metav1.GetOptions{})
		if err != nil {
			waits = append(waits, fmt.Sprintf("%s %s: not found", kind, obj.GetName()))
			continue
		}
		if kind == "Service" {
			if live.Object["spec"].(map[string]any)["type"] == "LoadBalancer" && !hasAddress(live) {
				waits = append(waits, fmt.Sprintf("Service %s: no IP address", obj.GetName()))
			}
			continue
		}
		if last := check(ctx, live); !last.ready {
			waits = append(waits, fmt.Sprintf("%s %s: %s", kind, obj.GetName(), last.progress))
		}
	}
	return waits
}
