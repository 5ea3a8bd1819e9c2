package machine

import (
	"context"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	kubelet = "kubelet"

	// restartTime is how long the kubelet or a static pod goes on reporting the image from before a changed
	// configuration: a real one takes seconds to a minute, as kubelet looks for the file, stops a pod and starts the next.
	restartTime = 2 * time.Second
)

// wantedImages are those of the Kubernetes components that the configuration asks this node to run.
func wantedImages(v view) map[string]string {
	wanted := map[string]string{kubelet: v.config.Machine().Kubelet().Image()}

	if v.controlPlane() {
		cluster := v.config.Cluster()
		wanted["kube-apiserver"] = cluster.APIServer().Image()
		wanted["kube-controller-manager"] = cluster.ControllerManager().Image()
		wanted["kube-scheduler"] = cluster.Scheduler().Image()
	}
	return wanted
}

// running is what the components run: what is wanted at a boot, and restartTime after a change of what is wanted.
func (m *Machine) running(v view) map[string]string {
	m.site.mu.Lock()
	defer m.site.mu.Unlock()

	if m.images == nil || m.imagesOf != v.bootID {
		m.images, m.changing, m.imagesOf = map[string]string{}, map[string]time.Time{}, v.bootID
	}

	running := map[string]string{}
	for component, wanted := range wantedImages(v) {
		switch known, begun := m.images[component], m.changing[component]; {
		case known == "":
			m.images[component] = wanted
		case known == wanted:
			delete(m.changing, component)
		case begun.IsZero():
			m.changing[component] = time.Now()
		case time.Since(begun) >= restartTime:
			m.images[component] = wanted
			delete(m.changing, component)
			m.site.journal.Record("component-updated", m.vmid, m.record.Spec.Name, "component", component, "version", tagOf(wanted))
		}

		running[component] = m.images[component]
	}
	return running
}

func tagOf(image string) string {
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tag
}

// SetNoImages makes every pull of the machine fail, as from a registry that does not have the image, or ends that.
func (s *Site) SetNoImages(vmid int, missing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if m := s.machines[vmid]; m != nil {
		m.noImages = missing
	}
}

// ImagePull fetches nothing: the reference is noted. Deprecated since Talos 1.13, and there until 1.18.
func (s *machineService) ImagePull(ctx context.Context, in *machineapi.ImagePullRequest) (*machineapi.ImagePullResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.ImagePull, error) {
		t.site.mu.Lock()
		missing := t.noImages
		t.site.mu.Unlock()
		if missing {
			return nil, status.Errorf(codes.NotFound, "failed to pull image %q: not found", in.GetReference())
		}

		t.note("image-pull", "image", in.GetReference(), "namespace", in.GetNamespace().String())
		return &machineapi.ImagePull{Metadata: info}, nil
	})
	return &machineapi.ImagePullResponse{Messages: messages}, err
}
