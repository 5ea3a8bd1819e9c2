// Command talos-release is what one release of Talos says about a machine configuration and about Kubernetes. It is built
// once for each release, with that release's machinery: see the *.mod files.
//
//	talos-release generate < request.json   # prints a machine configuration; as the Talos provider makes it
//	talos-release validate < configuration  # fails if this release cannot read it, or refuses it
//	talos-release kubernetes TALOS          # prints the minor versions of Kubernetes 1.x that TALOS supports
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/compatibility"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
)

// newestMinor bounds the search for supported versions of Kubernetes 1.x.
const newestMinor = 99

// request is what the program asks the Talos provider for.
type request struct {
	ClusterName       string   `json:"clusterName"`
	ClusterEndpoint   string   `json:"clusterEndpoint"`
	MachineType       string   `json:"machineType"`
	TalosVersion      string   `json:"talosVersion"`
	KubernetesVersion string   `json:"kubernetesVersion"`
	ConfigPatches     []string `json:"configPatches"`
}

// cloud is the validation mode of the nocloud platform: Talos is on the disk already.
type cloud struct{}

func (cloud) String() string        { return "cloud" }
func (cloud) RequiresInstall() bool { return false }
func (cloud) InContainer() bool     { return false }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "generate":
		return generated(os.Stdin, os.Stdout)
	case len(arguments) == 1 && arguments[0] == "validate":
		return validated(os.Stdin)
	case len(arguments) == 2 && arguments[0] == "kubernetes":
		return supported(arguments[1], os.Stdout)
	}
	return fmt.Errorf("which of generate, validate, kubernetes TALOS?")
}

func generated(from io.Reader, to io.Writer) error {
	var asked request
	if err := json.NewDecoder(from).Decode(&asked); err != nil {
		return err
	}

	kind, err := machine.ParseType(asked.MachineType)
	if err != nil {
		return err
	}

	contract, err := config.ParseContractFromVersion(asked.TalosVersion)
	if err != nil {
		return err
	}

	input, err := generate.NewInput(asked.ClusterName, asked.ClusterEndpoint, strings.TrimPrefix(asked.KubernetesVersion, "v"),
		generate.WithVersionContract(contract))
	if err != nil {
		return err
	}

	base, err := input.Config(kind)
	if err != nil {
		return err
	}

	patches, err := configpatcher.LoadPatches(asked.ConfigPatches)
	if err != nil {
		return fmt.Errorf("load the patches: %w", err)
	}

	patched, err := configpatcher.Apply(configpatcher.WithConfig(base), patches)
	if err != nil {
		return err
	}

	document, err := patched.Bytes()
	if err != nil {
		return err
	}

	_, err = to.Write(document)
	return err
}

func validated(from io.Reader) error {
	document, err := io.ReadAll(from)
	if err != nil {
		return err
	}

	configuration, err := configloader.NewFromBytes(document)
	if err != nil {
		return err
	}

	warnings, err := configuration.Validate(cloud{})
	for _, warning := range warnings {
		fmt.Fprintln(os.Stderr, "warning:", warning)
	}
	return err
}

func supported(talos string, to io.Writer) error {
	release, err := compatibility.ParseTalosVersion(&machineapi.VersionInfo{Tag: talos})
	if err != nil {
		return err
	}

	for minor := range newestMinor {
		version, err := compatibility.ParseKubernetesVersion(fmt.Sprintf("1.%d.0", minor))
		if err != nil {
			return err
		}

		if version.SupportedWith(release) == nil {
			fmt.Fprintln(to, minor)
		}
	}
	return nil
}
