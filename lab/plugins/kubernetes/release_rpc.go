package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	urnpkg "github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/postrender"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

func (p *provider) checkRelease(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	redact := redactor(news)
	var failures []*pulumirpc.CheckFailure
	for _, key := range []resource.PropertyKey{"manifest", "resourceNames"} {
		if news[key].HasValue() {
			failures = append(failures, &pulumirpc.CheckFailure{Property: string(key), Reason: "it is an output; remove it"})
		}
		delete(news, key)
	}
	// The SDK sends this with every Release; it is meant for nobody.
	delete(news, "compat")
	if err := mergeValueFiles(news); err != nil {
		failures = append(failures, &pulumirpc.CheckFailure{Property: "valueYamlFiles", Reason: err.Error()})
	}
	if holdsAsset(news["values"]) {
		failures = append(failures, &pulumirpc.CheckFailure{
			Property: "values", Reason: "it holds an asset or archive; give its text, or use valueYamlFiles",
		})
		delete(news, "values")
	}
	p.fillRelease(news, olds, req.GetUrn())
	r, err := decodeRelease(news)
	if err != nil {
		return nil, err
	}
	if r.AllowNullValues {
		p.host.warn(req.GetUrn(), "`allowNullValues` is deprecated and has no effect; null values in Helm chart values "+
			"are preserved by default.")
	}
	if !news.ContainsUnknowns() && len(failures) == 0 {
		if chart, _, err := p.loadChart(r); err != nil {
			failures = append(failures, &pulumirpc.CheckFailure{
				Property: "chart", Reason: redact(err.Error()) + "; check the chart name and repository configuration.",
			})
		} else {
			// The version wanted may be a range, or none: what is compared from here on is the one that it means.
			news["version"] = resource.NewStringProperty(chart.Metadata.Version)
		}
	}
	inputs, err := p.marshal(news)
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: failures}, err
}

// fillRelease sets what the program may leave out.
func (p *provider) fillRelease(news, olds resource.PropertyMap, urn string) {
	empty := func(key resource.PropertyKey) bool {
		v := news[key]
		return v.IsNull() || v.IsString() && v.StringValue() == ""
	}
	if empty("name") {
		if old := olds["name"]; old.IsString() && old.StringValue() != "" {
			news["name"] = old
		} else if name, err := resource.NewUniqueHex(urnpkg.URN(urn).Name()+"-", 0, 0); err == nil {
			news["name"] = resource.NewStringProperty(name)
		}
	}
	if empty("namespace") {
		news["namespace"] = resource.NewStringProperty(p.cluster.namespace)
	}
	if skip := news["skipAwait"]; !truthy(skip) && news["timeout"].IsNull() {
		news["timeout"] = resource.NewNumberProperty(defaultTimeout)
	}
	if truthy(news["verify"]) && empty("keyring") {
		news["keyring"] = resource.NewStringProperty(os.ExpandEnv("$HOME/.gnupg/pubring.gpg"))
	}
	for key, v := range news {
		if v.IsNull() {
			delete(news, key)
		}
	}
}

func (p *provider) diffRelease(req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	for _, ignored := range req.GetIgnoreChanges() {
		if ignored == "version" {
			news["version"] = olds["version"]
		}
	}
	d := newDiffer("name", "namespace")
	d.maps(nil, plainMap(olds), plainMap(releasedInputs(olds)), plainMap(news))
	return d.response(false), nil
}

func (p *provider) createRelease(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	news, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	if req.GetPreview() {
		properties, err := p.marshal(releaseState(news, nil))
		return &pulumirpc.CreateResponse{Properties: properties}, err
	}
	if reason := p.cluster.unreachable; reason != "" {
		return nil, fmt.Errorf("can't create Helm Release with unreachable cluster: %s", reason)
	}
	r, err := decodeRelease(news)
	if err != nil {
		return nil, err
	}
	redact := redactor(news)
	installed, err := p.install(ctx, req.GetUrn(), r)
	if installed == nil {
		return nil, errors.New(redact(err.Error()))
	}
	state := releaseState(news, installed)
	if err != nil {
		p.host.warn(req.GetUrn(), "Helm release %q was created but has a failed status. Use the `helm` command to "+
			"investigate the error, correct it, then retry. Reason: %s", r.Name, redact(err.Error()))
		return nil, p.initFailed(r.id(), fmt.Errorf("Helm release %q was created, but failed to initialize completely. "+
			"Use Helm CLI to investigate: %w", r.id(), p.unavailable(ctx, r, installed, redact(err.Error()))), state, nil)
	}
	properties, err := p.marshal(state)
	return &pulumirpc.CreateResponse{Id: r.id(), Properties: properties}, err
}

// install runs the install action. A release with an error is one that exists in the cluster but failed.
func (p *provider) install(ctx context.Context, urn string, r *release) (*helmrelease.Release, error) {
	chart, _, err := p.loadChart(r)
	if err != nil {
		return nil, err
	}
	if kind := chart.Metadata.Type; kind != "" && kind != "application" {
		return nil, fmt.Errorf("%s charts are not installable", kind)
	}
	conf, err := p.actions(r.Namespace)
	if err != nil {
		return nil, err
	}
	install := action.NewInstall(conf)
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	install.CreateNamespace, install.Replace, install.TakeOwnership = r.CreateNamespace, r.Replace, r.TakeOwnership
	install.Wait, install.WaitForJobs = !r.SkipAwait, !r.SkipAwait && r.WaitForJobs
	install.Timeout, install.Atomic = r.wait(), r.Atomic
	install.DisableHooks, install.SkipCRDs = r.DisableWebhooks, r.SkipCrds
	install.DisableOpenAPIValidation = r.DisableOpenapiValidation
	install.Devel, install.DependencyUpdate = r.Devel, r.DependencyUpdate
	install.Description, install.SubNotes = r.Description, r.RenderSubchartNotes
	if r.Postrender != "" {
		if install.PostRenderer, err = postrender.NewExec(r.Postrender); err != nil {
			return nil, err
		}
	}
	done := p.reportProgress(ctx, urn, conf, r)
	installed, err := install.RunWithContext(ctx, chart, r.Values)
	done()
	if err == nil || installed == nil {
		return installed, err
	}
	if _, missing := action.NewGet(conf).Run(r.Name); missing != nil {
		return nil, err
	}
	return installed, err
}

