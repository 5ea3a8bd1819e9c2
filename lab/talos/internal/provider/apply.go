package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
)

const stagedIfNeeded = "staged_if_needing_reboot"

var applyModes = []string{"auto", "reboot", "no_reboot", "staged", stagedIfNeeded}

func (p *Provider) configurationApply() kind {
	inputs := map[string]field{
		"node": required(text()), "endpoint": text(), "applyMode": text(), "configPatches": list(),
		"clientConfiguration": clientConfiguration, "clientConfigurationWo": secret(clientConfiguration),
		"machineConfigurationInput": secret(text()), "machineConfigurationInputWo": secret(text()),
		"onDestroy": object(map[string]field{"reset": boolean(), "graceful": boolean(), "reboot": boolean()}),
		"timeouts":  object(texts("create", "update", "delete")),
	}
	return kind{
		inputs:  inputs,
		outputs: map[string]field{"machineConfiguration": secret(text()), "machineConfigurationHash": text(), "resolvedApplyMode": text()},
		check:   checkApply,
		plan:    p.planApply,
		create: func(ctx context.Context, planned resource.PropertyMap) (string, resource.PropertyMap, error) {
			return "machine_configuration_apply", withoutWriteOnly(planned), apply(ctx, planned, "create")
		},
		update: func(ctx context.Context, _, planned resource.PropertyMap) (resource.PropertyMap, error) {
			return withoutWriteOnly(planned), apply(ctx, planned, "update")
		},
		remove: remove,
	}
}

// withoutWriteOnly leaves out what must not reach the state.
func withoutWriteOnly(values resource.PropertyMap) resource.PropertyMap {
	kept := values.Copy()
	delete(kept, "clientConfigurationWo")
	delete(kept, "machineConfigurationInputWo")
	return kept
}

func exactlyOne(inputs resource.PropertyMap, name string) error {
	if isSet(inputs, name) == isSet(inputs, name+"Wo") {
		return fmt.Errorf("exactly one of %s or %sWo must be set", name, name)
	}
	return nil
}

func checkTimeouts(inputs resource.PropertyMap) error {
	for _, which := range []string{"create", "update", "delete"} {
		if _, err := timeout(inputs, which); err != nil {
			return err
		}
	}
	return nil
}

func checkApply(inputs resource.PropertyMap) error {
	if mode := str(inputs, "applyMode"); mode != "" && !slices.Contains(applyModes, mode) {
		return fmt.Errorf("applyMode %q: must be one of %s", mode, strings.Join(applyModes, ", "))
	}
	return errors.Join(exactlyOne(inputs, "machineConfigurationInput"), exactlyOne(inputs, "clientConfiguration"), checkTimeouts(inputs))
}

// endpointFor is the planned endpoint: as given, else the node.
func endpointFor(inputs resource.PropertyMap) resource.PropertyValue {
	if isSet(inputs, "endpoint") {
		return inputs["endpoint"]
	}
	return inputs["node"]
}

// patched merges the patches into the configuration, by Talos' own rules.
func patched(configuration string, patches []string) (string, error) {
	loaded, err := configpatcher.LoadPatches(patches)
	if err != nil {
		return "", fmt.Errorf("configPatches: %w", err)
	}

	result, err := configpatcher.Apply(configpatcher.WithBytes([]byte(configuration)), loaded)
	if err != nil {
		return "", fmt.Errorf("apply configPatches: %w", err)
	}

	document, err := result.Bytes()
	return string(document), err
}

func (p *Provider) planApply(ctx context.Context, inputs, prior resource.PropertyMap) (resource.PropertyMap, []string, error) {
	planned := inputs.Copy()
	planned["endpoint"] = endpointFor(inputs)
	if !isSet(planned, "applyMode") {
		planned["applyMode"] = resource.NewStringProperty("auto")
	}

	if onDestroy := plain(inputs["onDestroy"]); onDestroy.IsObject() {
		full := resource.NewPropertyMapFromMap(map[string]any{"reset": false, "graceful": true, "reboot": false})
		for key, value := range onDestroy.ObjectValue() {
			full[key] = value
		}

		planned["onDestroy"] = resource.NewObjectProperty(full)
	}

	source := "machineConfigurationInput"
	if isSet(inputs, source+"Wo") {
		source += "Wo"
	}

	if unknown(inputs[resource.PropertyKey(source)]) || unknown(inputs["configPatches"]) {
		for _, name := range []resource.PropertyKey{"machineConfiguration", "machineConfigurationHash", "resolvedApplyMode"} {
			planned[name] = computed()
			if value, found := prior[name]; found {
				planned[name] = value
			}
		}
		return planned, nil, nil
	}

	configuration, err := patched(str(inputs, source), stringsOf(inputs["configPatches"]))
	if err != nil {
		return nil, nil, err
	}

	sum := sha256.Sum256([]byte(configuration))
	planned["machineConfigurationHash"] = resource.NewStringProperty(hex.EncodeToString(sum[:]))
	if source == "machineConfigurationInput" {
		planned["machineConfiguration"] = resource.MakeSecret(resource.NewStringProperty(configuration))
	}

	planned["resolvedApplyMode"] = p.resolveMode(ctx, planned, prior, configuration)
	return planned, nil, nil
}

