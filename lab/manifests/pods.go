package main

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Pod is a pod's template and the level of its namespace.
type Pod struct {
	ID       string          `json:"id"`
	Level    string          `json:"level"`
	Metadata json.RawMessage `json:"metadata"`
	Spec     json.RawMessage `json:"spec"`
}

// refused evaluates pods with the checks of the admission plugin itself.
func refused(pods []Pod) (map[string][]Fact, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	found := map[string][]Fact{}
	for _, pod := range pods {
		level, err := api.ParseLevel(pod.Level)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pod.ID, err)
		}
		var metadata metav1.ObjectMeta
		var spec corev1.PodSpec
		if len(pod.Metadata) > 0 {
			if err := json.Unmarshal(pod.Metadata, &metadata); err != nil {
				found[pod.ID] = append(found[pod.ID], Fact{"decode", err.Error()})
				continue
			}
		}
		if err := json.Unmarshal(pod.Spec, &spec); err != nil {
			found[pod.ID] = append(found[pod.ID], Fact{"decode", err.Error()})
			continue
		}
		against := api.LevelVersion{Level: level, Version: api.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(against, &metadata, &spec) {
			if !result.Allowed {
				found[pod.ID] = append(found[pod.ID], Fact{result.ForbiddenReason, result.ForbiddenDetail})
			}
		}
	}
	return found, nil
}
