// What a configuration of Alloy says, as JSON: read from standard input by Alloy's own parser, and what needs no other
// component evaluated by Alloy's own evaluator. Alloy itself cannot be run here: it is linked with Loki (AGPL).
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/grafana/alloy/syntax/ast"
	"github.com/grafana/alloy/syntax/parser"
	"github.com/grafana/alloy/syntax/vm"
)

type block struct {
	Name       string               `json:"name"`
	Label      string               `json:"label"`
	Attributes map[string]attribute `json:"attributes"`
	Blocks     []block              `json:"blocks"`
}

// An attribute has a value, or else refers to what other components export.
type attribute struct {
	Value      any      `json:"value"`
	References []string `json:"references"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile("config.alloy", text)
	if err != nil {
		return err
	}
	_, blocks, err := contents(file.Body)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(blocks)
}

func contents(body ast.Body) (map[string]attribute, []block, error) {
	attributes, blocks := map[string]attribute{}, []block{}
	for _, statement := range body {
		switch one := statement.(type) {
		case *ast.AttributeStmt:
			if _, twice := attributes[one.Name.Name]; twice {
				return nil, nil, fmt.Errorf("%s: %s is there twice", ast.StartPos(one).Position(), one.Name.Name)
			}
			said, err := read(one.Value)
			if err != nil {
				return nil, nil, err
			}
			attributes[one.Name.Name] = said
		case *ast.BlockStmt:
			inner, further, err := contents(one.Body)
			if err != nil {
				return nil, nil, err
			}
			blocks = append(blocks, block{one.GetBlockName(), one.Label, inner, further})
		}
	}
	return attributes, blocks, nil
}

func read(expression ast.Expr) (attribute, error) {
	found := &references{}
	ast.Walk(found, expression)
	if len(found.paths) > 0 {
		return attribute{References: found.paths}, nil
	}
	var value any
	if err := vm.New(expression).Evaluate(nil, &value); err != nil {
		return attribute{}, err
	}
	return attribute{Value: value, References: []string{}}, nil
}

// Collects the outermost a.b.c of an expression, but those of functions that are called.
type references struct{ paths []string }

func (r *references) Visit(node ast.Node) ast.Visitor {
	switch one := node.(type) {
	case *ast.CallExpr:
		for _, argument := range one.Args {
			ast.Walk(r, argument)
		}
		return nil
	case *ast.AccessExpr, *ast.IdentifierExpr:
		if path, ok := path(one.(ast.Expr)); ok {
			r.paths = append(r.paths, path)
			return nil
		}
	}
	return r
}

func path(expression ast.Expr) (string, bool) {
	switch one := expression.(type) {
	case *ast.IdentifierExpr:
		return one.Ident.Name, true
	case *ast.AccessExpr:
		of, ok := path(one.Value)
		return of + "." + one.Name.Name, ok
	}
	return "", false
}
