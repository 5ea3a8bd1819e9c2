package main

import (
	"bytes"
	"encoding/json"
	"sync"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/krusty"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/kio"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// origin are the labels by which Flux marks what a HelmRelease brought.
func origin(obj *v2.HelmRelease) map[string]string {
	return map[string]string{
		v2.GroupVersion.Group + "/name":      obj.Name,
		v2.GroupVersion.Group + "/namespace": obj.Namespace,
	}
}

func withOrigin(labels map[string]string, obj *v2.HelmRelease) map[string]string {
	all := origin(obj)
	for key, value := range labels {
		if _, own := all[key]; !own {
			all[key] = value
		}
	}
	return all
}

// renderer does to a chart's manifests what a HelmRelease asks for: its post-renderers in their order, its common
// metadata, and the marks of origin, which come last so that nothing replaces them.
type renderer struct{ obj *v2.HelmRelease }

func (r renderer) Run(manifests *bytes.Buffer) (*bytes.Buffer, error) {
	var err error
	for _, one := range r.obj.Spec.PostRenderers {
		if one.Kustomize != nil {
			if manifests, err = kustomized(manifests, one.Kustomize); err != nil {
				return nil, err
			}
		}
	}
	labels, annotations := map[string]string{}, map[string]string(nil)
	if common := r.obj.Spec.CommonMetadata; common != nil {
		labels, annotations = common.Labels, common.Annotations
	}
	return marked(manifests, withOrigin(labels, r.obj), annotations)
}

// marked adds labels and annotations to each object itself, and not to the pods that it describes.
func marked(manifests *bytes.Buffer, labels, annotations map[string]string) (*bytes.Buffer, error) {
	objects, err := kio.FromBytes(manifests.Bytes())
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		for key, value := range labels {
			if err := object.PipeE(kyaml.SetLabel(key, value)); err != nil {
				return nil, err
			}
		}
		for key, value := range annotations {
			if err := object.PipeE(kyaml.SetAnnotation(key, value)); err != nil {
				return nil, err
			}
		}
	}
	text, err := kio.StringAll(objects)
	return bytes.NewBufferString(text), err
}

// building is held while Kustomize builds, which it cannot do twice at a time
// (https://github.com/kubernetes-sigs/kustomize/issues/3659).
var building sync.Mutex

func kustomized(manifests *bytes.Buffer, with *v2.Kustomize) (*bytes.Buffer, error) {
	const input = "manifests.yaml"
	folder := kustypes.Kustomization{Resources: []string{input}}
	folder.APIVersion, folder.Kind = kustypes.KustomizationVersion, kustypes.KustomizationKind
	for _, patch := range with.Patches {
		folder.Patches = append(folder.Patches, kustypes.Patch{Patch: patch.Patch, Target: selector(patch.Target)})
	}
	for _, image := range with.Images {
		folder.Images = append(folder.Images, kustypes.Image{
			Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest,
		})
	}
	content, err := json.Marshal(folder)
	if err != nil {
		return nil, err
	}
	files := filesys.MakeFsInMemory()
	if err := files.WriteFile(input, manifests.Bytes()); err != nil {
		return nil, err
	}
	if err := files.WriteFile("kustomization.yaml", content); err != nil {
		return nil, err
	}
	building.Lock()
	defer building.Unlock()
	built, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: kustypes.LoadRestrictionsNone, PluginConfig: kustypes.DisabledPluginConfig(),
	}).Run(files, ".")
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	return bytes.NewBuffer(text), err
}

func selector(target *kustomize.Selector) *kustypes.Selector {
	if target == nil {
		return nil
	}
	found := &kustypes.Selector{LabelSelector: target.LabelSelector, AnnotationSelector: target.AnnotationSelector}
	found.Group, found.Version, found.Kind = target.Group, target.Version, target.Kind
	found.Name, found.Namespace = target.Name, target.Namespace
	return found
}
