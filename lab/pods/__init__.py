"""Real pods: what a lab needs for kubelets that run containers.

The nodes' processes are started by `talos-nodes`, with the control plane (`lab/talos/internal/kubernetes/kubelets.go`).
Here are the images that they run (`images`, `layers`, `debian_image`), who serves them (`store`), what the nodes need
(`nodes`), and the namespaces in which all of it is (`enter.sh`, `namespace.sh`).
"""
