package machine

import (
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// unknownFor is how long a service runs until Talos looks at its health for the first time: InitialDelay in HealthSettings
// of https://github.com/siderolabs/talos/tree/v1.13.9/internal/app/machined/pkg/system/services. Others have the second of
// health.DefaultSettings.
var unknownFor = map[string]time.Duration{"etcd": 5 * time.Second, "kubelet": 2 * time.Second, "udevd": 100 * time.Millisecond}

const unknownForMost = time.Second

// services is true to the simulated state: etcd is what its real process is, the kubelet runs with a running node.
func (m *Machine) services() []*machineapi.ServiceInfo {
	v := m.view()
	names := []string{"apid", "auditd", "containerd", "machined", "syslogd", "udevd"}

	if v.config != nil {
		names = append(names, "cri", "kubelet")
	}

	if v.controlPlane() {
		names = append(names, "etcd", "trustd")
	}

	var services []*machineapi.ServiceInfo
	for _, name := range names {
		state, message, healthy := "Running", "", true
		started := v.stageSince
		if name == "etcd" {
			started = m.site.control.StartedAt(v.spec.Address)
		}

		switch {
		case name == "etcd" && started.IsZero():
			state, message, healthy = "Preparing", "Running pre state", false
		case name == "etcd" && !m.site.control.Healthy(v.spec.Address):
			message, healthy = "context deadline exceeded", false
		case (name == "kubelet" || name == "cri") && v.stage != Running:
			state, message, healthy = "Waiting", "Waiting for the node to be installed", false
		}

		services = append(services, service(name, state, message, healthy, started))
	}
	return services
}

// service is what Talos says of one: until the first check nobody knows its health, which is not healthy either.
func service(name, state, message string, healthy bool, started time.Time) *machineapi.ServiceInfo {
	wait, special := unknownFor[name]
	if !special {
		wait = unknownForMost
	}

	known := started.Add(wait)
	health := &machineapi.ServiceHealth{Healthy: healthy, LastMessage: message, LastChange: timestamppb.New(known)}
	if state != "Running" || time.Now().Before(known) {
		health = &machineapi.ServiceHealth{Unknown: true, LastMessage: "Unknown", LastChange: timestamppb.New(started)}
	}

	event := message
	if state == "Running" {
		event = "Started"
		if health.GetHealthy() {
			event = "Health check successful"
		}
	}
	return &machineapi.ServiceInfo{
		Id: name, State: state, Health: health,
		Events: &machineapi.ServiceEvents{Events: []*machineapi.ServiceEvent{{State: state, Msg: event, Ts: health.GetLastChange()}}},
	}
}
