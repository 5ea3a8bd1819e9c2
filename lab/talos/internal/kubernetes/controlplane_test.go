package kubernetes

import (
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
)

func controlPlane(t *testing.T, endpoint, patch string) Member {
	t.Helper()

	input, err := generate.NewInput("lab", endpoint, "1.36.3")
	if err != nil {
		t.Fatal(err)
	}

	base, err := input.Config(machine.TypeControlPlane)
	if err != nil {
		t.Fatal(err)
	}

	patches, err := configpatcher.LoadPatches([]string{patch})
	if err != nil {
		t.Fatal(err)
	}

	patched, err := configpatcher.Apply(configpatcher.WithConfig(base), patches)
	if err != nil {
		t.Fatal(err)
	}

	cfg, err := patched.Config()
	if err != nil {
		t.Fatal(err)
	}
	return Member{Config: cfg}
}

const (
	asDocument = "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 127.31.3.1\nlink: eth0"
	asV1Alpha1 = "machine: {network: {interfaces: [{interface: eth0, vip: {ip: 127.31.3.1}}]}}"
	noVIP      = "machine: {nodeLabels: {a: b}}"
)

func TestTheAPIListensOnTheDeclaredVirtualAddress(t *testing.T) {
	for _, patch := range []string{asDocument, asV1Alpha1} {
		host, port, err := endpointOf(controlPlane(t, "https://api.lab:7443", patch))
		if err != nil || host != "127.31.3.1" || port != 7443 {
			t.Errorf("%s: got %s:%d, %v", patch, host, port, err)
		}
	}
}

func TestWithoutAVirtualAddressTheEndpointIsUsed(t *testing.T) {
	if host, port, err := endpointOf(controlPlane(t, "https://127.31.1.1:6443", noVIP)); err != nil || host != "127.31.1.1" || port != 6443 {
		t.Errorf("got %s:%d, %v", host, port, err)
	}
}

func TestAnEndpointThatIsANameNeedsAVirtualAddress(t *testing.T) {
	if _, _, err := endpointOf(controlPlane(t, "https://api.lab:6443", noVIP)); err == nil || !strings.Contains(err.Error(), "api.lab") {
		t.Errorf("got %v", err)
	}
}

func TestExtraArgumentsOfTheConfigurationWin(t *testing.T) {
	args := render(map[string]string{"profiling": "false", "v": "1"}, map[string][]string{"v": {"4"}})
	if strings.Join(args, " ") != "--profiling=false --v=4" {
		t.Errorf("got %q", args)
	}
}

func TestANodeOfTheLabListensAtItsOwnAddressWhateverTheConfigurationSays(t *testing.T) {
	flags := map[string]string{"bind-address": "127.20.1.1", "v": "1"}
	args := render(flags, map[string][]string{"bind-address": {"0.0.0.0"}, "v": {"4"}}, "bind-address")
	if strings.Join(args, " ") != "--bind-address=127.20.1.1 --v=4" {
		t.Errorf("got %q", args)
	}
}
