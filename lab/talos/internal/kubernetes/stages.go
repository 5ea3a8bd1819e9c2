package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	stagesName = "kwok-stages"
	stagesFile = "kwok-stages.yaml"
)

// stageKind is the kind of object that a stage plays; apiGroup holds a version too, as kwok wants it.
type stageKind struct {
	APIGroup string `yaml:"apiGroup"`
	Kind     string `yaml:"kind"`
}

// stagesArgs is for a kwok of its own, which plays neither nodes nor pods: kwok exits at startup over a kind that the
// API does not serve, and those of charts come and go. So it is started again, with the stages of the kinds that are
// there, and the nodes do not notice.
func (c *ControlPlane) stagesArgs(ctx context.Context) ([]string, error) {
	all, err := os.ReadFile(c.binaries.KwokConfig)
	if err != nil {
		return nil, err
	}

	served, err := servedStages(all, func(kind stageKind) (bool, error) { return c.serves(ctx, kind) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.binaries.KwokConfig, err)
	}

	f := &files{control: c}
	config := f.write(stagesFile, served)
	return []string{
		"--kubeconfig", c.path("pki", "lab.kubeconfig"), "--config", config,
		"--manage-single-node", "none-of-this-cluster", "--node-lease-duration-seconds=0",
	}, f.err
}

// servedStages keeps the documents whose kind is served.
func servedStages(documents []byte, serves func(stageKind) (bool, error)) ([]byte, error) {
	var kept bytes.Buffer

	known := map[stageKind]bool{}
	decoder := yaml.NewDecoder(bytes.NewReader(documents))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return kept.Bytes(), nil
		} else if err != nil {
			return nil, err
		}

		content, err := yaml.Marshal(document)
		if err != nil {
			return nil, err
		}

		var stage struct {
			Spec struct {
				ResourceRef stageKind `yaml:"resourceRef"`
			} `yaml:"spec"`
		}

		if err = yaml.Unmarshal(content, &stage); err != nil {
			return nil, err
		}

		kind := stage.Spec.ResourceRef
		if _, asked := known[kind]; !asked {
			if known[kind], err = serves(kind); err != nil {
				return nil, err
			}
		}

		if known[kind] {
			kept.WriteString("---\n")
			kept.Write(content)
		}
	}
}

// serves asks the API whether it has a kind.
func (c *ControlPlane) serves(ctx context.Context, kind stageKind) (bool, error) {
	path := "/apis/" + kind.APIGroup
	if !strings.Contains(kind.APIGroup, "/") {
		path = "/api/" + kind.APIGroup
	}

	answer, err := c.call(ctx, http.MethodGet, path, nil)
	if statusOf(err) == http.StatusNotFound {
		return false, nil
	} else if err != nil {
		return false, err
	}

	var list struct {
		Resources []struct{ Kind string }
	}

	if err := json.Unmarshal(answer, &list); err != nil {
		return false, err
	}

	for _, resource := range list.Resources {
		if resource.Kind == kind.Kind {
			return true, nil
		}
	}
	return false, nil
}
