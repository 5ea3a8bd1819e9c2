module lab/tools/github-mcp-server

go 1.26.4

require github.com/github/github-mcp-server v1.9.0
