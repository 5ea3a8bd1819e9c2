package provider

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"go.yaml.in/yaml/v4"
)

const defaultRenewal = "720h"

func (p *Provider) bootstrap() kind {
	return kind{
		inputs: map[string]field{
			"node": required(text()), "endpoint": text(), "clientConfiguration": clientConfiguration,
			"clientConfigurationWo": secret(clientConfiguration), "timeouts": object(texts("create")),
		},
		check: func(inputs resource.PropertyMap) error {
			return errors.Join(exactlyOne(inputs, "clientConfiguration"), checkTimeouts(inputs))
		},
		plan: func(_ context.Context, inputs, _ resource.PropertyMap) (resource.PropertyMap, []string, error) {
			planned := inputs.Copy()
			planned["endpoint"] = endpointFor(inputs)
			return planned, nil, nil
		},
		create: func(ctx context.Context, planned resource.PropertyMap) (string, resource.PropertyMap, error) {
			err := retry(ctx, planned, "create", func(ctx context.Context) error {
				return withNode(ctx, planned, func(ctx context.Context, c *client.Client) error {
					return c.Bootstrap(ctx, &machineapi.BootstrapRequest{})
				})
			})
			if err != nil {
				err = fmt.Errorf("bootstrap node %s: %w", str(planned, "node"), err)
			}
			return "machine_bootstrap", withoutWriteOnly(planned), err
		},
		update: func(_ context.Context, _, planned resource.PropertyMap) (resource.PropertyMap, error) {
			return withoutWriteOnly(planned), nil
		},
	}
}

func (p *Provider) kubeconfig() kind {
	return kind{
		inputs: map[string]field{
			"node": required(text()), "endpoint": text(), "clientConfiguration": required(clientConfiguration),
			"certificateRenewalDuration": text(), "timeouts": object(texts("create", "update")),
		},
		outputs: map[string]field{"kubeconfigRaw": secret(text()), "kubernetesClientConfiguration": kubernetesClientConfiguration},
		check: func(inputs resource.PropertyMap) error {
			if given := str(inputs, "certificateRenewalDuration"); given != "" {
				if _, err := time.ParseDuration(given); err != nil {
					return fmt.Errorf("certificateRenewalDuration: %q is not a duration like 720h", given)
				}
			}
			return checkTimeouts(inputs)
		},
		plan: planKubeconfig,
		create: func(ctx context.Context, planned resource.PropertyMap) (string, resource.PropertyMap, error) {
			name, err := fetchKubeconfig(ctx, planned, "create")
			return name, planned, err
		},
		update: func(ctx context.Context, prior, planned resource.PropertyMap) (resource.PropertyMap, error) {
			if !unknown(planned["kubeconfigRaw"]) {
				return planned, nil // only an old certificate makes it ask the node again
			}

			_, err := fetchKubeconfig(ctx, planned, "update")
			planned["id"] = prior["id"]
			return planned, err
		},
	}
}

func planKubeconfig(_ context.Context, inputs, prior resource.PropertyMap) (resource.PropertyMap, []string, error) {
	planned := inputs.Copy()
	planned["endpoint"] = endpointFor(inputs)
	if !isSet(planned, "certificateRenewalDuration") {
		planned["certificateRenewalDuration"] = resource.NewStringProperty(defaultRenewal)
	}

	planned["kubeconfigRaw"], planned["kubernetesClientConfiguration"] = computed(), computed()
	if prior == nil {
		return planned, nil, nil
	}

	within, err := time.ParseDuration(str(planned, "certificateRenewalDuration"))
	if err != nil {
		return nil, nil, err
	}

	if !expires(str(prior, "kubernetesClientConfiguration", "clientCertificate"), within) {
		planned["kubeconfigRaw"], planned["kubernetesClientConfiguration"] = prior["kubeconfigRaw"], prior["kubernetesClientConfiguration"]
	}
	return planned, nil, nil
}

// fetchKubeconfig asks the node, which makes it from its configuration: the API need not be up for that.
func fetchKubeconfig(ctx context.Context, planned resource.PropertyMap, which string) (cluster string, err error) {
	var document []byte

	err = retry(ctx, planned, which, func(ctx context.Context) error {
		return withNode(ctx, planned, func(ctx context.Context, c *client.Client) error {
			var err error
			document, err = c.Kubeconfig(ctx)
			return err
		})
	})
	if err != nil {
		return "", fmt.Errorf("retrieve the kubeconfig from node %s: %w", str(planned, "node"), err)
	}

	var parsed struct {
		CurrentContext string `yaml:"current-context"`
		Contexts       []struct {
			Name    string
			Context struct{ Cluster, User string }
		}
		Clusters []struct {
			Name    string
			Cluster struct {
				Server string
				CA     string `yaml:"certificate-authority-data"`
			}
		}
		Users []struct {
			Name string
			User struct {
				Certificate string `yaml:"client-certificate-data"`
				Key         string `yaml:"client-key-data"`
			}
		}
	}

	if err = yaml.Unmarshal(document, &parsed); err != nil {
		return "", fmt.Errorf("the kubeconfig of node %s: %w", str(planned, "node"), err)
	}

	access := map[string]any{}

	for _, c := range parsed.Contexts {
		if c.Name != parsed.CurrentContext {
			continue
		}

		cluster = c.Context.Cluster
		for _, known := range parsed.Clusters {
			if known.Name == cluster {
				access["host"], access["caCertificate"] = known.Cluster.Server, known.Cluster.CA
			}
		}

		for _, known := range parsed.Users {
			if known.Name == c.Context.User {
				access["clientCertificate"], access["clientKey"] = known.User.Certificate, known.User.Key
			}
		}
	}

	for _, name := range []string{"caCertificate", "clientCertificate", "clientKey"} {
		encoded, _ := access[name].(string)
		if _, err = base64.StdEncoding.DecodeString(encoded); err != nil || encoded == "" {
			return "", fmt.Errorf("the kubeconfig of node %s has no usable %s in its current context", str(planned, "node"), name)
		}
	}

	planned["kubeconfigRaw"] = resource.MakeSecret(resource.NewStringProperty(string(document)))
	planned["kubernetesClientConfiguration"] = properties(access)
	return cluster, nil
}
