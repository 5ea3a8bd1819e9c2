package main

import (
	"fmt"
	"hash/fnv"
	"strings"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/kustomize/filesys"
	"sigs.k8s.io/kustomize/api/resmap"
	kyaml "sigs.k8s.io/kustomize/kyaml/filesys"
)

// built is what Kustomize made of a directory, and what it had read then.
type built struct {
	resources resmap.ResMap
	seen      map[string]uint64
}

// resources builds a directory, or gives back what was built of it before, if every file that was read then is the same.
//
// Most of the time of a build goes into the API's schema, which Flux's code parses for each one.
func (b *builder) resources(tree string, directory string) (resmap.ResMap, error) {
	disk, err := filesys.MakeFsOnDiskSecure(tree)
	if err != nil {
		return nil, err
	}
	known, ok := b.built[directory]
	if ok && (&reading{FileSystem: disk}).same(known.seen) {
		return known.resources.DeepCopy(), nil
	}
	traced := &reading{FileSystem: disk, seen: map[string]uint64{}}
	resources, err := fluxkustomize.Build(traced, directory)
	if err != nil {
		return nil, err
	}
	b.built[directory] = built{resources.DeepCopy(), traced.seen}
	return resources, nil
}

// reading notes what is read, as a digest of each answer.
type reading struct {
	kyaml.FileSystem
	seen map[string]uint64
}

// same says whether every answer is still what it was.
func (r *reading) same(seen map[string]uint64) bool {
	for asked, digest := range seen {
		kind, path, _ := strings.Cut(asked, " ")
		if r.digest(kind, path) != digest {
			return false
		}
	}
	return true
}

func (r *reading) note(kind string, path string) {
	if r.seen != nil {
		r.seen[kind+" "+path] = r.digest(kind, path)
	}
}

func (r *reading) digest(kind string, path string) uint64 {
	sum := fnv.New64a()
	var answer any
	var err error
	switch kind {
	case "file":
		answer, err = r.FileSystem.ReadFile(path)
	case "directory":
		answer, err = r.FileSystem.ReadDir(path)
	case "glob":
		answer, err = r.FileSystem.Glob(path)
	default:
		answer = []bool{r.FileSystem.Exists(path), r.FileSystem.IsDir(path)}
	}
	fmt.Fprintf(sum, "%q %v", answer, err)
	return sum.Sum64()
}

// ReadFile reads a file.
func (r *reading) ReadFile(path string) ([]byte, error) {
	r.note("file", path)
	return r.FileSystem.ReadFile(path)
}

// ReadDir lists a directory.
func (r *reading) ReadDir(path string) ([]string, error) {
	r.note("directory", path)
	return r.FileSystem.ReadDir(path)
}

// Glob lists what fits a pattern.
func (r *reading) Glob(pattern string) ([]string, error) {
	r.note("glob", pattern)
	return r.FileSystem.Glob(pattern)
}

// Exists says whether there is a file or a directory.
func (r *reading) Exists(path string) bool {
	r.note("kind", path)
	return r.FileSystem.Exists(path)
}

// IsDir says whether it is a directory.
func (r *reading) IsDir(path string) bool {
	r.note("kind", path)
	return r.FileSystem.IsDir(path)
}
