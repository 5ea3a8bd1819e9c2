package kubernetes

import (
	"errors"
	"strings"
	"testing"
)

const stages = `# a comment
kind: Stage
metadata: {name: of-services}
spec: {resourceRef: {apiGroup: v1, kind: Service}}
---
kind: Stage
metadata: {name: of-issuers}
spec: {resourceRef: {apiGroup: cert-manager.io/v1, kind: Issuer}}
---
kind: Stage
metadata: {name: of-issuers-too}
spec: {resourceRef: {apiGroup: cert-manager.io/v1, kind: Issuer}}
`

func TestOnlyStagesOfServedKindsAreKept(t *testing.T) {
	kept, err := servedStages([]byte(stages), func(kind stageKind) (bool, error) { return kind.APIGroup == "v1", nil })
	if err != nil || !strings.Contains(string(kept), "of-services") || strings.Contains(string(kept), "of-issuers") {
		t.Errorf("got %s, %v", kept, err)
	}
}

func TestStagesThatAreAllServedKeepTheirOrder(t *testing.T) {
	kept, err := servedStages([]byte(stages), func(stageKind) (bool, error) { return true, nil })
	if err != nil || strings.Count(string(kept), "---") != 3 || strings.Index(string(kept), "of-services") > strings.Index(string(kept), "of-issuers") {
		t.Errorf("got %s, %v", kept, err)
	}
}

func TestAKindIsAskedForOnce(t *testing.T) {
	asked := 0
	_, err := servedStages([]byte(stages), func(stageKind) (bool, error) { asked++; return true, nil })
	if err != nil || asked != 2 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func TestAStageIsNotDroppedWhenTheAPIDoesNotAnswer(t *testing.T) {
	silent := errors.New("no answer")
	if _, err := servedStages([]byte(stages), func(stageKind) (bool, error) { return false, silent }); !errors.Is(err, silent) {
		t.Errorf("got %v", err)
	}
}
