package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/chartutil"
	digest "github.com/opencontainers/go-digest"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	releasecommon "helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryLater is the error of an action that is tried again after its own pause.
type retryLater struct{ after time.Duration }

func (r retryLater) Error() string { return "tried again in " + r.after.String() }

// helm is Helm's configuration for one namespace.
func (p *player) helm(namespace, storage string) (*action.Configuration, error) {
	configuration := action.NewConfiguration()
	return configuration, configuration.Init(newGetter(p.config, namespace), storage, "secrets")
}

// release brings Helm's release to what the HelmRelease says: nothing, an install, an upgrade, or the remedy of a
// failure before it.
func (p *player) release(ctx context.Context, obj *v2.HelmRelease, chart *chartv2.Chart, values common.Values) error {
	if moved(obj) {
		if err := p.uninstall(obj); err != nil {
			return err
		}
	}
	obj.Status.StorageNamespace = obj.GetStorageNamespace()
	helm, err := p.helm(obj.GetReleaseNamespace(), obj.Status.StorageNamespace)
	if err != nil {
		return err
	}
	wanted := chartutil.DigestValues(digest.Canonical, values).String()
	described, err := json.Marshal(obj.Spec.PostRenderers)
	if err != nil {
		return err
	}
	renderers := digest.FromBytes(described).String()
	if obj.Status.LastAttemptedGeneration != obj.Generation ||
		obj.Status.LastAttemptedRevision != chart.Metadata.Version || obj.Status.LastAttemptedConfigDigest != wanted {
		obj.Status.ClearFailures()
	}
	obj.Status.LastAttemptedGeneration = obj.Generation
	obj.Status.LastAttemptedRevision = chart.Metadata.Version
	obj.Status.LastAttemptedConfigDigest = wanted

	last, err := latest(helm, obj.GetReleaseName())
	if err != nil {
		return err
	}
	switch {
	case last == nil:
		return p.install(ctx, helm, obj, chart, values, renderers)
	case last.Info.Status == releasecommon.StatusDeployed && last.Chart.Metadata.Name == chart.Metadata.Name &&
		last.Chart.Metadata.Version == chart.Metadata.Version &&
		chartutil.DigestValues(digest.Canonical, common.Values(last.Config)).String() == wanted &&
		obj.Status.ObservedPostRenderersDigest == renderers:
		released(obj, metav1.ConditionTrue, reasonFor(last), fmt.Sprintf("Helm release %s/%s.v%d is in sync with chart %s@%s",
			last.Namespace, last.Name, last.Version, chart.Metadata.Name, chart.Metadata.Version))
		return nil
	case obj.Status.InstallFailures > 0 && obj.GetInstall().GetRetry(false) == nil:
		return p.reinstall(ctx, helm, obj, chart, values, renderers)
	case last.Info.Status.IsPending():
		// Whoever was at work has gone: there is one player, and it does one thing at a time for a HelmRelease.
		last.SetStatus(releasecommon.StatusFailed, "interrupted")
		if err := helm.Releases.Update(last); err != nil {
			return err
		}
	}
	return p.upgrade(ctx, helm, obj, chart, values, renderers)
}

// moved says whether the release that a HelmRelease made has another name or place than it wants.
func moved(obj *v2.HelmRelease) bool {
	was := obj.Status.History.Latest()
	return was != nil && obj.Status.StorageNamespace != "" && (was.Name != obj.GetReleaseName() ||
		was.Namespace != obj.GetReleaseNamespace() || obj.Status.StorageNamespace != obj.GetStorageNamespace())
}

func reasonFor(last *releasev1.Release) string {
	if last.Version == 1 {
		return v2.InstallSucceededReason
	}
	return v2.UpgradeSucceededReason
}

// latest is the last release of that name, or nil.
func latest(helm *action.Configuration, name string) (*releasev1.Release, error) {
	found, err := helm.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, ok := found.(*releasev1.Release)
	if !ok {
		return nil, fmt.Errorf("release %s is of a form that is not known", name)
	}
	if last.Info.Status == releasecommon.StatusUninstalled {
		return nil, nil
	}
	return last, nil
}

// reinstall removes an install that failed and makes another one, while retries are left.
func (p *player) reinstall(
	ctx context.Context, helm *action.Configuration, obj *v2.HelmRelease, chart *chartv2.Chart, values common.Values,
	renderers string,
) error {
	if !obj.GetInstall().GetRemediation().RetriesExhausted(obj) {
		if err := p.removed(helm, obj, obj.GetReleaseName()); err != nil {
			return err
		}
	}
	return p.install(ctx, helm, obj, chart, values, renderers)
}

