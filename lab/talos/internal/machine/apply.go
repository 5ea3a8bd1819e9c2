package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const validationLimit = 60 * time.Second

// cloud is the validation mode of the nocloud platform: Talos is on the disk already.
type cloud struct{}

func (cloud) String() string        { return "cloud" }
func (cloud) RequiresInstall() bool { return false }
func (cloud) InContainer() bool     { return false }

// immediate are the fields of .machine that take effect without a reboot, with all of .cluster and .debug.
var (
	immediate = []string{
		"MachineCA", "MachineAcceptedCAs", "MachineTime", "MachineCertSANs", "MachineInstall", "MachineNetwork", "MachineSysfs",
		"MachineSysctls", "MachineLogging", "MachineControlPlane", "MachineKubelet", "MachineKernel", "MachineRegistries", "MachinePods",
		"MachineSeccompProfiles", "MachineNodeAnnotations", "MachineNodeLabels", "MachineNodeTaints",
	}
	immediateFeatures = []string{
		"KubernetesTalosAPIAccessConfig", "KubePrismSupport", "HostDNSSupport", "ImageCacheSupport", "FeatureNodeAddressSortAlgorithm",
	}
)

// needsReboot follows machined's rule. Changes of other documents never need one there.
func needsReboot(current, next config.Provider) bool {
	a, b := current.RawV1Alpha1(), next.RawV1Alpha1()
	if a == nil || b == nil {
		return true
	}

	b = b.DeepCopy()
	b.ConfigDebug, b.ClusterConfig = a.ConfigDebug, a.ClusterConfig
	if a.MachineConfig != nil && b.MachineConfig != nil {
		copyFields(b.MachineConfig, a.MachineConfig, immediate)
		if a.MachineConfig.MachineFeatures != nil && b.MachineConfig.MachineFeatures != nil {
			copyFields(b.MachineConfig.MachineFeatures, a.MachineConfig.MachineFeatures, immediateFeatures)
		}
	}
	return !reflect.DeepEqual(a, b)
}

func copyFields(to, from any, names []string) {
	for _, name := range names {
		reflect.ValueOf(to).Elem().FieldByName(name).Set(reflect.ValueOf(from).Elem().FieldByName(name))
	}
}

func (s *machineService) ApplyConfiguration(ctx context.Context, in *machineapi.ApplyConfigurationRequest) (*machineapi.ApplyConfigurationResponse, error) {
	messages, err := each(ctx, s.m, func(t *Machine, info *common.Metadata) (*machineapi.ApplyConfiguration, error) {
		answer, err := t.apply(ctx, in)
		if err != nil {
			t.note("apply-refused", "mode", in.GetMode().String(), "code", status.Code(err).String(), "error", err)
			return nil, err
		}

		answer.Metadata = info
		t.note("apply", "requested", in.GetMode().String(), "mode", answer.GetMode().String(), "dryRun", in.GetDryRun())
		return answer, nil
	})
	return &machineapi.ApplyConfigurationResponse{Messages: messages}, err
}

func (m *Machine) apply(ctx context.Context, in *machineapi.ApplyConfigurationRequest) (*machineapi.ApplyConfiguration, error) {
	next, err := configloader.NewFromBytes(in.GetData())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	if next.RawV1Alpha1() == nil {
		return nil, status.Error(codes.InvalidArgument, "the applied machine configuration doesn't contain v1alpha1 config")
	}

	warnings, err := next.Validate(cloud{})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	if err = m.site.validate(ctx, in.GetData()); err != nil {
		return nil, err
	}

	current := m.view().config
	fresh := current == nil
	mode := in.GetMode()
	if fresh && mode == machineapi.ApplyConfigurationRequest_REBOOT {
		mode = machineapi.ApplyConfigurationRequest_NO_REBOOT
	}

	details := "Applied configuration with a reboot"
	reboot := !fresh && needsReboot(current, next)
	switch mode {
	case machineapi.ApplyConfigurationRequest_NO_REBOOT:
		if reboot {
			return nil, status.Error(codes.InvalidArgument, "this config change can't be applied in immediate mode")
		}
	case machineapi.ApplyConfigurationRequest_AUTO:
		mode = machineapi.ApplyConfigurationRequest_NO_REBOOT
		if reboot {
			mode = machineapi.ApplyConfigurationRequest_REBOOT
		}
	case machineapi.ApplyConfigurationRequest_STAGED:
		details = "Staged configuration to be applied after the next reboot"
	case machineapi.ApplyConfigurationRequest_REBOOT:
	case machineapi.ApplyConfigurationRequest_TRY:
		return nil, status.Error(codes.Unimplemented, "the lab's nodes do not know the mode try")
	}

	if mode == machineapi.ApplyConfigurationRequest_NO_REBOOT {
		details = "Applied configuration without a reboot"
	}

	answer := &machineapi.ApplyConfiguration{Mode: mode, ModeDetails: details, Warnings: warnings}

	if in.GetDryRun() {
		answer.ModeDetails = "Dry run summary:\n" + details + " (skipped in dry-run)."
		return answer, nil
	}
	return answer, m.adopt(next, mode, fresh)
}

// adopt stores the configuration and puts it into effect as the mode says.
func (m *Machine) adopt(next config.Provider, mode machineapi.ApplyConfigurationRequest_Mode, fresh bool) error {
	m.site.mu.Lock()
	if m.busy {
		m.site.mu.Unlock()
		return status.Error(codes.FailedPrecondition,
			"configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot")
	}

	m.stored = next
	live := !fresh && mode == machineapi.ApplyConfigurationRequest_NO_REBOOT
	if live {
		m.config = next
	}
	m.site.mu.Unlock()
	if err := m.save(); err != nil {
		return status.Error(codes.Internal, err.Error())
	}

	var err error
	switch {
	case live:
		m.publish()
	case mode == machineapi.ApplyConfigurationRequest_REBOOT:
		err = m.reboot(uuid(), "reboot")
	case fresh && mode != machineapi.ApplyConfigurationRequest_STAGED:
		err = m.configure()
	}

	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return nil
}

// validate asks the real talosctl. The file holds secrets: mode 0600, and removed at once.
func (s *Site) validate(ctx context.Context, document []byte) error {
	file, err := os.CreateTemp(s.options.Dir, ".validate-*")
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	defer os.Remove(file.Name())

	_, err = file.Write(document)
	if err = errors.Join(err, file.Close()); err != nil {
		return status.Error(codes.Internal, err.Error())
	}

	limit, cancel := context.WithTimeout(ctx, validationLimit)
	defer cancel()

	output, err := exec.CommandContext(limit, s.options.Talosctl, "validate", "--config", file.Name(), "--mode", "cloud").CombinedOutput()

	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		reason := strings.ReplaceAll(strings.TrimSpace(string(output)), file.Name(), "the configuration")
		return status.Error(codes.InvalidArgument, "talosctl validate: "+reason)
	default:
		return status.Error(codes.Internal, fmt.Sprintf("talosctl validate did not run: %v", err))
	}
}
