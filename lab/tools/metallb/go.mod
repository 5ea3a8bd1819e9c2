module lab/tools/metallb

go 1.26.1

require go.universe.tf/metallb v0.16.2

// Names only: the version that it requires is not served, and the controller speaks no BGP.
replace github.com/metallb/frr-k8s => ./frr-k8s
