module lab/tools/bank-vaults

go 1.26.3

require github.com/bank-vaults/bank-vaults v1.33.1
