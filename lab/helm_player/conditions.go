package main

import (
	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unplayed is the first field that a HelmRelease uses and that nothing here acts upon.
func unplayed(obj *v2.HelmRelease) string {
	for _, reference := range obj.Spec.DependsOn {
		if reference.ReadyExpr != "" {
			return "spec.dependsOn[].readyExpr"
		}
	}
	chart := obj.Spec.Chart
	switch spec := obj.Spec; {
	case spec.KubeConfig != nil:
		return "spec.kubeConfig"
	case spec.ServiceAccountName != "":
		return "spec.serviceAccountName"
	case spec.DriftDetection != nil && spec.DriftDetection.MustDetectChanges():
		return "spec.driftDetection"
	case spec.Test != nil && spec.Test.Enable:
		return "spec.test"
	case len(spec.HealthCheckExprs) > 0:
		return "spec.healthCheckExprs"
	case spec.WaitStrategy != nil:
		return "spec.waitStrategy"
	case chart != nil && chart.Spec.Verify != nil:
		return "spec.chart.spec.verify"
	}
	return ""
}

func set(obj *v2.HelmRelease, kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&obj.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: obj.Generation,
	})
}

// progressing says that work on the latest generation has begun. What was true of an earlier one is not known of this.
func progressing(obj *v2.HelmRelease) {
	ready := apimeta.FindStatusCondition(obj.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.ObservedGeneration != obj.Generation {
		set(obj, meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, "reconciliation in progress")
		set(obj, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, "Fulfilling prerequisites")
	}
}

// notReady leaves the generation unobserved: there is more to do.
func notReady(obj *v2.HelmRelease, reason, message string) {
	set(obj, meta.ReadyCondition, metav1.ConditionFalse, reason, message)
}

// released notes the outcome of an action of Helm, which Ready repeats.
func released(obj *v2.HelmRelease, status metav1.ConditionStatus, reason, message string) {
	set(obj, v2.ReleasedCondition, status, reason, message)
	set(obj, meta.ReadyCondition, status, reason, message)
}

// concluded ends the work on a generation.
func concluded(obj *v2.HelmRelease) {
	apimeta.RemoveStatusCondition(&obj.Status.Conditions, meta.ReconcilingCondition)
	apimeta.RemoveStatusCondition(&obj.Status.Conditions, meta.StalledCondition)
	obj.Status.ObservedGeneration = obj.Generation
}

// stalled ends the work on a generation that cannot succeed.
func stalled(obj *v2.HelmRelease, reason, message string) {
	concluded(obj)
	set(obj, meta.StalledCondition, metav1.ConditionTrue, reason, message)
	notReady(obj, reason, message)
}
