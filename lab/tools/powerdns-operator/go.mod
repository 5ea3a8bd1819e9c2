module lab/tools/powerdns-operator

go 1.26

require github.com/powerdns-operator/powerdns-operator v0.6.0
