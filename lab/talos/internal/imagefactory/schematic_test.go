package imagefactory

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const guestAgent = `
customization:
  systemExtensions:
    officialExtensions: [siderolabs/qemu-guest-agent]
`

func TestTheIdOfAPublishedSchematicIsReproduced(t *testing.T) {
	schematic, err := ParseSchematic([]byte(guestAgent))
	if err != nil {
		t.Fatal(err)
	}

	if id, _ := schematic.ID(); id != "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515" {
		t.Errorf("the qemu-guest-agent schematic has id %s", id)
	}
}

func TestTheEmptySchematicHasItsWellKnownId(t *testing.T) {
	if DefaultID != "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba" {
		t.Errorf("the empty schematic has id %s", DefaultID)
	}
}

func TestAMisspeltSchematicKeyIsRefused(t *testing.T) {
	if _, err := ParseSchematic([]byte("customization: {extraKernelArg: [a]}")); err == nil || !strings.Contains(err.Error(), "extraKernelArg") {
		t.Errorf("want an error that names the key, got %v", err)
	}
}

func TestVersionAndSchematicAreFoundInEveryKindOfReference(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for _, reference := range []string{
		"127.20.0.11:8090/nocloud-installer/" + id + ":v1.13.9",
		"http://127.20.0.11:8090/image/" + id + "/v1.13.9/nocloud-amd64.qcow2",
		"local:import/talos-v1.13.9-" + id + ".qcow2",
	} {
		if schematic, version := ParseImage(reference); schematic != id || version != "v1.13.9" {
			t.Errorf("%s: got schematic %q, version %q", reference, schematic, version)
		}
	}
}

func TestAnAddressIsNotTakenForAVersion(t *testing.T) {
	if _, version := ParseImage("127.20.0.11:8090/installer"); version != "" {
		t.Errorf("got version %q", version)
	}
}

func TestTheFactoryAnswersLikeTheRealOne(t *testing.T) {
	factory, err := Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}

	id, err := factory.Add([]byte(guestAgent))
	if err != nil {
		t.Fatal(err)
	}

	wrong, err := factory.Add([]byte("customization: {systemExtensions: {officialExtensions: [siderolabs/no-such]}}"))
	if err != nil {
		t.Fatalf("an unknown extension is refused with the image, not with the schematic: %v", err)
	}

	for path, want := range map[string]int{
		"/image/" + id + "/v1.13.9/nocloud-amd64.qcow2":                      http.StatusOK,
		"/image/" + wrong + "/v1.13.9/nocloud-amd64.qcow2":                   http.StatusBadRequest,
		"/image/" + id + "/v9.9.9/nocloud-amd64.qcow2":                       http.StatusBadRequest,
		"/image/" + strings.Repeat("0", 64) + "/v1.13.9/nocloud-amd64.qcow2": http.StatusNotFound,
		"/versions":                            http.StatusOK,
		"/version/v1.13.9/extensions/official": http.StatusOK,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			answer := httptest.NewRecorder()
			factory.Handler().ServeHTTP(answer, httptest.NewRequest(method, path, nil))
			if answer.Code != want {
				t.Errorf("%s %s: got %d, want %d", method, path, answer.Code, want)
			}
		}
	}
}

func TestSchematicsSurviveARestart(t *testing.T) {
	dir := t.TempDir()

	first, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}

	id, err := first.Add([]byte(guestAgent))
	if err != nil {
		t.Fatal(err)
	}

	second, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}

	if _, found := second.Lookup(id); !found {
		t.Error("the schematic is gone")
	}
}

func TestAnImageIsBuiltWhenItIsFirstAskedForAndNeverAgain(t *testing.T) {
	const buildTime = 500 * time.Millisecond

	factory, err := Open(t.TempDir(), buildTime)
	if err != nil {
		t.Fatal(err)
	}

	ask := func(ctx context.Context) time.Duration {
		began := time.Now()
		request := httptest.NewRequestWithContext(ctx, http.MethodHead, "/image/"+DefaultID+"/v1.13.9/nocloud-amd64.qcow2", nil)
		factory.Handler().ServeHTTP(httptest.NewRecorder(), request)

		return time.Since(began)
	}

	impatient, giveUp := context.WithTimeout(t.Context(), buildTime/5)
	defer giveUp()
	ask(impatient)

	began := time.Now()
	ask(t.Context())

	if waited := time.Since(began); waited >= buildTime {
		t.Errorf("the build began anew after somebody had given up: it took %s", waited)
	}

	if waited := ask(t.Context()); waited >= buildTime/2 {
		t.Errorf("a built image took %s", waited)
	}
}
