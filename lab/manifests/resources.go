package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Resource is a custom resource to validate.
type Resource struct {
	ID     string         `json:"id"`
	Object map[string]any `json:"object"`
}

type served struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

// definitions keeps what was made of definitions, by their content: the expressions of one take a while to compile.
type definitions map[string]map[string]served

// kinds are those that some definitions serve, by API version and kind.
func (d definitions) kinds(contents []map[string]any) (map[string]served, error) {
	found := map[string]served{}
	for _, content := range contents {
		text, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		known, ok := d[string(text)]
		if !ok {
			known = map[string]served{}
			if err := serve(content, known); err != nil {
				return nil, err
			}
			d[string(text)] = known
		}
		maps.Copy(found, known)
	}
	return found, nil
}

// validated says what an API server that serves these kinds would refuse or drop, expressions included.
func validated(kinds map[string]served, resources []Resource) map[string][]Fact {
	found := map[string][]Fact{}
	var root *field.Path // none: a path without a name would be written as an index
	for _, resource := range resources {
		kind, ok := kinds[fmt.Sprint(resource.Object["apiVersion"], "/", resource.Object["kind"])]
		if !ok {
			continue
		}
		object, err := asServed(resource.Object)
		if err != nil {
			found[resource.ID] = append(found[resource.ID], Fact{"", err.Error()})
			continue
		}
		for _, name := range pruning.PruneWithOptions(
			runtime.DeepCopyJSON(object), kind.structural, true,
			structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true},
		) {
			found[resource.ID] = append(found[resource.ID], Fact{"unknown field", name})
		}
		content := object
		defaulting.Default(content, kind.structural)
		errors := validation.ValidateCustomResource(nil, content, kind.validator)
		if kind.rules != nil {
			more, _ := kind.rules.Validate(
				context.Background(), root, kind.structural, content, nil, celconfig.RuntimeCELCostBudget,
			)
			errors = append(errors, more...)
		}
		for _, problem := range errors {
			found[resource.ID] = append(found[resource.ID], Fact{problem.Field, problem.ErrorBody()})
		}
	}
	return found
}

// asServed is an object as an API server reads it: a whole number is an integer, which rules compare with integers alone.
func asServed(object map[string]any) (map[string]any, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var read map[string]any
	return read, utiljson.Unmarshal(text, &read)
}

func serve(content map[string]any, kinds map[string]served) error {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &definition); err != nil {
		return err
	}
	for _, version := range definition.Spec.Versions {
		if !version.Served || version.Schema == nil {
			continue
		}
		internal := &apiextensions.CustomResourceValidation{}
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
			version.Schema, internal, nil,
		); err != nil {
			return fmt.Errorf("%s %s: %w", definition.Name, version.Name, err)
		}
		structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("%s %s: %w", definition.Name, version.Name, err)
		}
		validator, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("%s %s: %w", definition.Name, version.Name, err)
		}
		name := definition.Spec.Group + "/" + version.Name + "/" + definition.Spec.Names.Kind
		kinds[name] = served{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	}
	return nil
}
