package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	sideronet "github.com/siderolabs/net"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/bundle"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
)

// machineConfiguration generates with machinery's own generator, so that documents and defaults are Talos'.
func (p *Provider) machineConfiguration() function {
	return function{
		inputs: map[string]field{
			"clusterName": required(text()), "clusterEndpoint": required(text()), "machineType": required(text()),
			"machineSecrets": required(machineSecrets), "configPatches": list(), "kubernetesVersion": text(), "talosVersion": text(),
			"docs": boolean(), "examples": boolean(),
		},
		call: func(_ context.Context, args resource.PropertyMap) (resource.PropertyMap, error) {
			configuration, err := generateConfiguration(args)
			if err != nil {
				return nil, fmt.Errorf("generate the machine configuration: %w", err)
			}
			return resource.PropertyMap{
				"id":                   args["clusterName"],
				"machineConfiguration": resource.NewStringProperty(configuration),
				"kubernetesVersion":    resource.NewStringProperty(constants.DefaultKubernetesVersion),
				"talosVersion":         resource.NewStringProperty(defaultContract()),
			}, nil
		},
	}
}

func generateConfiguration(args resource.PropertyMap) (string, error) {
	endpoint := str(args, "clusterEndpoint")

	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Scheme != "https" {
		return "", fmt.Errorf("clusterEndpoint %q: must be a URL like https://10.0.1.10:6443", endpoint)
	}

	if err = sideronet.ValidateEndpointURI(endpoint); err != nil {
		return "", fmt.Errorf("clusterEndpoint %q: %w", endpoint, err)
	}

	kind, err := machine.ParseType(str(args, "machineType"))
	if err != nil || kind != machine.TypeControlPlane && kind != machine.TypeWorker {
		return "", fmt.Errorf("machineType %q: must be controlplane or worker", str(args, "machineType"))
	}

	secretsBundle, err := toBundle(args["machineSecrets"].ObjectValue())
	if err != nil {
		return "", err
	}

	contractVersion := str(args, "talosVersion")
	if contractVersion == "" {
		contractVersion = defaultContract()
	}

	contract, err := config.ParseContractFromVersion(contractVersion)
	if err != nil {
		return "", fmt.Errorf("talosVersion %q: %w", contractVersion, err)
	}

	kubernetesVersion := str(args, "kubernetesVersion")
	if kubernetesVersion == "" {
		kubernetesVersion = constants.DefaultKubernetesVersion
	}

	patches, err := configpatcher.LoadPatches(stringsOf(args["configPatches"]))
	if err != nil {
		return "", fmt.Errorf("configPatches: %w", err)
	}

	patch := bundle.WithPatchControlPlane
	if kind == machine.TypeWorker {
		patch = bundle.WithPatchWorker
	}

	generated, err := bundle.NewBundle(
		bundle.WithInputOptions(&bundle.InputOptions{
			ClusterName: str(args, "clusterName"), Endpoint: endpoint, KubeVersion: strings.TrimPrefix(kubernetesVersion, "v"),
			GenOptions: []generate.Option{
				generate.WithClusterDiscovery(true), generate.WithDNSDomain(constants.DefaultDNSDomain), generate.WithInstallDisk("/dev/sda"),
				generate.WithInstallImage(fmt.Sprintf("%s/%s/installer:%s", gendata.ImagesRegistry, gendata.ImagesUsername, gendata.VersionTag)),
				generate.WithSecretsBundle(secretsBundle), generate.WithVersionContract(contract),
			},
		}),
		bundle.WithVerbose(false), patch(patches),
	)
	if err != nil {
		return "", err
	}

	comments := encoder.CommentsDisabled
	if truth(args, "docs") {
		comments |= encoder.CommentsDocs
	}

	if truth(args, "examples") {
		comments |= encoder.CommentsExamples
	}

	document, err := generated.Serialize(comments, kind)
	return string(document), err
}

func (p *Provider) clientConfiguration() function {
	return function{
		inputs: map[string]field{
			"clusterName": required(text()), "clientConfiguration": required(clientConfiguration), "endpoints": list(), "nodes": list(),
		},
		call: func(_ context.Context, args resource.PropertyMap) (resource.PropertyMap, error) {
			name := str(args, "clusterName")

			talosconfig, err := credentials(name, args)
			if err != nil {
				return nil, err
			}

			current, found := talosconfig.Contexts[name]
			if !found {
				return nil, errors.New("clusterName must not be empty")
			}

			if endpoints := stringsOf(args["endpoints"]); len(endpoints) > 0 {
				current.Endpoints = endpoints
			}

			if nodes := stringsOf(args["nodes"]); len(nodes) > 0 {
				current.Nodes = nodes
			}

			document, err := talosconfig.Bytes()
			return resource.PropertyMap{"id": args["clusterName"], "talosConfig": resource.NewStringProperty(string(document))}, err
		},
	}
}
