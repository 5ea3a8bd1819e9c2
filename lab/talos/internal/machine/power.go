package machine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"

	"homelab/lab/talos/internal/kubernetes"
)

// begin starts the power session: a goroutine that boots the machine and then serves its requests until end.
func (m *Machine) begin() {
	ctx, cancel := context.WithCancel(context.Background())

	m.site.mu.Lock()
	m.cancel, m.ended, m.requests = cancel, make(chan struct{}), make(chan request)
	ended, requests := m.ended, m.requests
	m.site.mu.Unlock()

	m.note("power-on")
	m.setStage(Booting)
	go func() {
		defer close(ended)

		m.boot(ctx, m.site.options.BootTime)
		for {
			select {
			case <-ctx.Done():
				return
			case do := <-requests:
				do(ctx)
			}
		}
	}()
}

// end cuts the power (cut) or shuts down, and returns when nothing of the machine runs any more.
func (m *Machine) end(cut bool) {
	m.site.mu.Lock()
	cancel, ended := m.cancel, m.ended
	m.site.mu.Unlock()
	if cancel == nil {
		return
	}

	cancel()
	m.stopServices(cut)
	<-ended
	m.stopServices(cut) // what the session started while it was being stopped

	m.site.mu.Lock()
	m.cancel, m.busy = nil, false
	m.site.mu.Unlock()

	m.setStage(Off)
	m.note("power-off")
}

// ask hands a request to the power session. It refuses while another one runs, and when the machine is off.
func (m *Machine) ask(do request) error {
	_, err := m.asked(do)
	return err
}

// asked is ask with a channel that is closed once the machine takes the next request.
func (m *Machine) asked(do request) (<-chan struct{}, error) {
	m.site.mu.Lock()
	if m.cancel == nil || m.busy {
		m.site.mu.Unlock()
		return nil, errBusy
	}

	m.busy = true
	requests, ended := m.requests, m.ended
	m.site.mu.Unlock()

	done := make(chan struct{})
	go func() {
		select {
		case requests <- func(ctx context.Context) {
			defer close(done)
			do(ctx)
			m.site.mu.Lock()
			m.busy = false
			m.site.mu.Unlock()
		}:
		case <-ended:
		}
	}()
	return done, nil
}

var errBusy = fmt.Errorf("the machine is off, or already rebooting, upgrading or resetting")

// boot waits and brings the machine to what its disk holds.
func (m *Machine) boot(ctx context.Context, wait time.Duration) {
	if !pause(ctx, wait) {
		return
	}

	m.setStage(Booting)

	if m.revert() {
		// The new system did not come up: its boot ends in another one, of the old system.
		m.restart(ctx)
		return
	}

	m.site.mu.Lock()
	r := &m.record
	if r.PendingVersion != "" {
		r.Version, r.Schematic = r.PendingVersion, r.PendingSchematic
		r.PendingVersion, r.PendingSchematic = "", ""
	}

	m.bootID = uuid()
	m.config = m.stored
	m.events = nil
	m.left = false
	m.site.mu.Unlock()

	m.newState()
	m.startServices(ctx)
}

// revert takes an upgrade back whose system fails to boot because a test wants it so, and tells whether there was one.
// Talos does it with revertBootloader, in internal/app/machined/main.go and revert.go.
func (m *Machine) revert() bool {
	m.site.mu.Lock()
	version := m.record.PendingVersion
	fails := m.bootFails && version != ""
	if fails {
		m.bootFails = false
		m.record.PendingVersion, m.record.PendingSchematic = "", ""
	}
	m.site.mu.Unlock()

	if fails {
		m.note("upgrade-reverted", "version", version)
	}
	return fails
}

// startServices opens the API in the mode that the configuration asks for, and starts the etcd member if there is one.
func (m *Machine) startServices(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}

	if member, ok := m.member(); ok && kubernetes.HasData(member) && m.site.belongs(member) {
		if err := m.site.control.Adopt(member); err != nil {
			m.note("error", "error", err)
		}
	}

	if err := m.listen(ctx); err != nil {
		m.note("error", "error", err)
	}

	if m.view().config == nil {
		m.setStage(Maintenance)
	} else {
		m.publish()
		m.setStage(Running)
	}

	if err := m.save(); err != nil {
		m.note("error", "error", err)
	}
}

// belongs tells whether the member is of the cluster that runs, or of the first one after a start of the lab.
func (s *Site) belongs(member kubernetes.Member) bool {
	id := s.control.ClusterID()
	return id == "" || id == member.Config.Cluster().ID()
}

