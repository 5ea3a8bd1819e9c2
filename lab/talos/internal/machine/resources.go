package machine

import (
	"context"
	"net/netip"

	cosiapi "github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	cosiserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/cosi-project/runtime/pkg/state/registry"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"homelab/lab/talos/internal/kubernetes"
)

// kinds are the resources that clients ask the lab's nodes for.
var kinds = []meta.ResourceWithRD{
	&runtime.MachineStatus{}, &runtime.Diagnostic{}, &runtime.ExtensionStatus{}, &k8s.StaticPodStatus{},
	&k8s.BootstrapManifestsConfig{}, &k8s.Nodename{}, &block.VolumeStatus{}, &cluster.Member{}, &k8s.Manifest{}, &config.MachineConfig{},
}

// newState empties the node's resources, as a boot does.
func (m *Machine) newState() {
	ctx := context.Background()
	fresh := state.WrapCore(namespaced.NewState(inmem.Build))
	types := registry.NewResourceRegistry(fresh)

	// The registries only fail on a state that is not empty.
	_ = registry.NewNamespaceRegistry(fresh).RegisterDefault(ctx)
	_ = types.RegisterDefault(ctx)
	for _, kind := range kinds {
		_ = types.Register(ctx, kind)
	}

	m.site.mu.Lock()
	m.state, m.cosi = fresh, cosiserver.NewState(fresh)
	m.site.mu.Unlock()

	m.publishStatus()
}

// put creates or updates a resource.
func put[T resource.Resource](m *Machine, fresh T, fill func(T)) {
	m.site.mu.Lock()
	st := m.state
	m.site.mu.Unlock()
	if st == nil {
		return
	}

	fill(fresh)

	err := st.Create(context.Background(), fresh)
	if state.IsConflictError(err) {
		_, err = st.UpdateWithConflicts(context.Background(), fresh.Metadata(), func(known resource.Resource) error {
			if typed, ok := known.(T); ok {
				fill(typed)
			}
			return nil
		})
	}

	if err != nil {
		m.note("error", "resource", fresh.Metadata().String(), "error", err)
	}
}

var stages = map[Stage]struct {
	resource runtime.MachineStage
	event    machineapi.MachineStatusEvent_MachineStage
}{
	Booting:     {runtime.MachineStageBooting, machineapi.MachineStatusEvent_BOOTING},
	Maintenance: {runtime.MachineStageMaintenance, machineapi.MachineStatusEvent_MAINTENANCE},
	Installing:  {runtime.MachineStageInstalling, machineapi.MachineStatusEvent_INSTALLING},
	Running:     {runtime.MachineStageRunning, machineapi.MachineStatusEvent_RUNNING},
	Rebooting:   {runtime.MachineStageRebooting, machineapi.MachineStatusEvent_REBOOTING},
	Halted:      {runtime.MachineStageShuttingDown, machineapi.MachineStatusEvent_SHUTTING_DOWN},
}

// publishStatus shows the stage. A control plane whose etcd does not run yet is still booting, as on a real node.
func (m *Machine) publishStatus() {
	v := m.view()
	shown, known := stages[v.stage]
	if !known {
		return
	}

	if v.stage == Running && !v.ready {
		shown = stages[Booting]
	}

	put(m, runtime.NewMachineStatus(), func(r *runtime.MachineStatus) {
		r.TypedSpec().Stage, r.TypedSpec().Status.Ready = shown.resource, v.ready
	})
	m.emit("", &machineapi.MachineStatusEvent{Stage: shown.event, Status: &machineapi.MachineStatusEvent_MachineStatus{Ready: v.ready}})
}

// publish fills the resources of a configured node; members of the cluster learn of each other.
func (m *Machine) publish() {
	v := m.view()
	if v.config == nil {
		return
	}

	put(m, k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID), func(r *k8s.Nodename) { r.TypedSpec().Nodename = v.hostname })
	for label, device := range map[string]string{"STATE": "/dev/sda4", "EPHEMERAL": "/dev/sda5"} {
		put(m, block.NewVolumeStatus(block.NamespaceName, label), func(r *block.VolumeStatus) {
			r.TypedSpec().Phase, r.TypedSpec().Location, r.TypedSpec().Size = block.VolumePhaseReady, device, uint64(v.spec.DiskBytes)
		})
	}

	m.publishConfiguration(v)
	if v.controlPlane() {
		put(m, k8s.NewBootstrapManifestsConfig(), func(r *k8s.BootstrapManifestsConfig) {
			r.TypedSpec().CNIName = v.config.Cluster().Network().CNI().Name()
		})
		m.publishManifests()
	}

	m.publishExtensions(v)
	for _, other := range m.site.list() {
		o := other.view()
		if o.config != nil && o.config.Cluster().ID() == v.config.Cluster().ID() {
			m.publishMember(o)
			other.publishMember(v)
		}
	}
}

// publishConfiguration shows the configuration in effect. Its type cannot be changed in place.
func (m *Machine) publishConfiguration(v view) {
	m.site.mu.Lock()
	st := m.state
	m.site.mu.Unlock()
	if st == nil {
		return
	}

	shown := config.NewMachineConfig(v.config)
	_ = st.Destroy(context.Background(), shown.Metadata()) // it may not be there
	if err := st.Create(context.Background(), shown); err != nil {
		m.note("error", "resource", shown.Metadata().String(), "error", err)
	}
}

