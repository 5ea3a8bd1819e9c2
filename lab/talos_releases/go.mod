// Each release has a module file of its own beside this one, which Go needs and does not read.
module homelab/lab/talos_releases

go 1.24
