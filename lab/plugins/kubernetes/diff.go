package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// differ collects the differences between a resource as it is and as its inputs want it.
type differ struct {
	immutable [][]string // paths whose change means a new object
	changes   map[string]*pulumirpc.PropertyDiff
}

func newDiffer(immutable ...string) *differ {
	d := &differ{changes: map[string]*pulumirpc.PropertyDiff{}}
	for _, path := range immutable {
		d.immutable = append(d.immutable, strings.Split(path, "."))
	}
	return d
}

// maps compares what is with what is wanted. What was wanted before tells a key that the program dropped from one
// that somebody else owns: only the former is a deletion.
func (d *differ) maps(path []any, is, wanted, wants map[string]any) {
	for key, want := range wants {
		at := append(path[:len(path):len(path)], key)
		have, present := is[key]
		if !present {
			d.add(at, pulumirpc.PropertyDiff_ADD, want)
			continue
		}
		d.values(at, have, wanted[key], want)
	}
	for key := range wanted {
		_, kept := wants[key]
		if have, present := is[key]; present && !kept {
			d.add(append(path[:len(path):len(path)], key), pulumirpc.PropertyDiff_DELETE, have)
		}
	}
}

func (d *differ) values(path []any, is, wanted, want any) {
	switch want := want.(type) {
	case map[string]any:
		if have, same := is.(map[string]any); same {
			before, _ := wanted.(map[string]any)
			d.maps(path, have, before, want)
			return
		}
	case []any:
		if have, same := is.([]any); same {
			d.lists(path, have, want)
			return
		}
	default:
		if equalScalars(is, want) {
			return
		}
	}
	d.add(path, pulumirpc.PropertyDiff_UPDATE, want)
}

func (d *differ) lists(path []any, is, want []any) {
	for i := 0; i < len(is) || i < len(want); i++ {
		at := append(path[:len(path):len(path)], i)
		switch {
		case i >= len(want):
			d.add(at, pulumirpc.PropertyDiff_DELETE, is[i])
		case i >= len(is):
			d.add(at, pulumirpc.PropertyDiff_ADD, want[i])
		default:
			d.values(at, is[i], is[i], want[i])
		}
	}
}

func equalScalars(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	if _, unknown := b.(resource.Computed); unknown {
		return false
	}
	return reflect.DeepEqual(a, b)
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func (d *differ) add(path []any, kind pulumirpc.PropertyDiff_Kind, value any) {
	if d.replaces(path, value) {
		switch kind {
		case pulumirpc.PropertyDiff_ADD:
			kind = pulumirpc.PropertyDiff_ADD_REPLACE
		case pulumirpc.PropertyDiff_DELETE:
			kind = pulumirpc.PropertyDiff_DELETE_REPLACE
		case pulumirpc.PropertyDiff_UPDATE:
			kind = pulumirpc.PropertyDiff_UPDATE_REPLACE
		}
	}
	d.changes[pathString(path)] = &pulumirpc.PropertyDiff{
		Kind:      kind,
		InputDiff: kind == pulumirpc.PropertyDiff_DELETE || kind == pulumirpc.PropertyDiff_DELETE_REPLACE,
	}
}

// replaces says whether a change at path touches an immutable path: it lies within one, or its value holds one.
func (d *differ) replaces(path []any, value any) bool {
	for _, immutable := range d.immutable {
		if touches(path, value, immutable) {
			return true
		}
	}
	return false
}

func touches(path []any, value any, immutable []string) bool {
	for _, segment := range path {
		if len(immutable) == 0 {
			return true
		}
		if _, index := segment.(int); index {
			if immutable[0] != "*" {
				return false
			}
		} else if segment != immutable[0] {
			return false
		}
		immutable = immutable[1:]
	}
	return holds(value, immutable)
}

func holds(value any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	if list, ok := value.([]any); ok && path[0] == "*" {
		for _, e := range list {
			if holds(e, path[1:]) {
				return true
			}
		}
		return false
	}
	m, _ := value.(map[string]any)
	inner, present := m[path[0]]
	return present && holds(inner, path[1:])
}

// response turns the changes into what the engine wants to hear.
func (d *differ) response(deleteFirst bool) *pulumirpc.DiffResponse {
	resp := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, DetailedDiff: d.changes, HasDetailedDiff: true,
	}
	top := map[string]bool{}
	for path, change := range d.changes {
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
		top[strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })[0]] = true
		switch change.Kind {
		case pulumirpc.PropertyDiff_ADD_REPLACE, pulumirpc.PropertyDiff_DELETE_REPLACE,
			pulumirpc.PropertyDiff_UPDATE_REPLACE:
			resp.Replaces = append(resp.Replaces, path)
		}
	}
	for key := range top {
		resp.Diffs = append(resp.Diffs, key)
	}
	sort.Strings(resp.Diffs)
	sort.Strings(resp.Replaces)
	resp.DeleteBeforeReplace = deleteFirst && len(resp.Replaces) > 0
	return resp
}

// ignore drops the changes below the paths that the program told the engine to ignore.
func (d *differ) ignore(paths []string) error {
	for _, path := range paths {
		ignored, err := resource.ParsePropertyPath(path)
		if err != nil {
			return fmt.Errorf("failed to parse ignore path %q: %w", path, err)
		}
		for changed := range d.changes {
			if p, err := resource.ParsePropertyPath(changed); err == nil && ignored.Contains(p) {
				delete(d.changes, changed)
			}
		}
	}
	return nil
}

func pathString(path []any) string {
	var b strings.Builder
	for _, segment := range path {
		switch segment := segment.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", segment)
		case string:
			switch {
			case strings.ContainsAny(segment, `."[]`):
				fmt.Fprintf(&b, `["%s"]`, strings.ReplaceAll(segment, `"`, `\"`))
			case b.Len() > 0:
				b.WriteString("." + segment)
			default:
				b.WriteString(segment)
			}
		}
	}
	return b.String()
}

// pruneTo keeps only those parts of a live value that the shape names: the server fills in many fields that the program never set.
func pruneTo(live, shape any) any {
	switch shape := shape.(type) {
	case map[string]any:
		have, same := live.(map[string]any)
		if !same {
			return live
		}
		kept := map[string]any{}
		for key, value := range have {
			if inner, named := shape[key]; named {
				kept[key] = pruneTo(value, inner)
			}
		}
		return kept
	case []any:
		have, same := live.([]any)
		if !same || len(shape) == 0 {
			return live
		}
		kept := make([]any, 0, len(shape))
		for i := 0; i < len(have) && i < len(shape); i++ {
			kept = append(kept, pruneTo(have[i], shape[i]))
		}
		return kept
	}
	return live
}
