package machine

import (
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
)

func configuration(t *testing.T, patches ...string) config.Provider {
	t.Helper()

	input, err := generate.NewInput("lab", "https://127.31.3.1:6443", "1.36.3")
	if err != nil {
		t.Fatal(err)
	}

	base, err := input.Config(machine.TypeControlPlane)
	if err != nil {
		t.Fatal(err)
	}

	loaded, err := configpatcher.LoadPatches(patches)
	if err != nil {
		t.Fatal(err)
	}

	patched, err := configpatcher.Apply(configpatcher.WithConfig(base), loaded)
	if err != nil {
		t.Fatal(err)
	}

	document, err := patched.Bytes()
	if err != nil {
		t.Fatal(err)
	}

	provider, err := configloader.NewFromBytes(document)
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

func change(t *testing.T, base config.Provider, patch string) config.Provider {
	t.Helper()

	loaded, err := configpatcher.LoadPatches([]string{patch})
	if err != nil {
		t.Fatal(err)
	}

	patched, err := configpatcher.Apply(configpatcher.WithConfig(base), loaded)
	if err != nil {
		t.Fatal(err)
	}

	next, err := patched.Config()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestALabelNeedsNoReboot(t *testing.T) {
	base := configuration(t)
	if needsReboot(base, change(t, base, "machine: {nodeLabels: {a: b}}")) {
		t.Error("a node label reboots the node")
	}
}

func TestAnUdevRuleNeedsAReboot(t *testing.T) {
	base := configuration(t)
	if !needsReboot(base, change(t, base, "machine: {udev: {rules: [x]}}")) {
		t.Error("a udev rule does not reboot the node")
	}
}

func TestAnotherDocumentNeedsNoReboot(t *testing.T) {
	base := configuration(t)
	if needsReboot(base, change(t, base, "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: tailscale\nenvironment: [A=b]")) {
		t.Error("an ExtensionServiceConfig reboots the node")
	}
}

func TestTheConfiguredHostnameWins(t *testing.T) {
	cfg := change(t, configuration(t), "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: cp1\nauto: off")
	if name := hostname(cfg, 101, Spec{Name: "vm", Address: "127.31.1.1"}); name != "cp1" {
		t.Errorf("got %q", name)
	}
}

func TestWithoutAHostnameTheNameOfTheVMIsNotUsed(t *testing.T) {
	name := hostname(configuration(t), 101, Spec{Name: "vm", Address: "127.31.1.1"})
	if !strings.HasPrefix(name, "talos-") {
		t.Errorf("got %q: nocloud on this hypervisor brings no host name", name)
	}
}