func (p *player) install(
	ctx context.Context, helm *action.Configuration, obj *v2.HelmRelease, chart *chartv2.Chart, values common.Values,
	renderers string,
) error {
	spec := obj.GetInstall()
	if spec.GetRetry(false) == nil && obj.Status.InstallFailures > 0 && spec.GetRemediation().RetriesExhausted(obj) {
		return final{"RetriesExceeded", fmt.Sprintf("Failed to install after %d attempt(s)", obj.Status.InstallFailures)}
	}
	obj.Status.ClearHistory()
	obj.Status.LastAttemptedReleaseAction = v2.ReleaseActionInstall
	install := action.NewInstall(helm)
	install.ReleaseName, install.Namespace = obj.GetReleaseName(), obj.GetReleaseNamespace()
	install.CreateNamespace = spec.CreateNamespace && obj.Spec.TargetNamespace != ""
	install.Timeout = spec.GetTimeout(obj.GetTimeout()).Duration
	install.ServerSideApply, install.ForceConflicts = true, true
	install.TakeOwnership = !spec.DisableTakeOwnership
	install.WaitStrategy, install.WaitForJobs = strategy(spec.DisableWait), !spec.DisableWaitForJobs
	install.DisableHooks, install.DisableOpenAPIValidation = spec.DisableHooks, spec.DisableOpenAPIValidation
	install.SkipSchemaValidation, install.Replace = spec.DisableSchemaValidation, spec.Replace
	install.Devel, install.SkipCRDs = true, true
	install.PostRenderer = renderer{obj}
	err := p.definitions(ctx, obj, chart, values, spec.CRDs)
	if err == nil {
		_, err = install.RunWithContext(ctx, chart, values.AsMap())
	}
	p.note(helm, obj, v2.ReleaseActionInstall)
	if err == nil {
		succeeded(obj, renderers, v2.InstallSucceededReason, "install", chart)
		return nil
	}
	obj.Status.Failures++
	obj.Status.InstallFailures++
	released(obj, metav1.ConditionFalse, v2.InstallFailedReason, failure("install", obj, chart, err))
	if retry := spec.GetRetry(false); retry != nil {
		return retryLater{retry.GetRetryInterval()}
	}
	if remedy := spec.GetRemediation(); remedy.RetriesExhausted(obj) {
		if remedy.MustRemediateLastFailure() {
			err = errors.Join(err, p.removed(helm, obj, obj.GetReleaseName()))
		}
		return final{v2.InstallFailedReason, failure("install", obj, chart, err)}
	}
	return noted{err}
}

// succeeded notes what an action has made of a release.
func succeeded(obj *v2.HelmRelease, renderers, reason, action string, chart *chartv2.Chart) {
	obj.Status.ObservedPostRenderersDigest = renderers
	obj.Status.ClearFailures()
	released(obj, metav1.ConditionTrue, reason, fmt.Sprintf("Helm %s succeeded for release %s with chart %s", action,
		obj.GetReleaseNamespace()+"/"+obj.GetReleaseName(), chart.Metadata.Name+"@"+chart.Metadata.Version))
}

func (p *player) upgrade(
	ctx context.Context, helm *action.Configuration, obj *v2.HelmRelease, chart *chartv2.Chart, values common.Values,
	renderers string,
) error {
	spec := obj.GetUpgrade()
	if obj.Status.UpgradeFailures > 0 && spec.GetRetry(false) == nil && spec.GetRemediation().RetriesExhausted(obj) {
		return final{"RetriesExceeded", fmt.Sprintf("Failed to upgrade after %d attempt(s)", obj.Status.UpgradeFailures)}
	}
	obj.Status.LastAttemptedReleaseAction = v2.ReleaseActionUpgrade
	upgrade := action.NewUpgrade(helm)
	upgrade.Namespace = obj.GetReleaseNamespace()
	upgrade.Timeout = spec.GetTimeout(obj.GetTimeout()).Duration
	upgrade.MaxHistory = obj.GetMaxHistory()
	upgrade.ResetValues, upgrade.ReuseValues = !spec.PreserveValues, spec.PreserveValues
	upgrade.ServerSideApply, upgrade.ForceConflicts = "true", true
	upgrade.TakeOwnership = !spec.DisableTakeOwnership
	upgrade.WaitStrategy, upgrade.WaitForJobs = strategy(spec.DisableWait), !spec.DisableWaitForJobs
	upgrade.DisableHooks, upgrade.DisableOpenAPIValidation = spec.DisableHooks, spec.DisableOpenAPIValidation
	upgrade.SkipSchemaValidation, upgrade.CleanupOnFail = spec.DisableSchemaValidation, spec.CleanupOnFail
	upgrade.Devel = true
	upgrade.PostRenderer = renderer{obj}
	err := p.definitions(ctx, obj, chart, values, spec.CRDs)
	if err == nil {
		_, err = upgrade.RunWithContext(ctx, obj.GetReleaseName(), chart, values.AsMap())
	}
	p.note(helm, obj, v2.ReleaseActionUpgrade)
	if err == nil {
		succeeded(obj, renderers, v2.UpgradeSucceededReason, "upgrade", chart)
		return nil
	}
	obj.Status.Failures++
	obj.Status.UpgradeFailures++
	released(obj, metav1.ConditionFalse, v2.UpgradeFailedReason, failure("upgrade", obj, chart, err))
	if retry := spec.GetRetry(false); retry != nil {
		return retryLater{retry.GetRetryInterval()}
	}
	remedy := spec.GetRemediation()
	if exhausted := remedy.RetriesExhausted(obj); !exhausted || remedy.MustRemediateLastFailure() {
		if undone := p.undo(helm, obj, remedy.GetStrategy()); undone != nil {
			return undone
		}
		if exhausted {
			return final{v2.UpgradeFailedReason, failure("upgrade", obj, chart, err)}
		}
		return noted{err}
	}
	return final{v2.UpgradeFailedReason, failure("upgrade", obj, chart, err)}
}

