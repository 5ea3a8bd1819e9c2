package machine

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	cosiapi "github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"google.golang.org/grpc"

	"homelab/lab/talos/internal/kubernetes"
)

// Stage is where a machine is in its life cycle.
type Stage string

// The stages, as the control API names them.
const (
	Off         Stage = "off"
	Booting     Stage = "booting"
	Maintenance Stage = "maintenance"
	Installing  Stage = "installing"
	Running     Stage = "running"
	Rebooting   Stage = "rebooting"
	Halted      Stage = "halted" // reset without a reboot: on, and doing nothing until it is switched off and on
	Silent      Stage = "silent" // a test made it hang
)

const (
	recordFile = "machine.json"
	configFile = "config.yaml"
)

var builtFor = gendata.VersionTag

// record is what a machine keeps on its disk, apart from the configuration.
type record struct {
	Spec             Spec        `json:"spec"` // as of the last time that it was switched on
	Next             Spec        `json:"next"`
	On               bool        `json:"on"`
	Schematic        string      `json:"schematic"`
	Version          string      `json:"version"`
	PendingSchematic string      `json:"pendingSchematic,omitempty"` // an upgrade that waits for the reboot
	PendingVersion   string      `json:"pendingVersion,omitempty"`
	PowerCycles      []time.Time `json:"powerCycles"`
	Reboots          []time.Time `json:"reboots"`
}

// Machine is one VM. What lies below the line is guarded by the site's mu.
type Machine struct {
	site *Site
	vmid int
	port *kubernetes.Kubelet

	// ---
	record record
	config config.Provider // in effect
	stored config.Provider // on the disk: differs from config while a staged change waits for a reboot
	stage  Stage
	since  time.Time // when the stage began
	ready  bool
	bootID string

	cancel   context.CancelFunc // ends the power session
	ended    chan struct{}
	requests chan request

	server       *grpc.Server
	proxy        net.Listener
	state        state.State
	cosi         cosiapi.StateServer
	events       []*machineapi.Event
	watchers     map[chan *machineapi.Event]struct{}
	maintenance  tls.Certificate
	certificate  *tls.Certificate
	certified    config.Provider // the configuration that certificate belongs to
	registered   string          // the Node as it was registered last
	silenced     bool
	registeredAt time.Time
	played       bool // kwok was seen to renew the node's lease since
	joining      bool
	bootFails    bool // the system of the next upgrade does not boot: a test wants it so
	busy         bool // rebooting, upgrading or resetting
	left         bool // etcd was told to leave, and starts again with the next boot

	images   map[string]string    // of the Kubernetes components, as they run since the boot imagesOf
	changing map[string]time.Time // since when another image than the running one is wanted
	imagesOf string

	mirroredAt time.Time

	noImages bool // a test wants every pull to fail
}

// request is something that the machine does with itself between two looks at its power switch.
type request func(ctx context.Context)

func newMachine(s *Site, vmid int) *Machine {
	port := &kubernetes.Kubelet{Control: s.control}
	return &Machine{site: s, vmid: vmid, port: port, stage: Off, watchers: map[chan *machineapi.Event]struct{}{}}
}

// view is a consistent copy of the fields that readers need.
type view struct {
	spec                 Spec
	config               config.Provider
	hostname             string
	stage                Stage
	stageSince           time.Time
	ready                bool
	left                 bool
	bootID               string
	version, schematic   string
	powerCycles, reboots []time.Time
	cosi                 cosiapi.StateServer
}

func (m *Machine) view() view {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()

	spec := m.record.Spec
	if spec.Address == "" {
		spec = m.record.Next // never switched on
	}
	return view{
		spec: spec, config: m.config, hostname: hostname(m.config, m.vmid, spec), stage: m.stage, stageSince: m.since,
		ready: m.ready, left: m.left, bootID: m.bootID, version: m.record.Version, schematic: m.record.Schematic, cosi: m.cosi,
		powerCycles: append([]time.Time{}, m.record.PowerCycles...), reboots: append([]time.Time{}, m.record.Reboots...),
	}
}

func (v view) controlPlane() bool {
	return v.config != nil && v.config.Machine().Type().IsControlPlane()
}

func (m *Machine) setLeft(left bool) {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()

	m.left = left
}

func (m *Machine) on() bool {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()
	return m.cancel != nil
}

// member describes the machine to the control plane; false when it is not a configured control plane.
func (m *Machine) member() (kubernetes.Member, bool) {
	v := m.view()
	if !v.controlPlane() {
		return kubernetes.Member{}, false
	}
	return kubernetes.Member{
		Machine: m.vmid, Name: v.hostname, Address: v.spec.Address, DataDir: filepath.Join(m.dir(), "etcd"), Config: v.config,
	}, true
}

func (m *Machine) dir() string { return filepath.Join(m.site.options.Dir, strconv.Itoa(m.vmid)) }

// save writes the record and the stored configuration. The configuration holds secrets, as the disk of a real node does.
func (m *Machine) save() error {
	m.site.mu.Lock()
	document, err := json.MarshalIndent(m.record, "", "  ")
	stored := m.stored
	m.site.mu.Unlock()
	if err != nil {
		return err
	}

	if err = os.MkdirAll(m.dir(), 0o700); err != nil {
		return err
	}

	path := filepath.Join(m.dir(), configFile)
	if stored == nil {
		if err = os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else {
		content, err := stored.Bytes()
		if err != nil {
			return err
		}

		if err = replace(path, content); err != nil {
			return err
		}
	}
	return replace(filepath.Join(m.dir(), recordFile), document)
}

func replace(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}

	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func (s *Site) load(vmid int) (*Machine, error) {
	m := newMachine(s, vmid)

	document, err := os.ReadFile(filepath.Join(m.dir(), recordFile))
	if err != nil {
		return nil, err
	}

	if err = json.Unmarshal(document, &m.record); err != nil {
		return nil, fmt.Errorf("%s: %w", recordFile, err)
	}

	document, err = os.ReadFile(filepath.Join(m.dir(), configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	} else if err != nil {
		return nil, err
	}

	if m.stored, err = configloader.NewFromBytes(document); err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}

	m.config = m.stored
	return m, nil
}

// hostname follows Talos: the configuration's own, else a name from the machine's identity or its address.
func hostname(cfg config.Provider, vmid int, spec Spec) string {
	if cfg == nil {
		return fallbackHostname(spec.Address)
	}

	if named := cfg.NetworkHostnameConfig(); named != nil {
		if named.Hostname() != "" {
			return named.Hostname()
		}

		if named.AutoHostname().String() == "stable" {
			return stableHostname(vmid, spec.MAC)
		}
	}
	return fallbackHostname(spec.Address)
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (m *Machine) note(kind string, details ...any) {
	v := m.view()
	m.site.journal.Record(kind, m.vmid, v.spec.Name, details...)
}

// setStage moves the machine on and publishes it.
func (m *Machine) setStage(stage Stage) {
	m.site.mu.Lock()
	changed := m.stage != stage
	if changed {
		m.stage, m.since = stage, time.Now()
	}

	m.ready = false
	m.site.mu.Unlock()
	if changed {
		m.note("stage", "stage", stage)
		m.publishStatus()
	}
}
