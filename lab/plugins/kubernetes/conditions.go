package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

// conditions are the expressions of a waitFor annotation; all of them must hold.
type conditions []func(*unstructured.Unstructured) (holds bool, found string)

func (c conditions) check(obj *unstructured.Unstructured) verdict {
	for _, holds := range c {
		if ok, found := holds(obj); !ok {
			return verdict{progress: found}
		}
	}
	return verdict{ready: true}
}

// parseConditions reads a waitFor annotation: one expression, or a JSON list of them. An expression is
// condition=<type>[=<status>] or jsonpath={<path>}[=<value>]. An empty text has none.
func parseConditions(text string) (conditions, error) {
	if text == "" {
		return nil, nil
	}
	var expressions []string
	if err := json.Unmarshal([]byte(text), &expressions); err != nil {
		expressions = []string{text}
	}
	if len(expressions) == 0 {
		return nil, fmt.Errorf("at least one condition must be specified")
	}
	var all conditions
	for _, expression := range expressions {
		kind, rest, _ := strings.Cut(expression, "=")
		switch kind {
		case "condition":
			name, status, given := strings.Cut(rest, "=")
			if !given {
				status = "True"
			}
			all = append(all, func(obj *unstructured.Unstructured) (bool, string) { return hasCondition(obj, name, status) })
		case "jsonpath":
			holds, err := parseJSONPath(rest)
			if err != nil {
				return nil, err
			}
			all = append(all, holds)
		default:
			return nil, fmt.Errorf(`expected a "jsonpath=" or "condition=" prefix, got %q`, expression)
		}
	}
	return all, nil
}

// condition returns the entry of a type in status.conditions; nil when there is none.
func condition(obj *unstructured.Unstructured, name string) map[string]any {
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, entry := range list {
		if c, ok := entry.(map[string]any); ok {
			if kind, _ := c["type"].(string); strings.EqualFold(kind, name) {
				return c
			}
		}
	}
	return nil
}

// hasCondition compares a condition's status; one that was observed before the object's last change does not count.
func hasCondition(obj *unstructured.Unstructured, name, want string) (bool, string) {
	c := condition(obj, name)
	if c == nil {
		return false, "it has no condition " + name
	}
	observed, found, _ := unstructured.NestedInt64(c, "observedGeneration")
	if !found {
		observed, found, _ = unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	}
	if found && observed < obj.GetGeneration() {
		return false, fmt.Sprintf("condition %s is of generation %d, not %d", name, observed, obj.GetGeneration())
	}
	status, _ := c["status"].(string)
	return strings.EqualFold(status, want), strings.TrimSpace(fmt.Sprintf("condition %s is %s, not %s %v",
		name, status, want, orEmpty(c["message"])))
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// parseJSONPath takes {<path>} or {<path>}=<value>, as kubectl get does: braces are needed, quotes are not.
func parseJSONPath(text string) (func(*unstructured.Unstructured) (bool, string), error) {
	const double = "\x00"
	parts := strings.Split(strings.ReplaceAll(text, "==", double), "=")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], double, "==")
	}
	path, want := parts[0], ""
	switch {
	case len(parts) > 2:
		return nil, fmt.Errorf("format should be {.path}=value or {.path}, got %q", text)
	case len(parts) == 2 && parts[1] == "":
		return nil, fmt.Errorf("%s= requires a value", path)
	case len(parts) == 2:
		want = parts[1]
	}
	if strings.HasPrefix(path, "'") {
		return nil, fmt.Errorf("%s should omit shell quotes", path)
	}
	if !strings.HasPrefix(path, "{") || !strings.HasSuffix(path, "}") {
		return nil, fmt.Errorf("%s should be wrapped in brackets { ... }", path)
	}
	if err := jsonpath.New("waitFor").Parse(path); err != nil {
		return nil, fmt.Errorf("parsing %q: %w", path, err)
	}
	return func(obj *unstructured.Unstructured) (bool, string) {
		// A parser keeps state while it walks, so every look has its own.
		parser := jsonpath.New("waitFor")
		if err := parser.Parse(path); err != nil {
			return false, err.Error()
		}
		results, err := parser.FindResults(obj.Object)
		if err != nil || len(results) == 0 || len(results[0]) == 0 {
			return false, path + " selected nothing"
		}
		if want == "" {
			return true, ""
		}
		var found bytes.Buffer
		if err := parser.PrintResults(&found, results[0][:1]); err != nil {
			return false, err.Error()
		}
		return found.String() == want, fmt.Sprintf("%s is %s, not %s", path, found.String(), want)
	}, nil
}
