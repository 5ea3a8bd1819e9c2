// Package machine plays the Talos nodes: power, maintenance mode, the Talos API with its PKI, reboot, upgrade and reset.
//
// A machine exists once its VM was announced and loses its disk when the VM is destroyed. Installing does not happen:
// the platform is nocloud, whose disk image holds Talos. The Kubernetes behind the nodes is package kubernetes.
package machine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"homelab/lab/talos/internal/imagefactory"
	"homelab/lab/talos/internal/journal"
	"homelab/lab/talos/internal/kubernetes"
)

// Options are the site's settings.
type Options struct {
	Dir         string // state directory of the machines
	Talosctl    string // absolute path of the binary that validates configurations
	BootTime    time.Duration
	InstallTime time.Duration // between a first configuration and the running node
	RebootTime  time.Duration
}

// Spec is a VM as the hypervisor announces it.
type Spec struct {
	Name      string `json:"name"`
	Address   string `json:"address"`
	MAC       string `json:"mac"`
	Cores     int    `json:"cores"`
	MemoryMiB int64  `json:"memoryMiB"`
	DiskBytes int64  `json:"diskBytes"`
	Host      string `json:"host"`
	Image     string `json:"image"`
}

// Site is every machine and what they share. It is safe for concurrent use.
type Site struct {
	options Options
	control *kubernetes.ControlPlane
	factory *imagefactory.Factory
	journal *journal.Journal

	power sync.Mutex // held while machines are announced, switched or destroyed

	mu       sync.Mutex // guards the map and everything in the machines that says so
	machines map[int]*Machine
	gone     map[string]bool // names of Node objects without a machine, whose lease has to stop
}

// Open loads the machines of an earlier run and switches on those that were on.
func Open(options Options, control *kubernetes.ControlPlane, factory *imagefactory.Factory, events *journal.Journal) (*Site, error) {
	s := &Site{options: options, control: control, factory: factory, journal: events, machines: map[int]*Machine{}, gone: map[string]bool{}}

	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("machines: %w", err)
	}

	records, err := filepath.Glob(filepath.Join(options.Dir, "*", recordFile))
	if err != nil {
		return nil, err
	}

	for _, record := range records {
		vmid, err := strconv.Atoi(filepath.Base(filepath.Dir(record)))
		if err != nil {
			return nil, fmt.Errorf("machines: %s is not the directory of a VM id", filepath.Dir(record))
		}

		m, err := s.load(vmid)
		if err != nil {
			return nil, fmt.Errorf("machine %d: %w", vmid, err)
		}

		s.machines[vmid] = m
	}

	// All members are known before the first one starts: the last one to leave takes the cluster with it.
	for _, m := range s.machines {
		if member, ok := m.member(); ok && kubernetes.HasData(member) {
			control.Know(member)
		}
	}

	for _, m := range s.machines {
		if m.record.On {
			m.record.On = false
			s.switchOn(m)
		}
	}
	return s, nil
}

// Announce creates or updates a machine and switches it on or off. Doing it twice changes nothing.
func (s *Site) Announce(vmid int, spec Spec, on bool) error {
	if vmid <= 0 {
		return fmt.Errorf("VM id %d: must be positive", vmid)
	}

	if _, err := netip.ParseAddr(spec.Address); err != nil {
		return fmt.Errorf("machine %d: address %q is not an IP address", vmid, spec.Address)
	}

	s.power.Lock()
	defer s.power.Unlock()

	s.mu.Lock()
	for _, other := range s.machines {
		if other.vmid != vmid && other.record.Next.Address == spec.Address {
			s.mu.Unlock()
			return fmt.Errorf("machine %d: address %s is that of machine %d (%s)", vmid, spec.Address, other.vmid, other.record.Next.Name)
		}
	}

	m := s.machines[vmid]
	if m == nil {
		m = newMachine(s, vmid)
		s.machines[vmid] = m
		s.journal.Record("created", vmid, spec.Name, "address", spec.Address, "image", spec.Image)
	}

	m.record.Next = spec
	isOn := m.record.On
	s.mu.Unlock()
	switch {
	case on && !isOn:
		s.switchOn(m)
	case !on && isOn:
		s.switchOff(m)
	}
	return m.save()
}