// publishManifests shows what this release of Talos wants in Kubernetes, which need not be what is there.
func (m *Machine) publishManifests() {
	member, ok := m.member()
	if !ok {
		return
	}

	objects, err := kubernetes.BootstrapManifests(member.Config)
	if err != nil {
		m.note("error", "resource", "manifests", "error", err)
		return
	}

	put(m, k8s.NewManifest(k8s.ControlPlaneNamespaceName, "lab"), func(r *k8s.Manifest) {
		r.TypedSpec().Items = nil
		for _, object := range objects {
			r.TypedSpec().Items = append(r.TypedSpec().Items, k8s.SingleManifest{Object: object})
		}
	})
}

func (m *Machine) publishMember(of view) {
	address, err := netip.ParseAddr(of.spec.Address)
	if err != nil {
		return
	}

	put(m, cluster.NewMember(cluster.NamespaceName, of.hostname), func(r *cluster.Member) {
		t := r.TypedSpec()
		t.NodeID, t.Hostname, t.MachineType, t.OperatingSystem = of.hostname, of.hostname, of.config.Machine().Type(), "Talos ("+of.version+")"
		t.Addresses = []netip.Addr{address}
	})
}

// publishExtensions shows what the running image holds; the schematic itself appears as an extension, as in real images.
func (m *Machine) publishExtensions(v view) {
	layer := func(id, name, version string) {
		put(m, runtime.NewExtensionStatus(runtime.NamespaceName, id), func(r *runtime.ExtensionStatus) {
			r.TypedSpec().Image = id
			r.TypedSpec().Metadata = extensions.Metadata{Name: name, Version: version}
		})
	}

	layer("schematic", "schematic", v.schematic)
	if schematic, found := m.site.factory.Lookup(v.schematic); found {
		for _, name := range schematic.Extensions() {
			layer(shortName(name), shortName(name), v.version)
		}
	}
}

func (m *Machine) publishStaticPods(v view) {
	for _, part := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		put(m, k8s.NewStaticPodStatus(k8s.NamespaceName, "kube-system/"+part+"-"+v.hostname), func(r *k8s.StaticPodStatus) {
			r.TypedSpec().PodStatus = map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
		})
	}
}

// emit sends an event to whoever watches and keeps it until the next boot.
func (m *Machine) emit(actor string, payload proto.Message) {
	content, err := proto.Marshal(payload)
	if err != nil {
		return
	}

	event := &machineapi.Event{Id: uuid(), ActorId: actor, Data: &anypb.Any{
		TypeUrl: "talos/runtime/" + string(payload.ProtoReflect().Descriptor().FullName()), Value: content,
	}}

	m.site.mu.Lock()
	defer m.site.mu.Unlock()

	m.events = append(m.events, event)
	for watcher := range m.watchers {
		select {
		case watcher <- event:
		default: // a client that does not read loses events, as it does on a real node
		}
	}
}

func (s *machineService) Events(in *machineapi.EventsRequest, stream grpc.ServerStreamingServer[machineapi.Event]) error {
	target, info, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}

	watcher := make(chan *machineapi.Event, 256)

	target.site.mu.Lock()
	first := len(target.events) - int(in.GetTailEvents())
	if in.GetTailEvents() < 0 || first < 0 {
		first = 0
	}

	past := append([]*machineapi.Event(nil), target.events[first:]...)
	target.watchers[watcher] = struct{}{}
	target.site.mu.Unlock()
	defer func() {
		target.site.mu.Lock()
		delete(target.watchers, watcher)
		target.site.mu.Unlock()
	}()

	send := func(event *machineapi.Event) error {
		return stream.Send(&machineapi.Event{Metadata: info, Id: event.GetId(), ActorId: event.GetActorId(), Data: event.GetData()})
	}

	if err := send(&machineapi.Event{}); err != nil { // clients wait for an empty one: the watch is open
		return err
	}

	for _, event := range past {
		if err := send(event); err != nil {
			return err
		}
	}

	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case event := <-watcher:
			if err := send(event); err != nil {
				return err
			}
		}
	}
}

// stateService passes resource calls on to the node that they are for.
type stateService struct {
	cosiapi.UnimplementedStateServer
	m *Machine
}

func (s *stateService) Get(ctx context.Context, in *cosiapi.GetRequest) (*cosiapi.GetResponse, error) {
	target, _, err := s.m.one(ctx)
	if err != nil {
		return nil, err
	}
	return target.view().cosi.Get(ctx, in)
}

func (s *stateService) List(in *cosiapi.ListRequest, stream grpc.ServerStreamingServer[cosiapi.ListResponse]) error {
	target, _, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}
	return target.view().cosi.List(in, stream)
}

func (s *stateService) Watch(in *cosiapi.WatchRequest, stream grpc.ServerStreamingServer[cosiapi.WatchResponse]) error {
	target, _, err := s.m.one(stream.Context())
	if err != nil {
		return err
	}
	return target.view().cosi.Watch(in, stream)
}
