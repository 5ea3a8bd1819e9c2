package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/chartutil"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// player reconciles HelmReleases.
type player struct {
	client.Client
	config *rest.Config
	mapper apimeta.RESTMapper
	again  time.Duration
}

// waiting is the error of what will be looked at again after a while, without a growing pause.
type waiting struct{ reason, message string }

func (w waiting) Error() string { return w.message }

// final is the error of what only a change of the HelmRelease can mend.
type final struct{ reason, message string }

func (f final) Error() string { return f.message }

// noted is an error that the conditions have already, of what is tried again after a growing pause.
type noted struct{ error }

func (p *player) setup(manager ctrl.Manager, concurrent int) error {
	asked := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	return ctrl.NewControllerManagedBy(manager).
		For(&v2.HelmRelease{}, builder.WithPredicates(asked)).
		Watches(&sourcev1.HelmChart{}, handler.EnqueueRequestsFromMapFunc(p.ofChart)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrent}).
		Complete(p)
}

// ofChart names the HelmReleases that a HelmChart was made for.
func (p *player) ofChart(ctx context.Context, chart client.Object) []reconcile.Request {
	var all v2.HelmReleaseList
	if err := p.List(ctx, &all); err != nil {
		return nil
	}
	var found []reconcile.Request
	for _, one := range all.Items {
		if one.Status.HelmChart == client.ObjectKeyFromObject(chart).String() {
			found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&one)})
		}
	}
	return found
}

// Reconcile brings one HelmRelease to what it says, as far as it goes, and notes in its status how far that was.
func (p *player) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	obj := &v2.HelmRelease{}
	if err := p.Get(ctx, request.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !obj.DeletionTimestamp.IsZero() {
		return p.delete(ctx, obj)
	}
	if !controllerutil.ContainsFinalizer(obj, v2.HelmReleaseFinalizer) {
		before := obj.DeepCopy()
		controllerutil.AddFinalizer(obj, v2.HelmReleaseFinalizer)
		if err := p.Patch(ctx, obj, client.MergeFrom(before)); err != nil {
			return ctrl.Result{}, err
		}
	}
	if obj.Spec.Suspend {
		return ctrl.Result{}, nil
	}
	before := obj.DeepCopy()
	progressing(obj)
	if err := p.Status().Patch(ctx, obj, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, err
	}
	before = obj.DeepCopy()
	result, err := p.conclude(obj, p.reconcile(ctx, obj))
	if patched := p.Status().Patch(ctx, obj, client.MergeFrom(before)); patched != nil {
		return ctrl.Result{}, errors.Join(client.IgnoreNotFound(patched), err)
	}
	return result, err
}

// conclude writes the outcome of a reconciliation into the conditions, and says when the next one is.
func (p *player) conclude(obj *v2.HelmRelease, err error) (ctrl.Result, error) {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		obj.Status.SetLastHandledReconcileRequest(token)
	}
	var wait waiting
	var last final
	var retry retryLater
	switch {
	case err == nil:
		concluded(obj)
		return ctrl.Result{RequeueAfter: obj.GetRequeueAfter()}, nil
	case errors.As(err, &wait):
		notReady(obj, wait.reason, wait.message)
		return ctrl.Result{RequeueAfter: p.again}, nil
	case errors.As(err, &retry):
		// The condition Released has the reason, and Ready repeats it.
		obj.Status.ObservedGeneration = obj.Generation
		return ctrl.Result{RequeueAfter: retry.after}, nil
	case errors.As(err, &last):
		stalled(obj, last.reason, last.message)
		return ctrl.Result{}, nil
	}
	var already noted
	if !errors.As(err, &already) {
		notReady(obj, meta.FailedReason, err.Error())
	}
	return ctrl.Result{}, err
}

// reconcile does the steps in the order of the real controller.
func (p *player) reconcile(ctx context.Context, obj *v2.HelmRelease) error {
	if name := unplayed(obj); name != "" {
		return final{"NotPlayed", name + " is not played by the lab's helm-player: leave it out, or add it there"}
	}
	if err := p.template(ctx, obj); err != nil {
		return err
	}
	if err := p.dependencies(ctx, obj); err != nil {
		return err
	}
	artifact, err := p.artifact(ctx, obj)
	if err != nil {
		return err
	}
	values, err := chartutil.ChartValuesFromReferences(
		ctx, ctrl.LoggerFrom(ctx), p.Client, obj.Namespace, obj.GetValues(), obj.Spec.ValuesFrom...)
	if err != nil {
		notReady(obj, "ValuesError", err.Error())
		return noted{err}
	}
	chart, err := load(ctx, artifact)
	if err != nil {
		return waiting{v2.ArtifactFailedReason, "Could not load chart: " + err.Error()}
	}
	return p.release(ctx, obj, chart, values)
}

// dependencies are Ready for their own latest generation, or it is not this one's turn.
func (p *player) dependencies(ctx context.Context, obj *v2.HelmRelease) error {
	for _, reference := range obj.Spec.DependsOn {
		key := types.NamespacedName{Namespace: reference.Namespace, Name: reference.Name}
		if key.Namespace == "" {
			key.Namespace = obj.Namespace
		}
		other := &v2.HelmRelease{}
		if err := p.Get(ctx, key, other); apierrors.IsNotFound(err) {
			return waiting{v2.DependencyNotReadyReason, fmt.Sprintf("unable to get '%s' dependency: not found", key)}
		} else if err != nil {
			return err
		}
		ready := apimeta.FindStatusCondition(other.Status.Conditions, meta.ReadyCondition)
		if other.Status.ObservedGeneration != other.Generation || ready == nil || ready.Status != metav1.ConditionTrue {
			return waiting{v2.DependencyNotReadyReason, fmt.Sprintf("dependency '%s' is not ready", key)}
		}
	}
	return nil
}

// delete uninstalls what a HelmRelease installed, unless it is suspended, and then lets it go.
func (p *player) delete(ctx context.Context, obj *v2.HelmRelease) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(obj, v2.HelmReleaseFinalizer) {
		return ctrl.Result{}, nil
	}
	if !obj.Spec.Suspend {
		if err := p.uninstall(obj); err != nil {
			before := obj.DeepCopy()
			released(obj, metav1.ConditionFalse, v2.UninstallFailedReason, err.Error())
			return ctrl.Result{}, errors.Join(err, p.Status().Patch(ctx, obj, client.MergeFrom(before)))
		}
		if err := p.dropTemplate(ctx, obj); err != nil {
			return ctrl.Result{}, err
		}
	}
	before := obj.DeepCopy()
	controllerutil.RemoveFinalizer(obj, v2.HelmReleaseFinalizer)
	return ctrl.Result{}, client.IgnoreNotFound(p.Patch(ctx, obj, client.MergeFrom(before)))
}