func (p *provider) updateRelease(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	olds, err := unmarshal(req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(req.GetNews())
	if err != nil {
		return nil, err
	}
	if req.GetPreview() {
		properties, err := p.marshal(releaseState(news, nil))
		return &pulumirpc.UpdateResponse{Properties: properties}, err
	}
	if reason := p.cluster.unreachable; reason != "" {
		return nil, fmt.Errorf("can't update Helm Release with unreachable cluster: %s", reason)
	}
	r, err := decodeRelease(news)
	if err != nil {
		return nil, err
	}
	redact := redactor(news)
	upgraded, err := p.upgrade(ctx, req.GetUrn(), r, plainString(olds["namespace"], r.Namespace))
	if upgraded == nil || errors.Is(err, driver.ErrNoDeployedReleases) {
		return nil, errors.New(redact(err.Error()))
	}
	state := releaseState(news, upgraded)
	if err != nil {
		return nil, p.initFailed(r.id(), fmt.Errorf("Helm release %q failed to initialize completely. Use Helm CLI to "+
			"investigate: %w", r.id(), p.unavailable(ctx, r, upgraded, redact(err.Error()))), state, nil)
	}
	properties, err := p.marshal(state)
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

func (p *provider) upgrade(ctx context.Context, urn string, r *release, namespace string) (*helmrelease.Release, error) {
	chart, path, err := p.loadChart(r)
	if err != nil {
		return nil, err
	}
	if r.Lint {
		if result := action.NewLint().Run([]string{path}, r.Values); len(result.Errors) > 0 {
			return nil, fmt.Errorf("malformed chart or values: %w", errors.Join(result.Errors...))
		}
	}
	conf, err := p.actions(namespace)
	if err != nil {
		return nil, err
	}
	upgrade := action.NewUpgrade(conf)
	upgrade.Namespace, upgrade.TakeOwnership = r.Namespace, r.TakeOwnership
	upgrade.Wait, upgrade.WaitForJobs = !r.SkipAwait, !r.SkipAwait && r.WaitForJobs
	upgrade.Timeout, upgrade.Atomic, upgrade.CleanupOnFail = r.wait(), r.Atomic, r.CleanupOnFail
	// The official provider heeds one input for the hooks of an install and the other for those of an upgrade.
	upgrade.DisableHooks = r.DisableCRDHooks
	upgrade.Force, upgrade.Recreate = r.ForceUpdate, r.RecreatePods
	upgrade.ResetValues, upgrade.ReuseValues = r.ResetValues, r.ReuseValues
	upgrade.MaxHistory, upgrade.Devel = r.MaxHistory, r.Devel
	upgrade.Description, upgrade.SubNotes = r.Description, r.RenderSubchartNotes
	if r.Postrender != "" {
		if upgrade.PostRenderer, err = postrender.NewExec(r.Postrender); err != nil {
			return nil, err
		}
	}
	done := p.reportProgress(ctx, urn, conf, r)
	defer done()
	return upgrade.RunWithContext(ctx, r.Name, chart, r.Values)
}

func (p *provider) readRelease(req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	olds, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	namespace, name := splitID(req.GetId())
	conf, err := p.actions(plainString(olds["namespace"], namespace))
	if err != nil {
		return nil, err
	}
	installed, err := action.NewGet(conf).Run(plainString(olds["name"], name))
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return &pulumirpc.ReadResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	inputs := releasedInputs(olds)
	if inputs == nil {
		inputs = resource.NewPropertyMapFromMap(map[string]any{
			"chart": installed.Chart.Metadata.Name, "version": installed.Chart.Metadata.Version,
			"name": installed.Name, "namespace": installed.Namespace, "timeout": defaultTimeout, "values": installed.Config,
		})
	}
	properties, err := p.marshal(releaseState(inputs, installed))
	if err != nil {
		return nil, err
	}
	readInputs, err := p.marshal(inputs)
	return &pulumirpc.ReadResponse{Id: req.GetId(), Properties: properties, Inputs: readInputs}, err
}

func (p *provider) deleteRelease(req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	olds, err := unmarshal(req.GetProperties())
	if err != nil {
		return nil, err
	}
	r, err := decodeRelease(releasedInputs(olds))
	if err != nil {
		return nil, err
	}
	namespace, name := splitID(req.GetId())
	conf, err := p.actions(namespace)
	if err != nil {
		return nil, err
	}
	uninstall := action.NewUninstall(conf)
	if r.Atomic || !r.SkipAwait {
		uninstall.Wait, uninstall.Timeout = true, r.wait()
	}
	result, err := uninstall.Run(name)
	if err != nil {
		return nil, err
	}
	if result.Info != "" {
		p.host.warn(req.GetUrn(), "Helm uninstall returned information: %q", result.Info)
	}
	return &emptypb.Empty{}, nil
}

func plainString(v resource.PropertyValue, otherwise string) string {
	if s, ok := plain(v).(string); ok && s != "" {
		return s
	}
	return otherwise
}
