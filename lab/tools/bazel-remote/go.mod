module lab/tools/bazel-remote

go 1.26.4

require github.com/buchgr/bazel-remote/v2 v2.6.2
