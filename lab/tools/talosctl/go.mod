module lab/tools/talosctl

go 1.26

require github.com/siderolabs/talos v1.12.0

replace cloud.google.com/go => cloud.google.com/go v0.100.2
replace github.com/coredns/coredns => github.com/siderolabs/coredns v1.12.54
replace github.com/mdlayher/ethtool => github.com/siderolabs/ethtool v0.4.0-sidero
replace github.com/mdlayher/kobject => github.com/smira/kobject v0.0.0-20240304111826-49c8d4613389
replace golang.zx2c4.com/wireguard/wgctrl => github.com/siderolabs/wgctrl-go v0.0.0-20251029173431-c4fd5f6a4e72
replace github.com/containerd/containerd/v2 => github.com/smira/containerd/v2 v2.0.0-20251113120816-51ecd22de074