// resolveMode asks the node with a dry run whether a change needs a reboot, if the mode wants to know.
func (p *Provider) resolveMode(ctx context.Context, planned, prior resource.PropertyMap, configuration string) resource.PropertyValue {
	mode := planned["applyMode"]
	if str(planned, "applyMode") != stagedIfNeeded {
		return mode
	}

	auto := resource.NewStringProperty("auto")
	if unknown(planned["node"]) || unknown(planned["endpoint"]) || unknown(planned["clientConfiguration"]) || unknown(planned["clientConfigurationWo"]) {
		return auto
	}

	if prior != nil && str(prior, "machineConfiguration") == configuration && str(prior, "resolvedApplyMode") != "" {
		return prior["resolvedApplyMode"]
	}

	reboot := false
	node := str(planned, "node")

	err := withNode(ctx, planned, func(ctx context.Context, c *client.Client) error {
		answer, err := c.ApplyConfiguration(ctx, &machineapi.ApplyConfigurationRequest{
			Mode: machineapi.ApplyConfigurationRequest_AUTO, Data: []byte(configuration), DryRun: true,
		})
		if err == nil && len(answer.GetMessages()) > 0 {
			reboot = answer.GetMessages()[0].GetMode() == machineapi.ApplyConfigurationRequest_REBOOT
		}
		return err
	})
	switch {
	case err != nil:
		p.warning(ctx, "cannot check whether node %s needs a reboot: %v; using mode 'auto', which may reboot it", node, err)
	case reboot:
		p.warning(ctx, "node %s needs a reboot for this configuration, which is staged; reboot it with: talosctl reboot --nodes %s", node, node)
		return resource.NewStringProperty("staged")
	}
	return auto
}

func apply(ctx context.Context, planned resource.PropertyMap, which string) error {
	source := str(planned, "machineConfiguration")
	if isSet(planned, "machineConfigurationInputWo") {
		var err error
		if source, err = patched(str(planned, "machineConfigurationInputWo"), stringsOf(planned["configPatches"])); err != nil {
			return err
		}
	}

	mode := machineapi.ApplyConfigurationRequest_Mode_value[strings.ToUpper(str(planned, "resolvedApplyMode"))]

	err := retry(ctx, planned, which, func(ctx context.Context) error {
		return withNode(ctx, planned, func(ctx context.Context, c *client.Client) error {
			_, err := c.ApplyConfiguration(ctx, &machineapi.ApplyConfigurationRequest{
				Mode: machineapi.ApplyConfigurationRequest_Mode(mode), Data: []byte(source),
			})
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("apply the configuration to node %s: %w", str(planned, "node"), err)
	}
	return nil
}

// remove resets the node if the stored state says so; otherwise the node keeps its configuration.
func remove(ctx context.Context, state resource.PropertyMap) error {
	onDestroy := plain(state["onDestroy"])
	if !onDestroy.IsObject() || !truth(onDestroy.ObjectValue(), "reset") {
		return nil
	}

	limit, err := timeout(state, "delete")
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	err = withNode(ctx, state, func(ctx context.Context, c *client.Client) error {
		return reset(ctx, c, state, truth(onDestroy.ObjectValue(), "graceful"), truth(onDestroy.ObjectValue(), "reboot"))
	})
	if err != nil {
		return fmt.Errorf("reset node %s: %w", str(state, "node"), err)
	}
	return nil
}

// reset follows the node's events until it stops its services and, with reboot, waits until it is back.
func reset(ctx context.Context, c *client.Client, state resource.PropertyMap, graceful, reboot bool) error {
	events := make(chan client.EventResult, 64)
	if err := c.EventsWatchV2(ctx, events); err != nil {
		return err
	}

	before := ""
	if reboot {
		var err error
		if before, err = bootID(ctx, c); err != nil {
			return err
		}
	}

	if _, err := c.ResetGenericWithResponse(ctx, &machineapi.ResetRequest{
		Graceful: graceful, Reboot: reboot,
		SystemPartitionsToWipe: []*machineapi.ResetPartitionSpec{{Label: "STATE", Wipe: true}, {Label: "EPHEMERAL", Wipe: true}},
	}); err != nil {
		return err
	}

	if err := stopped(ctx, events); err != nil || !reboot {
		return err
	}

	for {
		if probe, err := insecureClient(ctx, str(state, "endpoint")); err == nil {
			_, err = probe.Disks(client.WithNode(ctx, str(state, "node")))
			_ = probe.Close()
			if err == nil {
				return nil // in maintenance mode
			}
		}

		if now, err := bootID(ctx, c); err == nil && now != before {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func stopped(ctx context.Context, events <-chan client.EventResult) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-events:
			if event.Error != nil {
				return event.Error
			}

			switch payload := event.Event.Payload.(type) {
			case *machineapi.TaskEvent:
				if payload.GetTask() == "stopAllServices" {
					return nil
				}
			case *machineapi.SequenceEvent:
				if message := payload.GetError().GetMessage(); message != "" {
					return errors.New(message)
				}
			}
		}
	}
}

func bootID(ctx context.Context, c *client.Client) (string, error) {
	reader, err := c.Read(ctx, "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	defer reader.Close()

	content, err := io.ReadAll(reader)
	return strings.TrimSpace(string(content)), err
}