// undo goes back to the last release that was deployed, or removes all.
func (p *player) undo(helm *action.Configuration, obj *v2.HelmRelease, with v2.RemediationStrategy) error {
	if with == v2.UninstallRemediationStrategy {
		return p.removed(helm, obj, obj.GetReleaseName())
	}
	spec := obj.GetRollback()
	rollback := action.NewRollback(helm)
	rollback.Timeout = spec.GetTimeout(obj.GetTimeout()).Duration
	rollback.WaitStrategy, rollback.WaitForJobs = strategy(spec.DisableWait), !spec.DisableWaitForJobs
	rollback.DisableHooks, rollback.CleanupOnFail = spec.DisableHooks, spec.CleanupOnFail
	rollback.ForceConflicts = true
	err := rollback.Run(obj.GetReleaseName())
	p.note(helm, obj, v2.ReleaseActionRollback)
	obj.Status.ObservedPostRenderersDigest = ""
	return err
}

// uninstall removes the release that a HelmRelease made, wherever that is.
func (p *player) uninstall(obj *v2.HelmRelease) error {
	if obj.Status.StorageNamespace == "" {
		return nil
	}
	name, namespace := obj.GetReleaseName(), obj.GetReleaseNamespace()
	if was := obj.Status.History.Latest(); was != nil {
		name, namespace = was.Name, was.Namespace
	}
	helm, err := p.helm(namespace, obj.Status.StorageNamespace)
	if err != nil {
		return err
	}
	if err := p.removed(helm, obj, name); err != nil {
		return err
	}
	obj.Status.ClearHistory()
	obj.Status.StorageNamespace = ""
	return nil
}

func (p *player) removed(helm *action.Configuration, obj *v2.HelmRelease, name string) error {
	spec := obj.GetUninstall()
	uninstall := action.NewUninstall(helm)
	uninstall.IgnoreNotFound = true
	uninstall.Timeout = spec.GetTimeout(obj.GetTimeout()).Duration
	uninstall.DisableHooks, uninstall.KeepHistory = spec.DisableHooks, spec.KeepHistory
	uninstall.WaitStrategy = strategy(spec.DisableWait)
	uninstall.DeletionPropagation = spec.GetDeletionPropagation()
	if _, err := uninstall.Run(name); err != nil {
		return fmt.Errorf("Helm uninstall failed for release %s: %w", name, err)
	}
	return nil
}

// note puts Helm's last release into the status.
func (p *player) note(helm *action.Configuration, obj *v2.HelmRelease, by v2.ReleaseAction) {
	last, err := latest(helm, obj.GetReleaseName())
	if err != nil || last == nil {
		return
	}
	snapshot := &v2.Snapshot{
		Name: last.Name, Namespace: last.Namespace, Version: last.Version, Status: string(last.Info.Status), Action: by,
		Digest:        digest.FromString(last.Manifest).String(),
		ChartName:     last.Chart.Metadata.Name,
		ChartVersion:  last.Chart.Metadata.Version,
		AppVersion:    last.Chart.Metadata.AppVersion,
		ConfigDigest:  chartutil.DigestValues(digest.Canonical, common.Values(last.Config)).String(),
		FirstDeployed: metav1.NewTime(last.Info.FirstDeployed),
		LastDeployed:  metav1.NewTime(last.Info.LastDeployed),
	}
	kept := v2.Snapshots{snapshot}
	for _, older := range obj.Status.History {
		if older.Version != snapshot.Version && len(kept) < 5 {
			kept = append(kept, older)
		}
	}
	obj.Status.History = kept
}

func failure(what string, obj *v2.HelmRelease, chart *chartv2.Chart, err error) string {
	return fmt.Sprintf("Helm %s failed for release %s/%s with chart %s@%s: %s", what, obj.GetReleaseNamespace(),
		obj.GetReleaseName(), chart.Metadata.Name, chart.Metadata.Version, strings.TrimSpace(err.Error()))
}

func strategy(unawaited bool) kube.WaitStrategy {
	if unawaited {
		return kube.HookOnlyStrategy
	}
	return kube.StatusWatcherStrategy
}
