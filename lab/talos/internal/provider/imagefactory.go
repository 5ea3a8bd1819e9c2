package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/talos/pkg/machinery/platforms"

	"homelab/lab/talos/internal/imagefactory"
)

var talosVersion = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func (p *Provider) schematic() kind {
	return kind{
		inputs: texts("schematic"),
		check: func(inputs resource.PropertyMap) error {
			_, err := imagefactory.ParseSchematic([]byte(str(inputs, "schematic")))
			return err
		},
		plan: func(_ context.Context, inputs, _ resource.PropertyMap) (resource.PropertyMap, []string, error) {
			return inputs.Copy(), nil, nil
		},
		create: func(ctx context.Context, planned resource.PropertyMap) (string, resource.PropertyMap, error) {
			id, err := p.postSchematic(ctx, str(planned, "schematic"))
			return id, planned, err
		},
		// The engine keeps the old id of an updated resource; only the output property follows. So it is with the
		// official plugin.
		update: func(ctx context.Context, _, planned resource.PropertyMap) (resource.PropertyMap, error) {
			id, err := p.postSchematic(ctx, str(planned, "schematic"))
			planned["id"] = resource.NewStringProperty(id)
			return planned, err
		},
	}
}

func (p *Provider) postSchematic(ctx context.Context, document string) (string, error) {
	schematic, err := imagefactory.ParseSchematic([]byte(document))
	if err != nil {
		return "", err
	}

	body, err := schematic.Marshal()
	if err != nil {
		return "", err
	}

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.factory+"/schematics", bytes.NewReader(body))
	if err != nil {
		return "", err
	}

	request.Header.Set("Content-Type", "application/yaml")

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("create the schematic: %w", err)
	}
	defer response.Body.Close()

	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return "", err
	}

	if response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("create the schematic: %s answers %s: %s", p.factory, response.Status, bytes.TrimSpace(answer))
	}

	var created struct {
		ID string `json:"id"`
	}

	if err = json.Unmarshal(answer, &created); err != nil {
		return "", fmt.Errorf("create the schematic: %w", err)
	}
	return created.ID, nil
}

// urls computes addresses; nothing is asked over the network.
func (p *Provider) urls() function {
	return function{
		inputs: map[string]field{
			"schematicId": required(text()), "talosVersion": required(text()), "platform": text(), "architecture": text(), "sbc": text(),
		},
		call: func(_ context.Context, args resource.PropertyMap) (resource.PropertyMap, error) {
			factory, err := url.Parse(p.factory)
			if err != nil {
				return nil, fmt.Errorf("imageFactoryUrl %q: %w", p.factory, err)
			}

			if isSet(args, "platform") == isSet(args, "sbc") {
				return nil, fmt.Errorf("exactly one of platform or sbc must be set")
			}

			version := strings.TrimPrefix(str(args, "talosVersion"), "v")
			if !talosVersion.MatchString(version) {
				return nil, fmt.Errorf("talosVersion %q: must be a version like v1.13.0", version)
			}

			architecture := str(args, "architecture")
			if architecture == "" {
				architecture = "amd64"
			}

			addresses, err := addressesFor(str(args, "platform"), architecture, str(args, "schematicId"), "v"+version, p.factory, factory)
			if err != nil {
				return nil, err
			}
			return resource.PropertyMap{
				"id": resource.NewStringProperty(""), "architecture": resource.NewStringProperty(architecture), "urls": properties(addresses),
			}, nil
		},
	}
}

func addressesFor(platform, architecture, schematic, version, base string, factory *url.URL) (map[string]any, error) {
	image := func(file string) string { return fmt.Sprintf("%s/image/%s/%s/%s", base, schematic, version, file) }
	installer := func(name string) string { return fmt.Sprintf("%s/%s/%s:%s", factory.Host, name, schematic, version) }
	pxe := func(file string) string {
		return fmt.Sprintf("%s://pxe.%s/pxe/%s/%s/%s", factory.Scheme, factory.Host, schematic, version, file)
	}
	secure := func(found platforms.Platform, addresses map[string]any) {
		addresses["installerSecureboot"] = installer(found.Name + "-installer-secureboot")
	}

	switch platform {
	case "": // a single board computer
		return map[string]any{"installer": installer("metal-installer"), "diskImage": image("metal-arm64.raw.xz")}, nil
	case "metal":
		metal := platforms.MetalPlatform()
		return map[string]any{
			"installer": installer("metal-installer"), "installerSecureboot": installer("metal-installer-secureboot"),
			"iso": image(metal.ISOPath(architecture)), "isoSecureboot": image(metal.SecureBootISOPath(architecture)),
			"diskImage":           image(metal.DiskImageDefaultPath(architecture)),
			"diskImageSecureboot": image(metal.SecureBootDiskImageDefaultPath(architecture)),
			"pxe":                 pxe(metal.PXEScriptPath(architecture)), "kernel": image(metal.KernelPath(architecture)),
			"kernelCommandLine": image(metal.CmdlinePath(architecture)), "initramfs": image(metal.InitramfsPath(architecture)),
			"uki": image(metal.SecureBootUKIPath(architecture)),
		}, nil
	}

	for _, found := range platforms.CloudPlatforms() {
		if found.Name != platform {
			continue
		}

		addresses := map[string]any{"installer": installer(platform + "-installer")}
		if found.SecureBootSupported {
			secure(found, addresses)
		}

		for _, method := range found.BootMethods {
			switch method {
			case platforms.BootMethodDiskImage:
				addresses["diskImage"] = image(found.DiskImageDefaultPath(architecture))
				if found.SecureBootSupported {
					addresses["diskImageSecureboot"] = image(found.SecureBootDiskImageDefaultPath(architecture))
				}
			case platforms.BootMethodPXE:
				addresses["pxe"] = pxe(found.PXEScriptPath(architecture))
			case platforms.BootMethodISO:
				addresses["iso"] = image(found.ISOPath(architecture))
				if found.SecureBootSupported {
					addresses["isoSecureboot"] = image(found.SecureBootISOPath(architecture))
				}
			}
		}
		return addresses, nil
	}
	return nil, fmt.Errorf("platform %q is not one that Talos knows", platform)
}
