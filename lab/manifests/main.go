// Manifests answers what only the code of Flux and of the API server can tell about objects that exist nowhere yet.
//
// It reads questions as JSON from standard input until that ends, and prints an answer as JSON for each: what each Flux
// Kustomization applies after build and substitution, which of some pods Pod Security admission would refuse, and what an
// API server would say of custom resources. It asks no cluster and writes only below a directory of its own that it
// removes.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Question is everything that is asked in one call.
type Question struct {
	// Tree is the directory that the Git source holds; empty if there is none.
	Tree string `json:"tree"`
	// Parts are the folders of it that are looked at.
	Parts []string `json:"parts"`
	// Roots are the Flux Kustomizations that something other than the tree applies.
	Roots []map[string]any `json:"roots"`
	// Variables are the data of ConfigMaps and Secrets, by kind/namespace/name.
	Variables map[string]map[string]string `json:"variables"`
	// Strict refuses a variable that nothing sets, as kustomize-controller with StrictPostBuildSubstitutions does.
	Strict    bool             `json:"strict"`
	Pods      []Pod            `json:"pods"`
	CRDs      []map[string]any `json:"crds"`
	Resources []Resource       `json:"resources"`
}

// Answer is what Manifests prints.
type Answer struct {
	Kustomizations []Kustomization   `json:"kustomizations"`
	Pods           map[string][]Fact `json:"pods"`
	Resources      map[string][]Fact `json:"resources"`
	// Error is why there is no answer.
	Error string `json:"error"`
}

// Fact is one violation: what was looked at, and what is wrong with it.
type Fact struct {
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

func main() {
	if err := converse(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// converse answers one question after the other.
func converse(questions io.Reader, answers io.Writer) error {
	scratch, err := os.MkdirTemp("", "manifests-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	builder := &builder{scratch: scratch, built: map[string]built{}, definitions: definitions{}}
	decoder, encoder := json.NewDecoder(questions), json.NewEncoder(answers)
	for {
		var question Question
		err := decoder.Decode(&question)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the question is no JSON of the expected form: %w", err)
		}
		answer, err := builder.answered(question)
		if err != nil {
			answer = &Answer{Error: err.Error()}
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
}

func (b *builder) answered(question Question) (*Answer, error) {
	built, err := b.build(question)
	if err != nil {
		return nil, err
	}
	pods, err := refused(question.Pods)
	if err != nil {
		return nil, err
	}
	kinds, err := b.definitions.kinds(question.CRDs)
	if err != nil {
		return nil, err
	}
	return &Answer{Kustomizations: built, Pods: pods, Resources: validated(kinds, question.Resources)}, nil
}
