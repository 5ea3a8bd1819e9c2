package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Flux is what the Flux operator installs: the objects, from its own source, and the controllers that can be had.
type Flux struct {
	Objects     string            `json:"objects"`     // path of a JSON array of objects
	Controllers map[string]string `json:"controllers"` // by the name of its Deployment, the program
}

const (
	fluxNamespace = "flux-system"
	fluxInstance  = "/apis/fluxcd.controlplane.io/v1/namespaces/" + fluxNamespace + "/fluxinstances/flux"
	fluxFinalizer = "fluxcd.controlplane.io/finalizer"
	fluxPlayed    = "helm-controller" // lab/helm_player in its place, which knows fewer flags
	fluxHealth    = 9440              // each controller's own port follows
	fluxStorage   = 9790
	fluxUninstall = 60 * time.Second
)

type fluxInstanceObject struct {
	Metadata struct {
		Generation        int64
		DeletionTimestamp string
		Finalizers        []string
	}
	Spec struct {
		Distribution struct{ Version string }
		Components   []string
		Kustomize    struct {
			Patches []struct {
				Target struct{ Kind, Name string }
				Patch  string
			}
		}
	}
	Status struct {
		Conditions []struct {
			Type, Status       string
			ObservedGeneration int64
		}
	}
}

// ensureFlux does the Flux operator's work by its rule: it installs what a FluxInstance asks for, keeps the controllers
// running, and takes all of it away when the FluxInstance is deleted. Controllers run as processes, with the rights of
// their own ServiceAccounts; their Deployments, which only say which image runs, are left out.
func (c *ControlPlane) ensureFlux(ctx context.Context, ruling Member, host, server string) error {
	if c.binaries.Flux.Objects == "" {
		return nil
	}

	instance, err := c.fluxInstance(ctx)
	if err != nil {
		return err
	}

	if instance == nil {
		c.stopFlux()
		return nil
	}

	if instance.Metadata.DeletionTimestamp != "" {
		return c.uninstallFlux(ctx)
	}

	if !slices.Contains(instance.Metadata.Finalizers, fluxFinalizer) {
		metadata := map[string]any{"finalizers": append(instance.Metadata.Finalizers, fluxFinalizer)}
		if _, err = c.call(ctx, http.MethodPatch, fluxInstance, map[string]any{"metadata": metadata}); err != nil {
			return err
		}
	}

	ready := instance.readyAt() == instance.Metadata.Generation
	if !ready {
		if err = c.applyFlux(ctx, instance); err != nil {
			return err
		}
	}

	healthy, err := c.runFlux(ctx, instance, ruling, host, server)
	if err != nil || ready || !healthy {
		return err
	}

	c.journal.Record("flux-ready", 0, "", "version", instance.Spec.Distribution.Version)
	return c.setFluxReady(ctx, instance)
}

// fluxInstance is nil where there is none, or the operator's definitions are not there.
func (c *ControlPlane) fluxInstance(ctx context.Context) (*fluxInstanceObject, error) {
	answer, err := c.call(ctx, http.MethodGet, fluxInstance, nil)
	if statusOf(err) == http.StatusNotFound {
		return nil, nil
	} else if err != nil {
		return nil, err
	}

	var instance fluxInstanceObject
	return &instance, json.Unmarshal(answer, &instance)
}

func (i *fluxInstanceObject) readyAt() int64 {
	for _, condition := range i.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return condition.ObservedGeneration
		}
	}
	return 0
}

// flags are what the patches of the FluxInstance add to a controller's own; the last of equal ones wins.
func (i *fluxInstanceObject) flags(controller string) ([]string, error) {
	var flags []string
	for _, patch := range i.Spec.Kustomize.Patches {
		if patch.Target.Kind != "Deployment" || patch.Target.Name != controller {
			continue
		}

		var steps []struct{ Op, Path, Value string }
		if err := yaml.Unmarshal([]byte(patch.Patch), &steps); err != nil {
			return nil, fmt.Errorf("FluxInstance: patch of %s: %w", controller, err)
		}

		for _, step := range steps {
			if step.Op != "add" || step.Path != "/spec/template/spec/containers/0/args/-" {
				return nil, fmt.Errorf("FluxInstance: patch of %s: the lab adds flags, and does not know %s %s", controller, step.Op, step.Path)
			}
			flags = append(flags, step.Value)
		}
	}
	return flags, nil
}

func (c *ControlPlane) fluxObjects() ([]map[string]any, error) {
	content, err := os.ReadFile(c.binaries.Flux.Objects)
	if err != nil {
		return nil, err
	}

	var objects []map[string]any
	return objects, json.Unmarshal(content, &objects)
}

func (c *ControlPlane) applyFlux(ctx context.Context, instance *fluxInstanceObject) error {
	objects, err := c.fluxObjects()
	if err != nil {
		return err
	}

	c.journal.Record("flux-install", 0, "", "version", instance.Spec.Distribution.Version)
	_, err = c.kubectl(ctx, objects, "apply", "--server-side", "--force-conflicts", "--field-manager=flux-operator", "-f", "-")
	return err
}

