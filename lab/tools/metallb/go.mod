module lab/tools/metallb

go 1.26.1

require go.universe.tf/metallb v0.16.2