// Destroy removes a machine with its disk. A machine that does not exist is not an error.
func (s *Site) Destroy(ctx context.Context, vmid int) error {
	s.power.Lock()
	defer s.power.Unlock()

	s.mu.Lock()
	m := s.machines[vmid]
	s.mu.Unlock()
	if m == nil {
		return nil
	}

	if m.on() {
		s.switchOff(m)
	}

	if member, ok := m.member(); ok {
		if err := s.control.Leave(ctx, member, false); err != nil {
			return err
		}
	}

	s.mu.Lock()
	delete(s.machines, vmid)
	s.forget(m.registered)
	name := m.record.Next.Name
	s.mu.Unlock()

	s.journal.Record("destroyed", vmid, name)
	return os.RemoveAll(m.dir())
}

// SetSilent makes a machine hang: it stays on and listens to nothing. With silent=false it continues.
func (s *Site) SetSilent(vmid int, silent bool) error {
	s.mu.Lock()
	m := s.machines[vmid]
	s.mu.Unlock()
	if m == nil {
		return fmt.Errorf("machine %d does not exist", vmid)
	}
	return m.setSilent(silent)
}

// FailNextUpgrade has the system of a machine's next upgrade not boot.
func (s *Site) FailNextUpgrade(vmid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	m := s.machines[vmid]
	if m == nil {
		return fmt.Errorf("machine %d does not exist", vmid)
	}

	m.bootFails = true
	return nil
}

// Close switches everything off without forgetting that it was on.
func (s *Site) Close() {
	s.power.Lock()
	defer s.power.Unlock()

	var group sync.WaitGroup
	for _, m := range s.list() {
		if m.on() {
			group.Go(func() { m.end(false) })
		}
	}

	group.Wait()
}

func (s *Site) switchOn(m *Machine) {
	s.mu.Lock()
	m.record.On = true
	m.record.Spec = m.record.Next
	m.record.PowerCycles = append(m.record.PowerCycles, time.Now().UTC())
	if m.config == nil {
		// A blank disk: the image decides what runs. Later only an upgrade does.
		m.record.Schematic, m.record.Version = imageOf(m.record.Spec.Image)
	}
	s.mu.Unlock()

	m.begin()
}

func (s *Site) switchOff(m *Machine) {
	s.mu.Lock()
	m.record.On = false
	s.mu.Unlock()

	m.end(true)
}

func (s *Site) list() []*Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.machines), func(a, b *Machine) int { return cmp.Compare(a.vmid, b.vmid) })
}

// find resolves a node by address or host name.
func (s *Site) find(node string) *Machine {
	for _, m := range s.list() {
		if v := m.view(); v.spec.Address == node || v.hostname == node {
			return m
		}
	}
	return nil
}

// Report is a machine as the control API shows it.
type Report struct {
	VMID        int         `json:"vmid"`
	Name        string      `json:"name"`
	Address     string      `json:"address"`
	Host        string      `json:"host"`
	Hostname    string      `json:"hostname"`
	Stage       Stage       `json:"stage"`
	Ready       bool        `json:"ready"`
	Configured  bool        `json:"configured"`
	Type        string      `json:"type"`
	Version     string      `json:"version"`
	Schematic   string      `json:"schematic"`
	Extensions  []string    `json:"extensions"`
	BootID      string      `json:"bootId"`
	PowerCycles []time.Time `json:"powerCycles"`
	Reboots     []time.Time `json:"reboots"`
	EtcdStarted time.Time   `json:"etcdStarted"` // the zero time while the machine runs no etcd
}

// Reports lists all machines by VM id.
func (s *Site) Reports() []Report {
	reports := []Report{}

	for _, m := range s.list() {
		v := m.view()
		report := Report{
			VMID: m.vmid, Name: v.spec.Name, Address: v.spec.Address, Host: v.spec.Host, Hostname: v.hostname, Stage: v.stage, Ready: v.ready,
			Configured: v.config != nil, Version: v.version, Schematic: v.schematic, BootID: v.bootID, PowerCycles: v.powerCycles, Reboots: v.reboots,
			Extensions: []string{}, EtcdStarted: s.control.StartedAt(v.spec.Address),
		}

		if v.config != nil {
			report.Type = v.config.Machine().Type().String()
		}

		if schematic, found := s.factory.Lookup(v.schematic); found {
			report.Extensions = append(report.Extensions, schematic.Extensions()...)
		}

		reports = append(reports, report)
	}
	return reports
}

// imageOf is what a disk image runs; one that names neither runs the newest version that the lab was built for.
func imageOf(image string) (schematic, version string) {
	schematic, version = imagefactory.ParseImage(image)
	if schematic == "" {
		schematic = imagefactory.DefaultID
	}

	if version == "" {
		version = builtFor
	}
	return schematic, version
}