// stopServices ends API, proxy and etcd member. The kubelet's lease follows from the stage.
func (m *Machine) stopServices(cut bool) {
	m.site.mu.Lock()
	server, proxy := m.server, m.proxy
	m.server, m.proxy = nil, nil
	address := m.record.Spec.Address
	m.site.mu.Unlock()
	if server != nil {
		server.Stop()
	}

	if proxy != nil {
		_ = proxy.Close()
	}

	m.port.Close()
	m.site.control.Halt(address, cut)
}

// restart is a reboot from within: everything is really away for the reboot time.
func (m *Machine) restart(ctx context.Context) {
	m.setStage(Rebooting)
	m.stopServices(false)

	m.site.mu.Lock()
	m.record.Reboots = append(m.record.Reboots, time.Now().UTC())
	m.site.mu.Unlock()

	m.boot(ctx, m.site.options.RebootTime)
}

// reboot answers the caller first, then stops the services and restarts.
func (m *Machine) reboot(actor, sequence string) error {
	return m.ask(func(ctx context.Context) {
		if !pause(ctx, 200*time.Millisecond) {
			return
		}

		m.note("reboot", "reason", sequence)
		m.emit(actor, &machineapi.SequenceEvent{Sequence: sequence, Action: machineapi.SequenceEvent_START})
		m.emit(actor, &machineapi.TaskEvent{Task: "stopAllServices", Action: machineapi.TaskEvent_START})
		if pause(ctx, 200*time.Millisecond) {
			m.restart(ctx)
		}
	})
}

// reset leaves the cluster, wipes what was asked for, and reboots into maintenance mode or halts.
func (m *Machine) reset(actor string, graceful, reboot, wipeState, wipeData bool) error {
	return m.ask(func(ctx context.Context) {
		if !pause(ctx, 100*time.Millisecond) {
			return
		}

		m.emit(actor, &machineapi.SequenceEvent{Sequence: "reset", Action: machineapi.SequenceEvent_START})
		v := m.view()
		if member, ok := m.member(); wipeData && ok {
			if graceful && m.site.control.Ready(ctx) == nil {
				_ = m.site.control.Cordon(ctx, v.hostname) // the API may be gone by now: nodes leave side by side
			}

			if err := m.site.control.Leave(ctx, member, graceful); err != nil {
				m.note("reset-failed", "error", err)
				m.emit(actor, &machineapi.SequenceEvent{Sequence: "reset", Action: machineapi.SequenceEvent_STOP, Error: failure(err)})
				return
			}
		}

		m.emit(actor, &machineapi.TaskEvent{Task: "stopAllServices", Action: machineapi.TaskEvent_START})
		if !pause(ctx, 300*time.Millisecond) {
			return
		}

		m.setStage(Rebooting)
		m.stopServices(false)

		m.site.mu.Lock()
		if wipeState {
			m.config, m.stored = nil, nil
		}
		m.site.mu.Unlock()

		m.note("reset", "graceful", graceful, "reboot", reboot)
		if err := m.save(); err != nil {
			m.note("error", "error", err)
		}

		if reboot {
			m.restart(ctx)
		} else {
			m.setStage(Halted)
		}
	})
}

// configure is the way from maintenance mode to a running node.
func (m *Machine) configure() error {
	return m.ask(func(ctx context.Context) {
		if !pause(ctx, 100*time.Millisecond) { // the answer goes out first
			return
		}

		m.site.mu.Lock()
		server := m.server
		m.config, m.server = m.stored, nil
		m.site.mu.Unlock()
		if server != nil {
			server.Stop()
		}

		m.setStage(Installing)
		if err := m.listen(ctx); err != nil {
			m.note("error", "error", err)
		}

		if pause(ctx, m.site.options.InstallTime) {
			m.publish()
			m.setStage(Running)
		}
	})
}

// setSilent makes the machine hang, or lets it continue, and returns when that has happened and it can be asked again.
func (m *Machine) setSilent(silent bool) error {
	if (m.view().stage == Silent) == silent {
		return nil
	}

	m.site.mu.Lock()
	ended := m.ended
	m.site.mu.Unlock()

	done, err := m.asked(func(ctx context.Context) {
		if silent {
			m.setStage(Silent)
			m.stopServices(true)
		} else {
			m.startServices(ctx)
		}
	})
	if err != nil {
		return err
	}

	select {
	case <-done:
	case <-ended: // switched off in the meantime
	}
	return nil
}

// pause waits and tells whether the machine still has power.
func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return ctx.Err() == nil
	}
}

func fallbackHostname(address string) string {
	return "talos-" + strings.NewReplacer(".", "-", ":", "").Replace(address)
}

// stableHostname has the form of Talos' own; a real node derives it from its machine id.
func stableHostname(vmid int, mac string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%d/%s", vmid, mac)))
	text := new(big.Int).SetBytes(sum[:]).Text(36)
	return "talos-" + text[1:4] + "-" + text[4:7]
}
