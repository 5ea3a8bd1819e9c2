package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	origin      = "config.kubernetes.io/origin"
	fluxKind    = "Kustomization"
	fluxGroup   = "kustomize.toolkit.fluxcd.io/"
	kustomizers = "kustomization.yaml"
)

// Kustomization is what one Flux Kustomization applies.
type Kustomization struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Parent is the Kustomization whose objects hold this one; empty for a root.
	Parent  string `json:"parent"`
	Path    string `json:"path"`
	Objects []Made `json:"objects"`
	// Error is why it cannot be built; then it has no objects.
	Error string `json:"error"`
}

// Made is one object and the file of the tree that it comes from.
type Made struct {
	File   string         `json:"file"`
	Object map[string]any `json:"object"`
}

// builder builds trees one after the other, and keeps what it built of files that stay as they are.
type builder struct {
	scratch     string
	built       map[string]built
	definitions definitions
}

// build builds the roots and all Kustomizations that they hold, as kustomize-controller does.
func (b *builder) build(question Question) ([]Kustomization, error) {
	found := []Kustomization{}
	if question.Tree == "" {
		return found, nil
	}
	// Always at the same place: the paths of what was read are compared.
	scratch := filepath.Join(b.scratch, "tree")
	if err := os.RemoveAll(scratch); err != nil {
		return nil, err
	}
	// The controller's code writes into the tree that it builds.
	for _, part := range question.Parts {
		from := notHidden{os.DirFS(filepath.Join(question.Tree, part))}
		if err := os.CopyFS(filepath.Join(scratch, part), from); err != nil {
			return nil, err
		}
	}
	variables := &variables{data: question.Variables}
	type pending struct {
		object map[string]any
		parent string
	}
	seen := map[string]bool{}
	waiting := []pending{}
	for _, root := range question.Roots {
		waiting = append(waiting, pending{object: root})
	}
	for len(waiting) > 0 {
		next := waiting[0]
		waiting = waiting[1:]
		object := unstructured.Unstructured{Object: next.object}
		id := object.GetNamespace() + "/" + object.GetName()
		if seen[id] {
			continue
		}
		seen[id] = true
		path, _, _ := unstructured.NestedString(next.object, "spec", "path")
		result := Kustomization{
			Namespace: object.GetNamespace(), Name: object.GetName(), Parent: next.parent, Path: path, Objects: []Made{},
		}
		objects, err := b.one(scratch, object, variables, question.Strict)
		if err != nil {
			result.Error = strings.ReplaceAll(err.Error(), scratch, question.Tree)
		} else {
			result.Objects = objects
		}
		for _, made := range objects {
			inner := unstructured.Unstructured{Object: made.Object}
			variables.add(inner)
			if inner.GetKind() == fluxKind && strings.HasPrefix(inner.GetAPIVersion(), fluxGroup) {
				waiting = append(waiting, pending{object: made.Object, parent: id})
			}
		}
		found = append(found, result)
	}
	return found, nil
}

// one builds a single Kustomization and fills in its variables.
func (b *builder) one(tree string, object unstructured.Unstructured, variables *variables, strict bool) ([]Made, error) {
	path, _, _ := unstructured.NestedString(object.Object, "spec", "path")
	directory := filepath.Join(tree, filepath.Clean("/"+path))
	if stat, err := os.Stat(directory); err != nil || !stat.IsDir() {
		return nil, fmt.Errorf("spec.path: there is no directory %s", path)
	}
	generator := fluxkustomize.NewGenerator(tree, object)
	if _, err := generator.WriteFile(directory); err != nil {
		return nil, err
	}
	if err := withOrigins(directory); err != nil {
		return nil, err
	}
	resources, err := b.resources(tree, directory)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(tree, directory)
	if err != nil {
		return nil, err
	}
	made := []Made{}
	for _, resource := range resources.Resources() {
		file := fileOf(resource.GetAnnotations()[origin], relative)
		annotations := resource.GetAnnotations()
		delete(annotations, origin)
		if err := resource.SetAnnotations(annotations); err != nil {
			return nil, err
		}
		filled, err := fluxkustomize.SubstituteVariables(
			context.Background(), variables, object, resource, fluxkustomize.SubstituteWithStrict(strict),
		)
		if err != nil {
			return nil, fmt.Errorf("%s: %s %s: %w", file, resource.GetKind(), resource.GetName(), err)
		}
		if filled == nil {
			filled = resource
		}
		content, err := filled.Map()
		if err != nil {
			return nil, err
		}
		made = append(made, Made{File: file, Object: content})
	}
	return made, nil
}

// withOrigins makes Kustomize note the file that each object comes from.
func withOrigins(directory string) error {
	file := filepath.Join(directory, kustomizers)
	for _, name := range []string{kustomizers, "kustomization.yml", "Kustomization"} {
		if _, err := os.Stat(filepath.Join(directory, name)); err == nil {
			file = filepath.Join(directory, name)
			break
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	content := map[string]any{}
	if err := yaml.Unmarshal(text, &content); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	content["buildMetadata"] = []string{"originAnnotations"}
	changed, err := yaml.Marshal(content)
	if err != nil {
		return err
	}
	return os.WriteFile(file, changed, 0o600)
}

func fileOf(annotation string, directory string) string {
	var content struct {
		Path         string `json:"path"`
		ConfiguredIn string `json:"configuredIn"`
	}
	if yaml.Unmarshal([]byte(annotation), &content) != nil {
		return directory
	}
	if content.Path == "" {
		content.Path = content.ConfiguredIn
	}
	return filepath.Join(directory, content.Path)
}

// variables stands for the cluster from which the controller reads ConfigMaps and Secrets.
type variables struct {
	client.Client
	data map[string]map[string]string
}

// Get fills in a ConfigMap or Secret whose data were given.
func (v *variables) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	switch typed := object.(type) {
	case *corev1.ConfigMap:
		if data, ok := v.data["ConfigMap/"+key.String()]; ok {
			typed.Data = data
			return nil
		}
	case *corev1.Secret:
		if data, ok := v.data["Secret/"+key.String()]; ok {
			typed.Data = map[string][]byte{}
			for name, value := range data {
				typed.Data[name] = []byte(value)
			}
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "variables"}, key.String())
}

func (v *variables) add(object unstructured.Unstructured) {
	if object.GetAPIVersion() != "v1" || object.GetKind() != "ConfigMap" {
		return
	}
	data, ok, err := unstructured.NestedStringMap(object.Object, "data")
	if !ok || err != nil {
		return
	}
	if v.data == nil {
		v.data = map[string]map[string]string{}
	}
	v.data["ConfigMap/"+object.GetNamespace()+"/"+object.GetName()] = data
}

// notHidden leaves out what a checkout has beside its files: Git's own folder, environments, caches.
type notHidden struct{ fs.FS }

// ReadDir lists a directory without hidden entries and links.
func (n notHidden) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(n.FS, name)
	if err != nil {
		return nil, err
	}
	kept := []fs.DirEntry{}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && entry.Type()&fs.ModeSymlink == 0 {
			kept = append(kept, entry)
		}
	}
	return kept, nil
}
