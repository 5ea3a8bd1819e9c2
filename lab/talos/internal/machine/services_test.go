package machine

import (
	"testing"
	"time"
)

func TestTheHealthOfAServiceThatHasJustStartedIsUnknown(t *testing.T) {
	health := service("etcd", "Running", "", true, time.Now().Add(-4*time.Second)).GetHealth()
	if !health.GetUnknown() || health.GetHealthy() {
		t.Errorf("after four seconds: %v", health)
	}
}

func TestAServiceThatWasCheckedIsHealthy(t *testing.T) {
	health := service("etcd", "Running", "", true, time.Now().Add(-6*time.Second)).GetHealth()
	if health.GetUnknown() || !health.GetHealthy() {
		t.Errorf("after six seconds: %v", health)
	}
}

func TestTheHealthOfAServiceThatDoesNotRunIsUnknown(t *testing.T) {
	health := service("kubelet", "Waiting", "Waiting for the node to be installed", false, time.Now().Add(-time.Hour)).GetHealth()
	if !health.GetUnknown() || health.GetHealthy() {
		t.Errorf("while it waits: %v", health)
	}
}
