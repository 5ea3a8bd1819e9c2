package imagefactory

import (
	"slices"
	"strings"
)

// officialExtensions are the names under which the factory offers extensions, without the vendor's prefix.
var officialExtensions = strings.Fields(`
amazon-ena amd-ucode amdgpu binfmt-misc bnx2-bnx2x btrfs chelsio-drivers chelsio-firmware cloudflared crun ctr drbd
dvb-cx23885 dvb-m88ds3103 ecr-credential-provider fuse3 gasket-driver glibc gvisor gvisor-debug hailort
hello-world-service i915 intel-ice-firmware intel-ucode iscsi-tools kata-containers lldpd mdadm mei mellanox-mstflint
metal-agent nebula netbird newt nfs-utils nfsd nfsrahead nonfree-kmod-nvidia-lts nonfree-kmod-nvidia-production
nut-client nvidia-container-toolkit-lts nvidia-container-toolkit-production nvidia-fabricmanager-lts
nvidia-fabricmanager-production nvidia-open-gpu-kernel-modules-lts nvidia-open-gpu-kernel-modules-production nvme-cli
panfrost qemu-guest-agent qlogic-firmware realtek-firmware revpi-firmware spin stargz-snapshotter tailscale tenstorrent
thunderbolt uinput usb-audio-drivers usb-modem-drivers util-linux-tools v4l-uvc-drivers vc4 vmtoolsd-guest-agent
wasmedge xdma-driver xen-guest-agent youki zerotier zfs`)

const vendor = "siderolabs/"

// versions that the factory offers, oldest first.
var versions = []string{
	"v1.11.0", "v1.11.5", "v1.12.0", "v1.12.1", "v1.12.2", "v1.12.4", "v1.12.6",
	"v1.13.0", "v1.13.1", "v1.13.2", "v1.13.4", "v1.13.6", "v1.13.8", "v1.13.9",
}

// knownExtension tells whether name ("siderolabs/qemu-guest-agent") is an official extension.
func knownExtension(name string) bool {
	short, found := strings.CutPrefix(name, vendor)
	return found && slices.Contains(officialExtensions, short)
}

// knownVersion accepts every release of the minor versions in the catalogue: patch releases come faster than lists.
func knownVersion(version string) bool {
	for _, known := range versions {
		if minor := known[:strings.LastIndex(known, ".")+1]; strings.HasPrefix(version, minor) {
			return true
		}
	}
	return false
}
