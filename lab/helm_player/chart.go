package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	digest "github.com/opencontainers/go-digest"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// fetchSeconds is how long an artifact may take to arrive from a source-controller on the same machine.
const fetchSeconds = 30

// largest is more than any chart has, so that a wrong address does not fill the memory.
const largest = 64 << 20

// template makes the HelmChart that `spec.chart` describes, for source-controller to fetch.
func (p *player) template(ctx context.Context, obj *v2.HelmRelease) error {
	if !obj.HasChartTemplate() {
		return p.dropTemplate(ctx, obj)
	}
	wanted := obj.Spec.Chart
	chart := &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{
		Name: obj.GetHelmChartName(), Namespace: wanted.GetNamespace(obj.Namespace),
	}}
	key := client.ObjectKeyFromObject(chart).String()
	if obj.Status.HelmChart != "" && obj.Status.HelmChart != key {
		if err := p.dropTemplate(ctx, obj); err != nil {
			return err
		}
	}
	_, err := controllerutil.CreateOrUpdate(ctx, p.Client, chart, func() error {
		if wanted.ObjectMeta != nil {
			chart.Labels, chart.Annotations = wanted.ObjectMeta.Labels, wanted.ObjectMeta.Annotations
		}
		chart.Labels = withOrigin(chart.Labels, obj)
		chart.Spec = sourcev1.HelmChartSpec{
			Chart:   wanted.Spec.Chart,
			Version: wanted.Spec.Version,
			SourceRef: sourcev1.LocalHelmChartSourceReference{
				Kind: wanted.Spec.SourceRef.Kind, Name: wanted.Spec.SourceRef.Name,
			},
			Interval:                 wanted.GetInterval(obj.Spec.Interval),
			ReconcileStrategy:        wanted.Spec.ReconcileStrategy,
			ValuesFiles:              wanted.Spec.ValuesFiles,
			IgnoreMissingValuesFiles: wanted.Spec.IgnoreMissingValuesFiles,
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("making HelmChart %s: %w", key, err)
	}
	obj.Status.HelmChart = key
	return nil
}

// dropTemplate removes the HelmChart that was made for a HelmRelease.
func (p *player) dropTemplate(ctx context.Context, obj *v2.HelmRelease) error {
	if obj.Status.HelmChart == "" {
		return nil
	}
	namespace, name := obj.Status.GetHelmChart()
	chart := &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := p.Delete(ctx, chart); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting HelmChart %s: %w", obj.Status.HelmChart, err)
	}
	obj.Status.HelmChart = ""
	return nil
}

// source is what source-controller keeps an artifact for.
type source interface {
	client.Object
	GetConditions() []metav1.Condition
	GetArtifact() *meta.Artifact
}

// artifact is the archive of a HelmRelease's chart, once its source is ready.
func (p *player) artifact(ctx context.Context, obj *v2.HelmRelease) (*meta.Artifact, error) {
	var from source = &sourcev1.HelmChart{}
	kind, key := sourcev1.HelmChartKind, types.NamespacedName{}
	key.Namespace, key.Name = obj.Status.GetHelmChart()
	if reference := obj.Spec.ChartRef; reference != nil {
		kind, key = reference.Kind, types.NamespacedName{Namespace: reference.Namespace, Name: reference.Name}
		if key.Namespace == "" {
			key.Namespace = obj.Namespace
		}
		switch kind {
		case sourcev1.HelmChartKind:
		case sourcev1.OCIRepositoryKind:
			from = &sourcev1.OCIRepository{}
		default:
			return nil, final{"NotPlayed", "spec.chartRef.kind " + kind + " is not played by the lab's helm-player"}
		}
	}
	if err := p.Get(ctx, key, from); apierrors.IsNotFound(err) {
		return nil, waiting{v2.ArtifactFailedReason, fmt.Sprintf("could not get Source object: %s '%s' not found", kind, key)}
	} else if err != nil {
		return nil, err
	}
	ready := apimeta.FindStatusCondition(from.GetConditions(), meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != from.GetGeneration() || from.GetArtifact() == nil {
		return nil, waiting{"SourceNotReady", fmt.Sprintf("%s '%s' is not ready: %s", kind, key, reasonOf(from))}
	}
	return from.GetArtifact(), nil
}

func reasonOf(from source) string {
	ready := apimeta.FindStatusCondition(from.GetConditions(), meta.ReadyCondition)
	if ready == nil {
		return "not looked at yet"
	}
	return ready.Message
}

// load fetches an artifact, and trusts it only if it is what source-controller says.
func load(ctx context.Context, artifact *meta.Artifact) (*chartv2.Chart, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchSeconds*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, artifact.URL, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", artifact.URL, response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, largest))
	if err != nil {
		return nil, err
	}
	wanted, err := digest.Parse(artifact.Digest)
	if err != nil {
		return nil, fmt.Errorf("digest %q of the artifact: %w", artifact.Digest, err)
	}
	if found := wanted.Algorithm().FromBytes(content); found != wanted {
		return nil, fmt.Errorf("%s has digest %s, not %s", artifact.URL, found, wanted)
	}
	return loader.LoadArchive(bytes.NewReader(content))
}
