package main

import (
	"context"
	"fmt"
	"time"

	"bytes"
	"errors"
	v2 "github.com/fluxcd/helm-controller/api/v2"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	"io"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldManager owns what is applied here; Helm has its own.
const fieldManager = "helm-controller"

// definitions applies the CRDs of a chart's directory `crds` and of its enabled subcharts', which Helm itself makes once
// and never changes: not at all (Skip), where they are missing (Create, the default), or always (CreateReplace).
func (p *player) definitions(
	ctx context.Context, obj *v2.HelmRelease, chart *chartv2.Chart, values common.Values, policy v2.CRDsPolicy,
) error {
	if policy == v2.Skip || len(chart.CRDObjects()) == 0 {
		return nil
	}
	if err := util.ProcessDependencies(chart, values); err != nil {
		return err
	}
	var names []string
	for _, file := range chart.CRDObjects() {
		documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(file.File.Data), 4096)
		for {
			crd := &unstructured.Unstructured{}
			err := documents.Decode(&crd.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("reading %s: %w", file.Name, err)
			}
			if crd.GetKind() != "CustomResourceDefinition" {
				continue
			}
			crd.SetLabels(withOrigin(crd.GetLabels(), obj))
			if err := p.define(ctx, crd, policy); err != nil {
				return fmt.Errorf("failed to apply CustomResourceDefinition %s: %w", crd.GetName(), err)
			}
			names = append(names, crd.GetName())
		}
	}
	return p.served(ctx, names)
}

func (p *player) define(ctx context.Context, crd *unstructured.Unstructured, policy v2.CRDsPolicy) error {
	if policy == v2.CreateReplace {
		return p.Apply(ctx, client.ApplyConfigurationFromUnstructured(crd), client.ForceOwnership, client.FieldOwner(fieldManager))
	}
	if err := p.Create(ctx, crd, client.FieldOwner(fieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// served waits until the API server serves the kinds, and has this process ask it for them again.
func (p *player) served(ctx context.Context, names []string) error {
	for _, name := range names {
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			crd := &apiextensions.CustomResourceDefinition{}
			if err := p.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
				return false, client.IgnoreNotFound(err)
			}
			for _, condition := range crd.Status.Conditions {
				if condition.Type == apiextensions.Established && condition.Status == apiextensions.ConditionTrue {
					return true, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return fmt.Errorf("CustomResourceDefinition %s is not established: %w", name, err)
		}
	}
	return nil
}
