// Package imagefactory is the local Image Factory: the schematic format that the provider and the factory share, and
// the HTTP service. It builds no image: what it serves is a placeholder that names version and schematic.
package imagefactory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v4"
)

// Schematic is a request for a customised image, with the factory's own field order: the order is part of the id.
type Schematic struct {
	Overlay       *Overlay      `yaml:"overlay,omitempty"`
	Customization Customization `yaml:"customization"`
}

// Overlay selects a board support package.
type Overlay struct {
	Image   string         `yaml:"image"`
	Name    string         `yaml:"name"`
	Options map[string]any `yaml:"options,omitempty"`
}

// Customization is what differs from the stock image.
type Customization struct {
	EmbeddedMachineConfiguration string            `yaml:"embeddedMachineConfiguration,omitempty"`
	ExtraKernelArgs              []string          `yaml:"extraKernelArgs,omitempty"`
	Meta                         []MetaValue       `yaml:"meta,omitempty"`
	SystemExtensions             *SystemExtensions `yaml:"systemExtensions,omitempty"`
	Bootloader                   string            `yaml:"bootloader,omitempty"`
	SecureBoot                   *SecureBoot       `yaml:"secureboot,omitempty"`
	DiskImage                    *DiskImage        `yaml:"diskImage,omitempty"`
}

// MetaValue is an initial value of the META partition.
type MetaValue struct {
	Key   uint8  `yaml:"key"`
	Value string `yaml:"value"`
}

// SystemExtensions lists official extensions by name.
type SystemExtensions struct {
	OfficialExtensions []string `yaml:"officialExtensions,omitempty"`
}

// SecureBoot holds the secure boot options.
type SecureBoot struct {
	EnrollKeys                   string `yaml:"enrollKeys,omitempty"`
	IncludeWellKnownCertificates bool   `yaml:"includeWellKnownCertificates,omitempty"`
}

// DiskImage holds the options of a disk image.
type DiskImage struct {
	SectorSize uint `yaml:"sectorSize,omitempty"`
}

// DefaultID is the id of the schematic without customisation.
var DefaultID, _ = Schematic{}.ID()

// ParseSchematic reads a schematic and refuses what the format does not know.
func ParseSchematic(document []byte) (Schematic, error) {
	var schematic Schematic
	if len(bytes.TrimSpace(document)) == 0 {
		return schematic, nil
	}

	decoder := yaml.NewDecoder(bytes.NewReader(document))
	decoder.KnownFields(true)
	if err := decoder.Decode(&schematic); err != nil {
		return schematic, fmt.Errorf("schematic: %w", err)
	}
	return schematic, nil
}

// Marshal returns the normalised form that the id is computed from.
func (s Schematic) Marshal() ([]byte, error) {
	var out bytes.Buffer

	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(4)
	if err := encoder.Encode(s); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// ID is the SHA-256 of the normalised form, in hexadecimal.
func (s Schematic) ID() (string, error) {
	document, err := s.Marshal()
	if err != nil {
		return "", err
	}

	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:]), nil
}

// Extensions returns the names of the official extensions.
func (s Schematic) Extensions() []string {
	if s.Customization.SystemExtensions == nil {
		return nil
	}
	return s.Customization.SystemExtensions.OfficialExtensions
}

var (
	schematicPattern = regexp.MustCompile(`(?:^|[^0-9a-f])([0-9a-f]{64})(?:[^0-9a-f]|$)`)
	versionPattern   = regexp.MustCompile(`(?:^|[^0-9A-Za-z])v(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?)`)
)

// ParseImage finds the schematic id and the version ("v1.13.9") in the reference of an installer or in the path, URL or
// file name of a disk image. A part that is missing comes back empty.
func ParseImage(reference string) (schematic, version string) {
	if match := schematicPattern.FindStringSubmatch(reference); match != nil {
		schematic = match[1]
	}

	if matches := versionPattern.FindAllStringSubmatch(reference, -1); len(matches) > 0 {
		version = "v" + matches[len(matches)-1][1]
	}
	return schematic, version
}
