module lab/tools/bank-vaults

go 1.26.3

require github.com/bank-vaults/bank-vaults v1.33.1

// In C, for hardware modules, which no test has.
replace github.com/miekg/pkcs11 => ./pkcs11
