package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

const (
	defaultWait = 10 * time.Minute
	// firstPoll and lastPoll bound the pause between two looks at an object.
	firstPoll = 100 * time.Millisecond
	lastPoll  = time.Second
)

// notReadyError says that an object exists but has not become what was waited for. The engine lists the reasons
// below the message.
type notReadyError struct {
	message string
	reasons []string
}

func (e *notReadyError) Error() string { return e.message }

// timeoutOf returns how long to wait: customTimeouts first, then the annotation, then ten minutes.
func timeoutOf(seconds float64, obj *unstructured.Unstructured) time.Duration {
	if seconds > 0 {
		return time.Duration(seconds * float64(time.Second))
	}
	if n, err := strconv.Atoi(annotation(obj, timeoutAnnotation)); err == nil {
		return time.Duration(n) * time.Second
	}
	return defaultWait
}

// awaitReady blocks until a created or updated object is ready, and returns it as it is then. What ready means is
// the waitFor annotation's business, else the kind's.
func (p *provider) awaitReady(ctx context.Context, urn string, inputs, obj *unstructured.Unstructured, created bool, timeout time.Duration) (*unstructured.Unstructured, error) {
	if annotation(inputs, skipAwaitAnnotation) == "true" {
		return obj, nil
	}
	conditions, err := parseConditions(annotation(inputs, waitForAnnotation))
	if err != nil {
		return obj, err
	}
	w := &waiter{cluster: p.cluster, created: created, settle: endpointSettle}
	check := w.probe(obj)
	if len(conditions) > 0 {
		check = func(_ context.Context, live *unstructured.Unstructured) verdict { return conditions.check(live) }
	}
	if check == nil {
		return obj, nil
	}
	if limit := kindLimit(obj); limit > 0 && len(conditions) == 0 {
		timeout = min(timeout, limit)
	}
	client, err := p.cluster.client(obj)
	if err != nil {
		return obj, err
	}
	defer p.host.status(urn, "")
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for pause := firstPoll; ; pause = min(pause*3/2, lastPoll) {
		last := check(timed, obj)
		if last.ready {
			return obj, nil
		}
		if last.failed {
			return obj, &notReadyError{last.progress, w.reasons(context.WithoutCancel(ctx), obj, last)}
		}
		p.host.status(urn, fmt.Sprintf("waiting for %s %s: %s", obj.GetKind(), obj.GetName(), last.progress))
		if !sleep(timed, pause) {
			return obj, p.timedOut(ctx, w, obj, last, len(conditions) > 0)
		}
		live, err := client.Get(timed, obj.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return obj, &notReadyError{message: fmt.Sprintf("%s %q was deleted while it was waited for", obj.GetKind(), obj.GetName())}
		}
		if err == nil {
			obj = live
		}
	}
}

func (p *provider) timedOut(ctx context.Context, w *waiter, obj *unstructured.Unstructured, last verdict, custom bool) error {
	message := fmt.Sprintf("'%s' timed out waiting to be Ready", obj.GetName())
	if custom {
		message = "timed out waiting for the condition"
	}
	if ctx.Err() != nil {
		message = fmt.Sprintf("Resource operation was cancelled for %q", obj.GetName())
	}
	return &notReadyError{message, w.reasons(context.WithoutCancel(ctx), obj, last)}
}

// checkReady looks once, for a refresh: an object that is not ready counts as failed, and the next update waits again.
func (p *provider) checkReady(ctx context.Context, inputs, live *unstructured.Unstructured) error {
	if annotation(inputs, skipAwaitAnnotation) == "true" {
		return nil
	}
	switch gvk := live.GroupVersionKind(); gvk.Group + "/" + gvk.Kind {
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "batch/Job", "/Pod", "/Service", "networking.k8s.io/Ingress":
	default:
		return nil
	}
	w := &waiter{cluster: p.cluster}
	last := w.probe(live)(ctx, live)
	if last.ready {
		return nil
	}
	return &notReadyError{
		fmt.Sprintf("Resource '%s' was created but failed to initialize", live.GetName()), w.reasons(ctx, live, last),
	}
}

// awaitDeleted blocks until an object is gone; one of the same name that was made since does not count.
func (p *provider) awaitDeleted(ctx context.Context, urn string, client dynamic.ResourceInterface, obj *unstructured.Unstructured, timeout time.Duration) error {
	defer p.host.status(urn, "")
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	uid := obj.GetUID()
	for pause := firstPoll; ; pause = min(pause*3/2, lastPoll) {
		live, err := client.Get(timed, obj.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && uid != "" && live.GetUID() != uid {
			return nil
		}
		if err == nil {
			obj = live
			p.host.status(urn, fmt.Sprintf("waiting for the deletion of %s %s%s", obj.GetKind(), obj.GetName(), remaining(obj)))
		}
		if sleep(timed, pause) {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("Resource operation was cancelled for %q", obj.GetName())
		}
		finalizers := strings.Join(obj.GetFinalizers(), ", ")
		p.host.warn(urn, "finalizers might be preventing deletion (%s)", finalizers)
		return errors.New("timed out waiting for the condition")
	}
}

// remaining says what a namespace in deletion still holds, as its controller tells it.
func remaining(obj *unstructured.Unstructured) string {
	if obj.GetKind() != "Namespace" {
		return ""
	}
	for _, kind := range []string{"NamespaceFinalizersRemaining", "NamespaceContentRemaining"} {
		if c := condition(obj, kind); c["status"] == "True" {
			return fmt.Sprintf(": %v", c["message"])
		}
	}
	return ""
}

// sleep pauses; false means that the context ended first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