// runFlux keeps the controllers running that the FluxInstance lists and that can be had, and tells whether all are up.
func (c *ControlPlane) runFlux(ctx context.Context, instance *fluxInstanceObject, ruling Member, host, server string) (bool, error) {
	healthy := true
	for number, name := range slices.Sorted(maps.Keys(c.binaries.Flux.Controllers)) {
		if !slices.Contains(instance.Spec.Components, name) {
			continue
		}

		health := net.JoinHostPort(host, strconv.Itoa(fluxHealth+number))
		args, err := c.fluxArgs(instance, name, ruling, host, health, server)
		if err != nil {
			return false, err
		}

		if err = c.ensure(name, "env", args); err != nil {
			return false, err
		}

		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+health+"/readyz", nil)
		if err != nil {
			return false, err
		}

		response, err := http.DefaultClient.Do(request)
		if err != nil {
			healthy = false
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body) // else the connection is not used again
		response.Body.Close()
		healthy = healthy && response.StatusCode == http.StatusOK
	}
	return healthy, nil
}

// fluxArgs are the arguments of env: the variables that a pod would have, the program, and its flags.
func (c *ControlPlane) fluxArgs(instance *fluxInstanceObject, name string, ruling Member, host, health, server string) ([]string, error) {
	f := &files{control: c}
	account := "system:serviceaccount:" + fluxNamespace + ":" + name
	kubeconfig := f.kubeconfig(name, account, server, ruling.Config.Cluster())
	scratch, data := c.path("flux", name, "tmp"), c.path("flux", name, "data")
	for _, directory := range []string{scratch, data} {
		f.keep(os.MkdirAll(directory, 0o700))
	}

	flags, err := instance.flags(name)
	f.keep(err)

	args := []string{
		"KUBECONFIG=" + kubeconfig, "RUNTIME_NAMESPACE=" + fluxNamespace, "TMPDIR=" + scratch,
		c.binaries.Flux.Controllers[name], "--health-addr=" + health,
	}
	if name == fluxPlayed {
		known := slices.DeleteFunc(flags, func(flag string) bool { return !strings.HasPrefix(flag, "--requeue-dependency=") })
		return append(append(args, "--kubeconfig="+kubeconfig), known...), f.err
	}

	args = append(args, "--events-addr=", "--metrics-addr=0", "--watch-all-namespaces", "--log-level=info", "--log-encoding=json")
	if name == "source-controller" {
		storage := net.JoinHostPort(host, strconv.Itoa(fluxStorage))
		args = append(args, "--storage-path="+data, "--storage-addr="+storage, "--storage-adv-addr="+storage)
	}
	return append(args, flags...), f.err
}

func (c *ControlPlane) setFluxReady(ctx context.Context, instance *fluxInstanceObject) error {
	condition := map[string]any{
		"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "played by the lab",
		"observedGeneration": instance.Metadata.Generation, "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
	}
	status := map[string]any{"conditions": []any{condition}, "lastAppliedRevision": "v" + instance.Spec.Distribution.Version}
	_, err := c.call(ctx, http.MethodPatch, fluxInstance+"/status", map[string]any{"status": status})
	return err
}

// uninstallFlux goes in the order of the operator's `uninstall`: controllers, finalizers, what was installed, and last
// the finalizer of the FluxInstance. No object that Flux has applied is touched.
func (c *ControlPlane) uninstallFlux(ctx context.Context) error {
	c.stopFlux()

	objects, err := c.fluxObjects()
	if err != nil {
		return err
	}

	for _, object := range objects {
		if err = c.freeFlux(ctx, object); err != nil {
			return err
		}
	}

	limit, cancel := context.WithTimeout(ctx, fluxUninstall)
	defer cancel()

	if _, err = c.kubectl(limit, objects, "delete", "--ignore-not-found", "--wait=true", "-f", "-"); err != nil {
		return err
	}

	c.journal.Record("flux-gone", 0, "")
	_, err = c.call(ctx, http.MethodPatch, fluxInstance, map[string]any{"metadata": map[string]any{"finalizers": nil}})
	return err
}

// freeFlux takes the finalizers from every object of a kind, if it is given a definition.
func (c *ControlPlane) freeFlux(ctx context.Context, definition map[string]any) error {
	var kind struct {
		Kind string
		Spec struct {
			Group    string
			Names    struct{ Plural string }
			Versions []struct {
				Name    string
				Storage bool
			}
		}
	}

	content, err := json.Marshal(definition)
	if err != nil {
		return err
	}

	if err = json.Unmarshal(content, &kind); err != nil || kind.Kind != "CustomResourceDefinition" {
		return err
	}

	for _, version := range kind.Spec.Versions {
		if !version.Storage {
			continue
		}

		answer, err := c.call(ctx, http.MethodGet, "/apis/"+kind.Spec.Group+"/"+version.Name+"/"+kind.Spec.Names.Plural, nil)
		if statusOf(err) == http.StatusNotFound {
			continue
		} else if err != nil {
			return err
		}

		var list struct {
			Items []struct {
				Metadata struct {
					Namespace, Name string
					Finalizers      []string
				}
			}
		}

		if err = json.Unmarshal(answer, &list); err != nil {
			return err
		}

		for _, item := range list.Items {
			path := "/apis/" + kind.Spec.Group + "/" + version.Name + "/namespaces/" + item.Metadata.Namespace + "/" + kind.Spec.Names.Plural + "/" + item.Metadata.Name
			free := map[string]any{"metadata": map[string]any{"finalizers": nil}}
			if _, err = c.call(ctx, http.MethodPatch, path, free); err != nil && statusOf(err) != http.StatusNotFound {
				return err
			}
		}
	}
	return nil
}

// stopFlux ends the controllers.
func (c *ControlPlane) stopFlux() {
	for name := range c.binaries.Flux.Controllers {
		c.mu.Lock()
		known := c.components[name]
		delete(c.components, name)
		c.mu.Unlock()
		if known != nil {
			known.process.Stop()
			c.journal.Record("component-stop", 0, name)
		}
	}
}
