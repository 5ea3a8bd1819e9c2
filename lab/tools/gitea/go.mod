module lab/tools/gitea

go 1.26.4

require gitea.dev v1.27.3

// No registry has the names that these modules have had since 1.27; they are served under their former ones.
replace gitea.dev v1.27.3 => code.gitea.io/gitea v1.27.3

replace gitea.dev/actions-proto-go v0.6.0 => code.gitea.io/actions-proto-go v0.6.0

// As its own go.mod has them: what a main module does not repeat has no effect.
replace go.yaml.in/yaml/v4 => go.yaml.in/yaml/v4 v4.0.0-rc.3

replace github.com/Azure/azure-sdk-for-go/sdk/azcore => github.com/Azure/azure-sdk-for-go/sdk/azcore v1.19.0

replace github.com/Azure/azure-sdk-for-go/sdk/storage/azblob => github.com/Azure/azure-sdk-for-go/sdk/storage/azblob v1.6.2

replace github.com/microsoft/go-mssqldb => github.com/microsoft/go-mssqldb v1.9.7
